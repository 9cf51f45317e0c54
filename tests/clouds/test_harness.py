"""What the harnesses stand on, without a control plane."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.clouds import cgroups, machine, run
from tests.clouds.cloud import Cloud
from tests.clouds.machine import REPOSITORY, CloudUnavailableError
from tests.clouds.openstack.guest import environment_file
from tests.clouds.processes import Processes, marked
from tests.clouds.trial import Limits, Trial, Verdict
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


def test_a_machine_without_namespaces_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuses = tmp_path / "unshare"
    refuses.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CloudUnavailableError, match="Operation not permitted"):
        machine.require_namespaces(overlays=True)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(CloudUnavailableError, match="unshare"):
        machine.require_namespaces()


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


@pytest.fixture
def ending() -> Iterator[subprocess.Popen[bytes]]:
    """A process without the marker that ends by itself: so looks one that the kernel ends."""
    with subprocess.Popen(["sleep", "2"]) as process:
        yield process


@pytest.mark.parametrize("within_s", [60.0, 0.0])
def test_down_waits_until_what_was_killed_has_left_its_cgroups(
    sleeper: Sleeper,
    ending: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    within_s: float,
) -> None:
    sleeper.up()
    group = sleeper.cgroup
    limited = cgroups.limit(group, "guest", cpus=1.0, memory_bytes=None)
    try:
        if not limited:
            pytest.skip("cgroups are not writable here")
        for folder in limited:
            (folder / "cgroup.procs").write_text(str(ending.pid))
        monkeypatch.setattr("tests.clouds.cloud._ENDING_S", within_s)
        left = sleeper.down()
        assert set(limited) <= set(map(Path, left)) if within_s == 0 else left == []
    finally:
        sleeper.down()
        ending.wait()
        assert cgroups.remove(group)


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


QUICK = Limits(set_up_s=60, tests_s=60, again_s=60)
UP = """
from tests.clouds.test_harness import Sleeper
cloud = Sleeper()
cloud.up()
"""


class Scene:
    """A trial of the sleeper with tests of its own; notes what ran."""

    def __init__(self, sleeper: Sleeper, folder: Path) -> None:
        self.cloud = sleeper
        self.notes = folder / "notes"
        self.notes.touch()
        self._tests = folder / "test_scene.py"

    def run(
        self, tests: str, *, up: str = UP, limits: Limits = QUICK, patient: bool = True
    ) -> tuple[Verdict, str]:
        """Verdict and reason; `note` in a test says that it ran, and how often it had before."""
        self._tests.write_text(
            "import time\n"
            "from pathlib import Path\n"
            f"NOTES = Path({str(self.notes)!r})\n"
            "def note(word):\n"
            "    before = NOTES.read_text().split().count(word)\n"
            "    NOTES.write_text(NOTES.read_text() + word + ' ')\n"
            "    return before\n" + tests
        )
        return Trial(
            self.cloud,
            [sys.executable, "-c", up],
            [str(self._tests), "-c", os.devnull],
            limits=limits,
            patient=patient,
        ).run()

    @property
    def ran(self) -> list[str]:
        return self.notes.read_text().split()

    def nothing_is_left(self) -> bool:
        return not marked(self.cloud.state) and not self.cloud.running()


@pytest.fixture
def scene(sleeper: Sleeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # quicker
    return Scene(sleeper, tmp_path)


GOOD = "def test_good(): note('good')\n"
FLAKY = "def test_flaky(): assert note('flaky') > 0\n"
BAD = "def test_bad(): note('bad'); raise ValueError\n"


def test_a_trial_passes_and_leaves_nothing(scene: Scene) -> None:
    verdict, _ = scene.run(GOOD)
    assert verdict is Verdict.PASSED
    assert scene.ran == ["good"]
    assert scene.nothing_is_left()


def test_a_test_that_fails_once_is_run_again_alone_on_a_fresh_control_plane(scene: Scene) -> None:
    verdict, why = scene.run(GOOD + FLAKY)
    assert verdict is Verdict.PASSED
    assert "second try: test_flaky" in why
    assert scene.ran == ["good", "flaky", "flaky"]
    assert scene.nothing_is_left()


def test_a_test_that_fails_twice_fails(scene: Scene) -> None:
    verdict, why = scene.run(FLAKY + BAD)
    assert (verdict, why) == (Verdict.FAILED, "test_bad")
    assert scene.ran == ["flaky", "bad", "flaky", "bad"]
    assert scene.nothing_is_left()


def test_by_hand_a_failing_test_fails_at_once(scene: Scene) -> None:
    verdict, why = scene.run(FLAKY, patient=False)
    assert (verdict, why) == (Verdict.FAILED, "test_flaky")
    assert scene.ran == ["flaky"]


def test_tests_without_a_test_are_no_success(scene: Scene) -> None:
    assert scene.run("")[0] is Verdict.FAILED


@pytest.mark.parametrize(
    ("up", "why"),
    [
        ("raise RuntimeError('no packages here')", "RuntimeError: no packages here"),
        (UP.replace("cloud.up", "cloud.broken = True; cloud.up"), "RuntimeError: no"),
        ("import os; os._exit(9)", "its set-up ended with 9"),
    ],
)
def test_a_set_up_that_fails_is_no_failed_test(scene: Scene, up: str, why: str) -> None:
    assert scene.run(GOOD, up=up) == (Verdict.NOT_RUN, why)
    assert scene.ran == []
    assert scene.nothing_is_left()


def test_a_set_up_that_hangs_is_ended_with_all_that_it_started(scene: Scene) -> None:
    hangs = "import subprocess as s, time\ns.Popen(['setsid', 'sleep', '600'])\ntime.sleep(600)\n"
    verdict, why = scene.run(GOOD, up=hangs, limits=Limits(set_up_s=3, tests_s=60, again_s=60))
    assert verdict is Verdict.NOT_RUN
    assert "was not up" in why
    assert scene.nothing_is_left()


HANGS = "def test_hangs(): time.sleep(600)\n"


def test_tests_that_do_not_end_are_ended(scene: Scene) -> None:
    verdict, why = scene.run(HANGS, limits=Limits(set_up_s=60, tests_s=3, again_s=60))
    assert (verdict, why) == (Verdict.NOT_RUN, "they had not ended after 0.05 min")
    assert scene.nothing_is_left()


def test_tests_that_do_not_end_hide_no_failure(scene: Scene) -> None:
    verdict, why = scene.run(BAD + HANGS, limits=Limits(set_up_s=60, tests_s=15, again_s=60))
    assert (verdict, why) == (Verdict.FAILED, "test_bad")
    assert scene.ran == ["bad", "bad"]


def test_what_is_left_behind_is_a_failure(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = scene.cloud.down

    def leaves_something() -> list[str]:
        return [*ended(), "a process"]

    monkeypatch.setattr(scene.cloud, "down", leaves_something)
    assert scene.run(GOOD) == (Verdict.FAILED, "left behind: a process")


def test_a_control_plane_that_a_developer_started_stays_up(scene: Scene) -> None:
    scene.cloud.up()
    try:
        assert scene.run(FLAKY)[0] is Verdict.PASSED
        assert scene.cloud.running()
    finally:
        assert scene.cloud.down() == []


def test_limits_leave_time_for_every_step() -> None:
    limits = Limits(set_up_s=100, tests_s=30, again_s=20)
    assert limits.within(1000) == limits
    assert limits.within(60) == Limits(set_up_s=10, tests_s=30, again_s=20)
    assert limits.within(50) is None


class Impossible(Sleeper):
    """No machine can have it; it needs no other process to know."""

    def running(self) -> bool:
        raise CloudUnavailableError("never")


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--where-possible"], 0, "*** sleeper tests NOT RUN: the harness broke: "),
        (["--where-possible", "--within", "20"], 0, "NOT RUN: too little time is left"),
        (["--within", "20"], 3, "*** sleeper tests NOT RUN: too little time is left"),
    ],
)
def test_the_command_is_loud_where_it_cannot(
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    line: str,
) -> None:
    monkeypatch.setattr(run, "CLOUDS", {"sleeper": f"{__name__}:Impossible"})
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["run", *options, "sleeper"])
    assert run.main() == code
    assert line in capsys.readouterr().err


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
