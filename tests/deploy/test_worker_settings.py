from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.worker.settings import read_settings
from env.errors import DaCircoError

NEEDED = {
    "TCWORKER_GRPC_SERVER": "controller",
    "TCWORKER_NAME": "tc-worker-1",
    "TCWORKER_ID": "f2d7b6ce-6c41-4b0c-8a19-8f6a3f1c2b11",
    "TCWORKER_MINIO_SERVER": "10.0.0.5",
    "TCWORKER_MINIO_ACCESS_KEY": "minio",
    "TCWORKER_MINIO_SECRET_KEY": "hunter2",
}


def test_the_environment_of_the_contract_is_enough() -> None:
    settings = read_settings([], NEEDED)
    assert settings.worker_id == NEEDED["TCWORKER_ID"]
    assert settings.name == "tc-worker-1"
    assert (settings.grpc_server, settings.grpc_port) == ("controller", 50051)
    assert settings.storage_url == "s3://10.0.0.5:9000/videos"
    assert (settings.access_key, settings.secret_key) == ("minio", "hunter2")
    assert (settings.input_path, settings.output_path) == ("input-videos", "output-videos")
    assert settings.keepalive_interval_s == 15
    assert settings.log_file is None
    assert "hunter2" not in repr(settings)


def test_every_variable_of_the_contract_counts() -> None:
    settings = read_settings(
        [],
        {
            **NEEDED,
            "TCWORKER_GRPC_PORT": "50052",
            "TCWORKER_MINIO_PORT": "9100",
            "TCWORKER_LOG_FILE": "/var/log/worker.log",
            "TCWORKER_BUCKET_NAME": "films",
            "TCWORKER_INPUT_PATH": "in",
            "TCWORKER_OUTPUT_PATH": "out/",
            "TCWORKER_KEEPALIVE_INTERVAL": "5",
            "TCWORKER_CPUS": "3",
            "TCWORKER_WORK_DIR": "/scratch",
            "TCWORKER_BITRATE_UNIT": "bit",
            "TCWORKER_VERBOSE": "1",
        },
    )
    assert settings.grpc_port == 50052
    assert settings.storage_url == "s3://10.0.0.5:9100/films"
    assert settings.log_file == Path("/var/log/worker.log")
    assert (settings.input_path, settings.output_path) == ("in", "out")
    assert settings.keepalive_interval_s == 5
    assert settings.cpus == 3
    assert settings.work_dir == Path("/scratch")
    assert settings.bitrate_unit_bps == 1
    assert settings.verbose


def test_the_command_line_wins() -> None:
    settings = read_settings(
        ["--name", "other", "--storage", "/data", "--grpc-port", "1"],
        {**NEEDED, "TCWORKER_STORAGE": "/elsewhere"},
    )
    assert (settings.name, settings.storage_url, settings.grpc_port) == ("other", "/data", 1)


def test_an_empty_variable_is_none() -> None:
    settings = read_settings([], {**NEEDED, "TCWORKER_STORAGE": "", "TCWORKER_GRPC_PORT": ""})
    assert settings.storage_url.startswith("s3://")
    assert settings.grpc_port == 50051


def test_the_secret_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from a file\n")
    settings = read_settings(["--minio-secret-key-file", str(path)], NEEDED)
    assert settings.secret_key == "from a file"


@pytest.mark.parametrize("name", ["GRPC_SERVER", "NAME", "ID", "MINIO_SERVER"])
def test_what_is_missing_is_named(name: str) -> None:
    environment = {key: value for key, value in NEEDED.items() if key != f"TCWORKER_{name}"}
    with pytest.raises(DaCircoError, match=f"TCWORKER_{name}"):
        read_settings([], environment)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("grpc-port", "http", "--grpc-port: 'http'"),
        ("minio-port", "70000", "--minio-port: '70000'"),
        ("keepalive-interval", "0", "--keepalive-interval: '0'"),
        ("cpus", "two", "--cpus: 'two'"),
        ("input-path", "../up", "dotted"),
        ("id", "a\nb", "not printable"),
        ("minio-secret-key-file", "/does/not/exist", "cannot read"),
        ("minio-access-key", "", "both"),
        ("bitrate-unit", "byte", "'byte' is not one of kbit, bit"),
    ],
)
def test_bad_values_are_named(option: str, value: str, why: str) -> None:
    variable = f"TCWORKER_{option.upper().replace('-', '_')}"
    with pytest.raises(DaCircoError, match=why) as caught:
        read_settings([], {**NEEDED, variable: value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "words", [["--minio-secret-key", "letmein"], ["--minio-secret-key=letmein"]]
)
def test_a_secret_on_the_command_line_is_taken_with_a_warning(words: list[str]) -> None:
    settings = read_settings(words, NEEDED)
    assert settings.secret_key == "letmein"
    (warning,) = settings.warnings
    assert "TCWORKER_MINIO_SECRET_KEY" in warning
    assert "letmein" not in repr(settings)
    assert read_settings([], NEEDED).warnings == ()


def test_every_option_can_be_given_on_the_command_line() -> None:
    """As the environment of the contract is, word for word."""
    words = [
        word
        for name, value in NEEDED.items()
        for word in (f"--{name.removeprefix('TCWORKER_').lower().replace('_', '-')}", value)
    ]
    more = "--bucket-name films --input-path in --output-path out --keepalive-interval 5"
    settings = read_settings([*words, *more.split(), "--log-file", "w.log"], {})
    assert replace(settings, warnings=()) == read_settings(
        [],
        NEEDED
        | {
            "TCWORKER_BUCKET_NAME": "films",
            "TCWORKER_INPUT_PATH": "in",
            "TCWORKER_OUTPUT_PATH": "out",
            "TCWORKER_KEEPALIVE_INTERVAL": "5",
            "TCWORKER_LOG_FILE": "w.log",
        },
    )


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.worker.command", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_option_and_no_secret() -> None:
    answer = run("--help", **NEEDED)
    assert answer.returncode == 0
    for option in ("--grpc-server", "--minio-server", "--storage", "--drain-timeout", "--cpus"):
        assert option in answer.stdout
    assert "hunter2" not in answer.stdout + answer.stderr


def test_a_bad_option_ends_with_one_line_and_code_2() -> None:
    answer = run(**{**NEEDED, "TCWORKER_STORAGE": "ftp://x/y"})
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith("dacirco_tc_worker: storage 'ftp://x/y' is unknown: give a folder")
