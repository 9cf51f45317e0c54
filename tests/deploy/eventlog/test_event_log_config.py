"""The configuration file beside an event log never holds a secret."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from deploy.eventlog.config_file import write_config


def test_parameters_are_written_beside_the_log(tmp_path: Path) -> None:
    path = write_config(
        tmp_path / "tc-events-07.txt", {"port": 50051, "os_key": "mykey", "note": "two\nlines"}
    )
    assert path == tmp_path / "tc-events-07.config.txt"
    assert path.read_text() == "port = 50051\nos_key = mykey\nnote = two lines\n"


def test_secrets_are_left_out(tmp_path: Path) -> None:
    parameters = {
        "minio_access_key": "minio",
        "minio_secret_key": "hush",
        "MINIO_PASSWORD": "hush",
        "api-key": "hush",
        "auth_token": "hush",
        "innocent": SecretStr("hush"),
        "store": "postgresql://me:hush@host/db?sslpassword=hush&connect_timeout=3",
        "endpoint": "https://hush@host/?api_key=hush#part",
        "scheduler": "models/dacirco",
    }
    text = write_config(tmp_path / "tc-events-01.txt", parameters).read_text()
    assert "hush" not in text
    assert text.splitlines() == [
        "store = postgresql://...@host/db?sslpassword=...&connect_timeout=3",
        "endpoint = https://...@host/?api_key=...#part",
        "scheduler = models/dacirco",
    ]
