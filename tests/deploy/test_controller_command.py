"""The command line of the controller: the existing system's options, ours, secrets, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.controller.access import warnings as access_warnings
from deploy.controller.command import SECRET_VARIABLE, main, make_parser, settings_from
from deploy.controller.parts import Ports, worker_link
from deploy.controller.settings import SIGNS_WITHIN_TIMEOUT, AccessSettings, Settings
from deploy.managers.base import SpawnOrder
from env.config import FlavorConfig
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
        (["-r", "simulated", "--keepalive-timeout", "2.9"], "'2.9' is below 3 s"),
        (["-r", "simulated", "--front-end-token-file", "none"], "none: No such file"),
        (["-r", "simulated", "--trust-front-ends", "10.0.0.0/33"], "'10.0.0.0/33'"),
        (["-r", "simulated", "--tls-cert", "x"], "give all of --tls-cert"),
        (["-r", "simulated", "--plaintext-port", "70000"], "'70000' is not a port"),
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


@pytest.mark.parametrize(
    ("timeout_s", "interval_s"),
    [("60", 15), ("1000000", 15), ("45", 15), ("30", 10), ("14", 4), ("5.9", 1), ("3", 1)],
)
def test_workers_are_told_to_give_signs_of_life_within_the_timeout(
    timeout_s: str, interval_s: int
) -> None:
    settings = parsed("-r", "simulated", "--keepalive-timeout", timeout_s)
    link = worker_link(settings, "10.0.0.1", Ports(50051))
    order = SpawnOrder("public", "tc", FlavorConfig("s10.small", 2, 4.0), secret="secret")
    assert link.environment(order)["TCWORKER_KEEPALIVE_INTERVAL"] == str(interval_s)
    assert SIGNS_WITHIN_TIMEOUT * interval_s <= float(timeout_s)


def test_workers_may_have_an_s3_user_of_their_own(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the workers\n")
    common = ("--minio-server", "storage", "--minio-secret-key", "of the controller")
    own = ("--worker-minio-access-key", "w", "--worker-minio-secret-key-file", str(secret))
    for options, keys in (
        (common, ("minio", "of the controller")),
        ((*common, *own), ("w", "of the workers")),
    ):
        settings = parsed(*options)
        link = worker_link(settings, "10.0.0.1", Ports(50051))
        assert (link.minio_access_key, link.minio_secret_key) == keys
        assert (settings.minio.access_key, settings.minio.secret_key) == (
            "minio",
            "of the controller",
        )
        assert "of the workers" not in repr(settings)
    for half in (own[:2], own[2:]):
        with pytest.raises(DaCircoError, match="or neither"):
            parsed(*common, *half)


def test_who_may_call_as_the_options_say() -> None:
    assert parsed("-r", "simulated").access == AccessSettings()
    chosen = parsed(
        *("-r", "simulated", "--trust-front-ends", "10.0.0.7", "--trust-front-ends", "fd00::/8"),
        *("--front-end-token-file", "t", "--local-front-ends-need-token", "--tls-cert", "c"),
        *("--tls-key", "k", "--tls-ca", "a", "--tls-server-name", "n", "--plaintext-port", "1"),
        *("--front-end-port", "2", "--front-end-ca", "f"),
    )
    assert chosen.access == AccessSettings(
        front_end_token_file=Path("t"),
        trusted_front_ends=("10.0.0.7", "fd00::/8"),
        local_needs_token=True,
        front_end_port=2,
        front_end_ca=Path("f"),
        tls_cert=Path("c"),
        tls_key=Path("k"),
        tls_ca=Path("a"),
        tls_server_name="n",
        plaintext_port=1,
    )


def test_what_an_operator_who_opens_it_to_the_network_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    vms = parsed("--minio-server", "storage", "--trust-front-ends", "10.0.0.0/24")
    told = "\n".join(access_warnings(vms, "0.0.0.0"))
    assert "well-known default" in told
    assert "not encrypted" in told
    assert "10.0.0.0/24" in told
    assert "pass4minio" not in told
    monkeypatch.setenv(SECRET_VARIABLE, "another")
    own = parsed("--minio-server", "storage")
    assert "default" not in "\n".join(access_warnings(own, "0.0.0.0"))
    assert access_warnings(own, "127.0.0.1") == []
    assert access_warnings(parsed("-r", "process"), "127.0.0.1") == []


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
    options = "-v -r process -p 0 --http-port 0 --storage s3://127.0.0.1:9/videos --catalog bbb"
    done = subprocess.run(
        [sys.executable, "-m", "deploy.controller.command", *options.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), SECRET_VARIABLE: "hush-hush"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    written = [path.read_text() for path in tmp_path.rglob("*.txt")]
    assert not any("hush" in text for text in [done.stdout, done.stderr, *written])
