"""A real worker with real ffmpeg tells how far it is, and drops a task that is cancelled."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from tests.deploy.scripted_controller import ScriptedController, wait_until
from tests.deploy.worker_process import WorkerProcess, make_clip, running_worker, task


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "two.mp4", seconds=2, sound=False)
    # With the slowest preset it would take minutes: no test lets it.
    make_clip(folder / "long.mp4", size="640x360", seconds=20)
    return folder


@pytest.fixture
def controller() -> Iterator[ScriptedController]:
    with ScriptedController() as controller:
        yield controller


@pytest.fixture
def worker(tmp_path: Path, clips: Path, controller: ScriptedController) -> Iterator[WorkerProcess]:
    shutil.copytree(clips, tmp_path / "storage" / "input-videos")
    storage = str(tmp_path / "storage")
    with running_worker(tmp_path, controller.port, storage) as worker:
        yield worker


def encoders(worker: WorkerProcess) -> list[psutil.Process]:
    children = psutil.Process(worker.process.pid).children(recursive=True)
    return [each for each in children if "ffmpeg" in each.name()]


def test_it_tells_how_far_it_is_and_drops_what_is_cancelled(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    slow = task(worker, "long.mp4", task_id="slow", speed="placebo")
    controller.send(slow)
    queued = task(worker, "long.mp4", task_id="queued", speed="placebo")
    controller.send(queued)
    controller.wait_for("slow", "FILE_DOWNLOADED")

    def told() -> list[pb.GrpcEvent]:
        return [sign for sign in controller.signs_of_life if sign.progress_task_id == "slow"]

    wait_until(told, "progress")
    sign = told()[0]
    assert (sign.task_id, sign.event_type) == ("", pb.EVENT_KEEPALIVE)  # as the contract has it
    assert 0 <= sign.done_percent < 100
    for each in (queued, slow):
        controller.send(pb.TCTask(task_id=each.task_id, worker_id=worker.worker_id, cancelled=True))
    controller.wait_for("queued", "STORAGE_ERROR")
    dropped = controller.wait_for("slow", "STORAGE_ERROR")
    assert isinstance(dropped, pb.GrpcErrorEvent)
    assert dropped.fault == pb.FAULT_NONE
    wait_until(lambda: not encoders(worker), "the end of ffmpeg")
    controller.send(slow)  # a controller that was restarted and is not sure
    controller.send(task(worker, "two.mp4", task_id="next", speed="ultrafast"))
    controller.wait_for("next", "FILE_UPLOADED")
    assert "TRANSCODING_COMPLETED" not in controller.kinds("slow")
    assert controller.kinds("queued") == ["STORAGE_ERROR"]
