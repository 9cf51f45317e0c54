"""Small parts of the worker, each alone."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.media.ffmpeg import OUTPUT_LIMIT
from deploy.system.in_background import in_background
from deploy.worker.backoff import FIRST_S, LONGEST_S, Backoff
from deploy.worker.child import StalledError, run_child, run_to_end
from deploy.worker.cpus import usable_cpus
from deploy.worker.history import REMEMBERED, TaskHistory
from deploy.worker.workspace import Workspace
from env.errors import DaCircoError


def test_pauses_grow_to_a_limit_and_start_anew() -> None:
    backoff = Backoff()
    first = backoff.pause_s()
    assert FIRST_S / 2 <= first <= FIRST_S
    pauses = [backoff.pause_s() for _ in range(20)]
    assert all(LONGEST_S / 2 <= pause <= LONGEST_S for pause in pauses[10:])
    backoff.reset()
    assert backoff.pause_s() <= FIRST_S


class TestCpus:
    @pytest.fixture
    def groups(self, tmp_path: Path) -> Path:
        (tmp_path / "groups" / "pod" / "worker").mkdir(parents=True)
        return tmp_path / "groups"

    def count(self, groups: Path, own: str, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
        listing = groups.parent / "own"
        listing.write_text(own)
        return usable_cpus(groups, listing)

    def test_all_of_the_machine(self, groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (groups / "pod" / "cpu.max").write_text("max 100000\n")
        assert self.count(groups, "0::/pod/worker\n", monkeypatch) == 8

    def test_the_smallest_quota_of_the_groups_above(
        self, groups: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (groups / "pod" / "cpu.max").write_text("150000 100000\n")
        (groups / "pod" / "worker" / "cpu.max").write_text("400000 100000\n")
        assert self.count(groups, "0::/pod/worker\n", monkeypatch) == 2

    def test_a_container_that_sees_its_own_group_as_the_root(
        self, groups: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (groups / "cpu.max").write_text("50000 100000\n")
        assert self.count(groups, "0::/not/mounted\n", monkeypatch) == 1

    def test_version_1(self, groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = groups / "cpu,cpuacct" / "pod"
        folder.mkdir(parents=True)
        (folder / "cpu.cfs_quota_us").write_text("300000\n")
        (folder / "cpu.cfs_period_us").write_text("100000\n")
        own = "5:memory:/pod\n4:cpu,cpuacct:/pod\n0::/\n"
        assert self.count(groups, own, monkeypatch) == 3
        (folder / "cpu.cfs_quota_us").write_text("-1\n")
        assert self.count(groups, own, monkeypatch) == 8

    def test_here(self) -> None:
        assert usable_cpus() >= 1


def test_a_hanging_call_does_not_keep_the_loop_from_ending() -> None:
    released = threading.Event()

    async def impatient() -> None:
        async with asyncio.timeout(0.05):
            await in_background(released.wait)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    released.set()


def test_results_and_errors_of_background_calls() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(in_background(lambda: int("x")))
    assert asyncio.run(in_background(lambda: 7)) == 7


def child(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_childs_lines_code_and_last_errors() -> None:
    lines: list[str] = []
    program = "import sys; print('a'); print('b'); sys.stderr.write('x' * 50000 + 'end'); exit(3)"
    ran = asyncio.run(
        run_child(child(program), lambda line: not lines.append(line), stall_timeout_s=60)
    )
    assert lines == ["a", "b"]
    assert ran.code == 3
    assert ran.errors.endswith("xend")
    assert len(ran.errors) < 20000


def test_of_what_a_child_prints_too_much_the_two_ends_are_kept() -> None:
    program = "import sys; sys.stdout.write('first' + 'x' * 9_000_000 + 'last'); exit(4)"
    ran = asyncio.run(run_to_end(child(program), timeout_s=60))
    assert ran.code == 4
    assert ran.output.startswith("firstxxx")
    assert ran.output.endswith("xxxlast")
    assert len(ran.output) == OUTPUT_LIMIT


def test_a_child_that_does_not_end_is_ended() -> None:
    # Its output is closed, so there is nothing to wait for but its end.
    program = "import os, time; os.close(1); os.close(2); time.sleep(600)"
    with pytest.raises(StalledError, match=r"no end for 0\.5 s"):
        asyncio.run(run_to_end(child(program), timeout_s=0.5))
    with pytest.raises(StalledError, match=r"no end for 0\.5 s"):
        asyncio.run(run_child(child(program), lambda _: True, stall_timeout_s=0.5))


def test_a_program_that_is_not_there_is_told() -> None:
    ran = asyncio.run(run_to_end(["/does/not/exist"], timeout_s=60))
    assert ran.code == 127
    assert "cannot be started: No such file" in ran.errors


def test_a_child_that_makes_no_progress_is_ended() -> None:
    # It prints all the time, but nothing that counts.
    program = "import time\nwhile True: print('.', flush=True); time.sleep(0.05)"
    with pytest.raises(StalledError, match=r"no progress for 0\.3 s"):
        asyncio.run(run_child(child(program), lambda _: False, stall_timeout_s=0.3))


def test_a_cancelled_child_is_gone() -> None:
    async def start_and_cancel() -> None:
        started = asyncio.Event()

        def on_line(_: str) -> bool:
            started.set()
            return True

        program = "import time; print('up', flush=True); time.sleep(600)"
        task = asyncio.create_task(run_child(child(program), on_line, stall_timeout_s=60))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    start = time.monotonic()
    asyncio.run(start_and_cancel())
    assert time.monotonic() - start < 300


def test_the_history_forgets_the_oldest() -> None:
    history = TaskHistory()
    report = pb.GrpcEvent(task_id="0")
    for number in range(REMEMBERED):
        history.add(str(number))
    history.note(report)
    history.note(pb.GrpcEvent(task_id="unknown"))
    assert history.told("0") == [report]
    history.add("one more")
    assert "0" not in history
    assert "1" in history
    assert history.told("0") == []


def test_workspaces_of_live_workers_are_left_alone(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with Workspace(work).open() as first, first.task() as task:
        (task / "input").write_text("x")
        with Workspace(work).open() as second:
            assert (task / "input").exists()
            assert second.path != first.path
    assert list(work.iterdir()) == []


def test_a_task_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with Workspace(tmp_path).open() as folder:
        with folder.task() as task:
            (task / "sub").mkdir()
            (task / "sub" / "x").write_text("x")
        assert not task.exists()


def test_a_work_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DaCircoError, match="file"), Workspace(tmp_path / "file").open():
        pass
