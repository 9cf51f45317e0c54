"""What the harnesses stand on, without a control plane."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.clouds import machine
from tests.clouds.cloud import Cloud
from tests.clouds.machine import REPOSITORY, CloudUnavailableError
from tests.clouds.openstack.guest import environment_file
from tests.clouds.processes import Processes, marked
from tests.clouds.waiting import wait_for


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def test_processes_are_found_again_paused_and_ended(processes: Processes) -> None:
    pid = processes.start("sleeper", ["sleep", "600"])
    try:
        again = Processes(processes.folder)  # as another command would
        assert again.names() == ["sleeper"]
        assert again.pid("sleeper") == pid
        assert again.alive("sleeper")
        again.pause("sleeper")
        wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the pause")
        again.resume("sleeper")
    finally:
        processes.stop(["sleeper"])
    assert not processes.alive("sleeper")


def test_what_ignores_sigterm_is_killed(processes: Processes) -> None:
    script = 'trap "" TERM; echo ready; while :; do sleep 1; done'
    processes.start("stubborn", ["sh", "-c", script])
    log = processes.logs / "stubborn.out"
    wait_for(lambda: "ready" in log.read_text(), "the trap")
    processes.stop(["stubborn"], grace_s=0.1)
    assert not processes.alive("stubborn")


def test_children_that_left_the_group_are_leftovers(processes: Processes) -> None:
    processes.start("parent", ["sh", "-c", "setsid sleep 600 & exit 0"])
    wait_for(lambda: not processes.alive("parent") and marked(processes.folder), "the child")
    processes.kill_leftovers()
    assert marked(processes.folder) == []


def test_a_later_process_with_the_same_id_is_not_ours(processes: Processes) -> None:
    processes.start("other", ["sleep", "600"])
    processes.stop(["other"])
    table = processes.folder / "processes.json"
    table.write_text(table.read_text().replace(str(processes.pid("other")), "1"))
    assert not processes.alive("other")


def test_a_failed_command_tells_its_output(processes: Processes) -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\nwhy"):
        processes.run(["sh", "-c", "echo why; exit 3"])


def test_free_ports_are_different_and_free() -> None:
    ports = machine.free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_package_that_no_archive_has_names_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "CACHE", tmp_path)
    monkeypatch.setattr(machine, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CloudUnavailableError, match="cannot install dacirco-no-such-package"):
        machine.install_packages(["dacirco-no-such-package"])
    assert not (tmp_path / "policy-rc.d").exists()


def test_without_root_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CloudUnavailableError, match="needs root"):
        machine.install_packages(["dacirco-no-such-package"])


class Sleeper(Cloud):
    """The smallest control plane; it may fail to start."""

    name = "sleeper"
    broken = False

    def install(self) -> None:
        pass

    def start(self) -> None:
        (self.scratch / "data").write_text("data")
        self.processes.start("sleeper", ["sleep", "600"])
        if self.broken:
            raise RuntimeError("no")
        self.save_facts(port=1)


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sleeper:
    monkeypatch.setenv("DACIRCO_CLOUDS_STATE", str(tmp_path))
    monkeypatch.setattr("tests.clouds.cloud.CACHE", tmp_path / "cache")
    return Sleeper()


def test_up_twice_starts_once_and_down_leaves_nothing(sleeper: Sleeper) -> None:
    assert sleeper.up()
    scratch = sleeper.scratch
    assert not sleeper.up()
    assert Sleeper().facts == {"port": 1}
    assert sleeper.down() == []
    assert not scratch.exists()
    assert marked(sleeper.state) == []
    assert sorted(path.name for path in sleeper.state.iterdir()) == ["log"]


def test_up_replaces_what_has_lost_a_process(sleeper: Sleeper) -> None:
    sleeper.up()
    first = sleeper.processes.pid("sleeper")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not sleeper.running(), "the end")
    try:
        assert sleeper.up()
        assert sleeper.processes.pid("sleeper") != first
    finally:
        assert sleeper.down() == []


def test_a_failed_start_leaves_nothing(sleeper: Sleeper) -> None:
    sleeper.broken = True
    with pytest.raises(RuntimeError, match="no"):
        sleeper.up()
    assert marked(sleeper.state) == []
    assert not sleeper.running()


def test_the_command_refuses_what_it_does_not_know() -> None:
    command = [sys.executable, "-m", "tests.clouds.run", "azure"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "azure" in done.stderr


def test_environment_files_are_read_as_systemd_does() -> None:
    text = """# comment
; another
A=1
B="two words"
C='single "quotes"'
D="a \\"b\\" \\$c"
E=
not a variable
F=a=b
"""
    assert environment_file(text) == {
        "A": "1",
        "B": "two words",
        "C": 'single "quotes"',
        "D": 'a "b" $c',
        "E": "",
        "F": "a=b",
    }
