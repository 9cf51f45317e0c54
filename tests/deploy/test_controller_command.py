"""The command line of the controller: the existing system's options, ours, secrets, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from deploy.controller.access import warnings as access_warnings
from deploy.controller.command import SECRET_VARIABLE, main, make_parser, settings_from
from deploy.controller.parts import Ports, worker_link
from deploy.controller.settings import SIGNS_WITHIN_TIMEOUT, AccessSettings, Settings
from deploy.managers.base import SpawnOrder
from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from env.config import FlavorConfig
from env.errors import DaCircoError
from env.event_log import read_events

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
        "concentrate_pods": False,
        "spread_pods": False,
    }
    assert {name: getattr(args, name) for name in expected} == expected
    settings = settings_from(args)
    assert settings.minio.secret_key == "pass4minio"
    assert settings.pod.size == PodType("", "2", "1.4Gi", "2", "1.4Gi")
    assert (settings.dialect, settings.worker_placement) == ("2022", None)


def test_algorithm_is_a_synonym() -> None:
    chosen = parsed("--algorithm", "grace-period", "-r", "simulated", "-p", "1", "-v")
    assert (chosen.scheduler, chosen.port) == ("grace-period", 1)


VM = ("--minio-server", "storage")


@pytest.mark.parametrize("word", ["VM", "Vm", "vm"])
def test_the_runner_type_is_taken_in_any_case(word: str) -> None:
    assert parsed("-r", word, *VM).runner_type == "vm"
    assert parsed("--runner-type", "POD", *VM).runner_type == "pod"


def test_the_options_of_2024() -> None:
    chosen = parsed(
        *VM,
        *("--tag", "a first try", "--db-file", "runs/my db.sqlite", "--dialect", "2024"),
        *("--bind-ip-address", "10.0.0.1", "--ip-address-for-tc-worker", "192.0.2.7"),
        *("--port-for-tc-worker", "6000", "--concentrate-workers"),
    )
    assert chosen.tag == "a first try"
    assert make_url(chosen.store).database == "runs/my db.sqlite"
    assert (chosen.bind, chosen.ip_address) == ("10.0.0.1", "192.0.2.7")
    assert (chosen.worker_port, chosen.port) == (6000, 50051)
    assert (chosen.worker_placement, chosen.dialect) == ("concentrate", "2024")
    assert parsed(*VM, "--spread-workers").worker_placement == "spread"
    assert parsed(*VM).worker_port is None


def test_workers_are_told_the_forwarded_port() -> None:
    chosen = parsed(*VM, "--port-for-tc-worker", "6000")
    assert worker_link(chosen, "192.0.2.7", Ports(50051)).grpc_port == 6000
    assert worker_link(parsed(*VM), "192.0.2.7", Ports(50051)).grpc_port == 50051


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("", ("2", "1.4Gi", "2", "1.4Gi")),
        ("--pod-cpus 0 --pod-memory 0", ("", "", "", "")),
        ("--pod-cpus 4 --pod-memory 512Mi", ("4", "512Mi", "4", "512Mi")),
        ("--pod-cpus 1.5", ("1.5", "1.4Gi", "1.5", "1.4Gi")),
        ("--pod-cpu-request 1", ("1", "1.4Gi", "", "1.4Gi")),
        ("--pod-cpu-limit 3 --pod-memory-limit 0", ("", "", "3", "")),
        ("--pod-cpus 2 --pod-cpu-request 500m", ("500m", "1.4Gi", "2", "1.4Gi")),
        (
            "--pod-cpu-request 1 --pod-cpu-limit 2 --pod-memory-request 1Gi --pod-memory-limit 2Gi",
            ("1", "1Gi", "2", "2Gi"),
        ),
    ],
)
def test_the_size_of_a_pod(options: str, size: tuple[str, ...]) -> None:
    assert parsed("-r", "pod", *VM, *options.split()).pod.size == PodType("", *size)


def test_parameter_files_go_before_the_options(tmp_path: Path) -> None:
    vms, pods = tmp_path / "vms.toml", tmp_path / "pods.toml"
    vms.write_text('[default]\nimage = "one"\n[large]\nflavor = "big"\n')
    pods.write_text('[small]\ncpu_request = 1\nimage = "two"\n')
    chosen = parsed(*VM, "--os-key", "mine", "--vm-params-file", str(vms))
    assert chosen.vm_types["large"] == VmType("dacirco", "big", "mine", "ssh", "external")
    assert chosen.worker_image == "vm dacirco,one"
    chosen = parsed("-r", "pod", *VM, "--pod-params-file", str(pods))
    assert chosen.pod_types == {"small": PodType("two", "1")}
    assert chosen.worker_image == "pod two"


def test_the_tag_is_told_in_the_log_and_the_log_goes_to_its_file(tmp_path: Path) -> None:
    options = "-r simulated -p 0 --http-port 0 --tag mine --log-file own.log --db-file jobs.db"
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.controller.command", *options.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert "listens" in process.stdout.readline()
            assert "ready" in process.stdout.readline()
        finally:
            process.terminate()
            process.wait(60)
        assert process.returncode == 0
        assert process.stderr.read() == ""
    assert "ending after signal" in (tmp_path / "own.log").read_text()
    assert (tmp_path / "jobs.db").is_file()
    (log,) = tmp_path.glob("tc-events-0?.txt")
    started = [event for _, event in read_events(log) if event["code"] == "EV26"]
    assert [event["tag"] for event in started] == ["mine"]
    assert "tag = mine" in log.with_suffix(".config.txt").read_text()


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
        (["--spread-workers", "--concentrate-workers"], "not allowed with"),
        (["-r", "simulated", "--spread-workers", "--spread-pods"], "give one of them"),
        (["--db-file", "a.db", "--store", "sqlite:///b.db"], "not allowed with"),
        (["--port-for-tc-worker", "0"], "give 1 to 65535"),
        (["--dialect", "2023"], "invalid choice: '2023'"),
        (["--tag", "a\nb"], "printable"),
        (["--pod-cpus", "two"], "'two' is not a quantity"),
        (["--pod-memory", "nan"], "'nan' is not a quantity"),
        (["--pod-cpu-limit", "-1"], "'-1' is not a quantity"),
        (["-r", "simulated", "--vm-params-file", "none.toml"], "cannot read none.toml"),
        (["-r", "simulated", "--pod-params-file", "."], "cannot read ."),
        (["-r", "simulated", "--log-file", "none/x.log"], "cannot write none/x.log"),
        (["-r", "simulated", "--log-file", "."], "cannot write"),
        (["-r", "simulated", "--db-file", "none/x.db"], "No such file"),
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
    assert "DEBUG grpc" not in told.read_text()  # of a line for each call
