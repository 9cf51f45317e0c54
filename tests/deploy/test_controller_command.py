"""The command line of the controller: the existing system's options, ours, secrets, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.controller.command import SECRET_VARIABLE, main, make_parser, settings_from
from deploy.controller.settings import Settings
from env.errors import DaCircoError

ROOT = Path(__file__).parents[2]


def parsed(*options: str) -> Settings:
    return settings_from(make_parser().parse_args(options))


def test_the_existing_systems_options_and_defaults() -> None:
    args = make_parser().parse_args(["--minio-server", "storage"])
    expected = {
        "port": 50051,
        "runner_type": "vm",
        "os_image": "dacirco",
        "os_flavor": "m1.small",
        "os_key": "mykey",
        "os_security_group": "ssh",
        "os_network": "external",
        "minio_server": "storage",
        "minio_port": 9000,
        "minio_access_key": "minio",
        "call_interval": 1.0,
        "max_idle_time": 60.0,
        "event_log_file": None,
        "ip_address": None,
        "scheduler": "minimize-workers",
        "pod_cpus": 2.0,
        "pod_memory": "1.4Gi",
        "concentrate_pods": False,
        "spread_pods": False,
    }
    assert {name: getattr(args, name) for name in expected} == expected
    assert settings_from(args).minio.secret_key == "pass4minio"


def test_algorithm_is_a_synonym() -> None:
    chosen = parsed("--algorithm", "grace-period", "-r", "simulated", "-p", "1", "-v")
    assert (chosen.scheduler, chosen.port) == ("grace-period", 1)


def test_the_secret_comes_from_the_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = ("-r", "simulated")
    monkeypatch.setenv(SECRET_VARIABLE, "of the variable")
    assert parsed(*simulated).minio.secret_key == "of the variable"
    secret = tmp_path / "secret"
    secret.write_text("of the file\nmore\n")
    from_file = parsed(*simulated, "--minio-secret-key-file", str(secret))
    assert from_file.minio.secret_key == "of the file"
    assert "of the file" not in repr(from_file)
    secret.write_text("")
    for path, wrong in ((secret, "first line is empty"), (tmp_path / "none", "No such file")):
        with pytest.raises(DaCircoError, match=wrong):
            parsed(*simulated, "--minio-secret-key-file", str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "needs --minio-server"),
        (["-r", "pod"], "needs --minio-server"),
        (["-r", "ec2"], "invalid choice: 'ec2'"),
        (["-p", "70000"], "'70000' is not a port"),
        (["--preference", "0.95"], "outside"),
        (["--preference", "much"], "much"),
        (["--max-workers", "0"], "'0' is not a whole number"),
        (["--call-interval", "0"], "'0' is not a number of seconds above 0"),
        (["--max-idle-time", "-1"], "'-1' is not"),
        (["--speed-up", "2", "-r", "process"], "--speed-up is for"),
        (["--spread-pods", "--concentrate-pods"], "not allowed with"),
        (["-r", "simulated", "--scheduler", "grace-perriod"], "did you mean 'grace-period'"),
        (["-r", "simulated", "--fallback", "models/none"], "must be a rule"),
        (["-r", "simulated", "--profile", "opnstack"], "did you mean 'openstack'"),
        (["-r", "simulated", "--catalog", "bbbb"], "did you mean 'bbb'"),
        (["-r", "simulated", "--store", "here"], "not a URL"),
        (["-r", "simulated", "--storage", "ftp://x"], "storage 'ftp://x'"),
        (["-r", "simulated", "--bind", "203.0.113.77"], "cannot listen"),
    ],
)
def test_bad_input_is_told_in_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    free_ports = ["-p", "0", "--http-port", "0"] if "-p" not in options else []
    assert main([*free_ports, *options]) == 2
    errors = [
        line for line in capsys.readouterr().err.splitlines() if "dacirco_controller:" in line
    ]
    assert len(errors) == 1
    assert message in errors[0]


def test_help_explains_every_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.controller.command", "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    for action in make_parser()._actions:
        assert action.help
        assert action.option_strings[-1] in done.stdout


def test_a_secret_is_written_nowhere(tmp_path: Path) -> None:
    # A storage that is not there is told, and the controller takes jobs all the same.
    options = "-v -r process -p 0 --http-port 0 --storage s3://127.0.0.1:9/videos --catalog bbb"
    told = tmp_path / "errors.txt"
    with told.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.controller.command", *options.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), SECRET_VARIABLE: "hush-hush"},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        deadline = time.monotonic() + 120
        while "the object storage is away" not in told.read_text():
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < deadline, told.read_text()
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    written = [path.read_text() for path in tmp_path.rglob("*.txt")]
    assert len(written) == 3
    assert not any("hush" in text for text in written)
