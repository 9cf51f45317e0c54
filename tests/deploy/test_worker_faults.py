"""A real worker that is sick, or whose storage is, says whose fault it is and goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.media.ffmpeg import find_ffmpeg
from deploy.media.probe import probe
from tests.deploy.s3_server import ACCESS_KEY, S3Server
from tests.deploy.scripted_controller import ScriptedController, wait_until
from tests.deploy.worker_process import WorkerProcess, make_clip, running_worker, task


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path)
    return path


@pytest.fixture
def root(tmp_path: Path, clip: Path) -> Path:
    """The folder that is the storage."""
    inputs = tmp_path / "storage" / "input-videos"
    inputs.mkdir(parents=True)
    shutil.copy(clip, inputs / "clip.mp4")
    (inputs / "junk.mp4").write_bytes(b"no video at all" * 100)
    return tmp_path / "storage"


@pytest.fixture
def controller() -> Iterator[ScriptedController]:
    with ScriptedController() as controller:
        yield controller


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Path:
    """A link to the real one, to be taken away."""
    path = tmp_path / "ffmpeg"
    path.symlink_to(find_ffmpeg())
    return path


@pytest.fixture
def worker(
    tmp_path: Path,
    root: Path,
    controller: ScriptedController,
    ffmpeg: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[WorkerProcess]:
    monkeypatch.setenv("DACIRCO_FFMPEG", str(ffmpeg))
    with running_worker(tmp_path, controller.port, str(root), STORAGE_PATIENCE="0.1") as worker:
        yield worker


def fault_of(controller: ScriptedController, task_id: str) -> tuple[str, str, str]:
    """Of a task that ended in an error: whose it is, its type in the contract, and its words."""

    def ends() -> list[pb.GrpcErrorEvent]:
        errors = [report for report in controller.reports if report.task_id == task_id]
        return [report for report in errors if isinstance(report, pb.GrpcErrorEvent)]

    wait_until(ends, f"the error of {task_id}")
    error = ends()[0]
    return (
        pb.FaultEnum.Name(error.fault),
        pb.GrpcErrorType.Name(error.error_type),
        error.error_message,
    )


def test_a_bad_job_is_its_own_fault_and_leaves_the_worker_well(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    bad = {
        "junk": (task(worker, "junk.mp4", task_id="junk"), "ERROR_TRANSCODING_FAILED"),
        "none": (task(worker, "none.mp4", task_id="none"), "ERROR_STORAGE_ERROR"),
        "path": (task(worker, "../x", task_id="path"), "ERROR_TRANSCODING_FAILED"),
        "rate": (task(worker, task_id="rate", bitrate=0), "ERROR_TRANSCODING_FAILED"),
    }
    for message, _ in bad.values():
        controller.send(message)
    for task_id, (_, kind) in bad.items():
        assert fault_of(controller, task_id)[:2] == ("FAULT_JOB", kind)
    controller.send(task(worker, task_id="good"))
    controller.wait_for("good", "FILE_UPLOADED")


def test_an_ffmpeg_that_is_gone_or_broken_is_the_workers_fault_until_it_is_back(
    controller: ScriptedController, worker: WorkerProcess, ffmpeg: Path
) -> None:
    controller.send(task(worker, task_id="before"))
    controller.wait_for("before", "FILE_UPLOADED")
    ffmpeg.unlink()
    controller.send(task(worker, task_id="gone"))
    fault, _, words = fault_of(controller, "gone")
    assert fault == "FAULT_WORKER"
    assert "cannot be started" in words
    ffmpeg.write_text("#!/bin/sh\nexit 1\n")
    ffmpeg.chmod(0o755)
    # Also a bad video: nobody can know here that it is one.
    for task_id, video in (("broken", "clip.mp4"), ("both", "junk.mp4")):
        controller.send(task(worker, video, task_id=task_id))
        assert fault_of(controller, task_id)[0] == "FAULT_WORKER"
    ffmpeg.unlink()
    ffmpeg.symlink_to(find_ffmpeg())
    controller.send(task(worker, task_id="after"))
    controller.wait_for("after", "FILE_UPLOADED")


def test_a_killed_ffmpeg_is_not_the_jobs_fault(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    make_clip(root / "input-videos" / "long.mp4", size="640x360", seconds=20)
    controller.send(task(worker, "long.mp4", task_id="killed", speed="placebo"))
    worker.wait_for_ffmpeg().kill()
    fault, kind, words = fault_of(controller, "killed")
    assert (fault, kind) == ("FAULT_WORKER", "ERROR_TRANSCODING_FAILED")
    assert "a test film can be transcoded here" in words


def test_a_work_folder_that_is_taken_away_is_made_again_or_the_workers_fault(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    wait_until(lambda: controller.streams, "the worker")
    shutil.rmtree(worker.work_dir)
    controller.send(task(worker, task_id="removed"))
    controller.wait_for("removed", "FILE_UPLOADED")
    wait_until(lambda: not list(worker.work_dir.glob("*/*")), "an empty work folder")
    shutil.rmtree(worker.work_dir)
    worker.work_dir.write_text("in the way")
    controller.send(task(worker, task_id="blocked"))
    fault, kind, words = fault_of(controller, "blocked")
    assert (fault, kind) == ("FAULT_WORKER", "ERROR_STORAGE_ERROR")
    assert "the worker's disk" in words
    worker.work_dir.unlink()
    controller.send(task(worker, task_id="after"))
    controller.wait_for("after", "FILE_UPLOADED")


def test_a_storage_that_refuses_this_worker_is_its_fault_and_one_that_is_down_is_not(
    tmp_path: Path, controller: ScriptedController
) -> None:
    with (
        S3Server("videos") as server,
        running_worker(
            tmp_path,
            controller.port,
            f"s3://{server.endpoint}/videos",
            MINIO_ACCESS_KEY=ACCESS_KEY,
            MINIO_SECRET_KEY="battery staple",
            STORAGE_PATIENCE="0.1",
        ) as worker,
    ):
        controller.send(task(worker, task_id="secret"))
        assert fault_of(controller, "secret")[:2] == ("FAULT_WORKER", "ERROR_STORAGE_ERROR")
        server.stop()
        controller.send(task(worker, task_id="down"))
        assert fault_of(controller, "down")[:2] == ("FAULT_STORAGE", "ERROR_STORAGE_ERROR")


def test_a_storage_folder_that_is_not_mounted_is_the_workers_fault(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    root.rename(root.with_name("elsewhere"))
    controller.send(task(worker, task_id="unmounted"))
    fault, _, words = fault_of(controller, "unmounted")
    assert fault == "FAULT_WORKER"
    assert "does not exist" in words
    root.with_name("elsewhere").rename(root)
    controller.send(task(worker, task_id="after"))
    controller.wait_for("after", "FILE_UPLOADED")


def test_what_is_handed_back_is_nobodys_fault(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    message = task(worker, task_id="stranger")
    message.worker_id = "another"
    controller.send(message)
    assert fault_of(controller, "stranger")[0] == "FAULT_NONE"


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="NOT TESTED: needs prlimit")
def test_a_full_disk_is_the_workers_fault_and_costs_only_that_task(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    # No file may be larger than the small clip: the system refuses to write more, as a full disk.
    make_clip(root / "input-videos" / "large.mp4", size="640x360", seconds=4)
    limit = (root / "input-videos" / "large.mp4").stat().st_size - 1
    with running_worker(
        tmp_path, controller.port, str(root), prefix=["prlimit", f"--fsize={limit}"]
    ) as worker:
        controller.send(task(worker, "large.mp4", task_id="large"))
        fault, kind, words = fault_of(controller, "large")
        assert (fault, kind) == ("FAULT_WORKER", "ERROR_STORAGE_ERROR")
        assert "File too large" in words
        controller.send(task(worker, task_id="small"))
        controller.wait_for("small", "FILE_UPLOADED")


def test_two_jobs_for_one_video_keep_a_result_each(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    outputs = {}
    for number, bitrate in enumerate((300, 2000)):
        message = task(worker, task_id=f"task-{number}", bitrate=bitrate)
        message.request_id = f"job-{number}"
        controller.send(message)
        uploaded = controller.wait_for(message.task_id, "FILE_UPLOADED")
        assert isinstance(uploaded, pb.GrpcEvent)
        outputs[number] = root / "job-results" / f"job-{number}" / "out-clip.mp4"
        content = outputs[number].read_bytes()
        assert uploaded.output_size == len(content)
        assert uploaded.output_sha256 == hashlib.sha256(content).hexdigest()
        assert (root / "output-videos" / "out-clip.mp4").read_bytes() == content
    rates = [probe(path).bitrate_kbps or 0 for path in outputs.values()]
    assert rates[1] > 2 * rates[0]


def test_an_id_that_leads_elsewhere_has_only_the_latest_result(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    message = task(worker)
    message.request_id = "../../outside"
    controller.send(message)
    uploaded = controller.wait_for("task-1", "FILE_UPLOADED")
    assert isinstance(uploaded, pb.GrpcEvent)
    latest = root / "output-videos" / "out-clip.mp4"
    assert uploaded.output_sha256 == hashlib.sha256(latest.read_bytes()).hexdigest()
    assert not (root / "job-results").exists()
    assert sorted(path.name for path in root.parent.iterdir() if "outside" in path.name) == []


def test_a_fleet_of_both_generations_may_count_bits(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    with running_worker(tmp_path, controller.port, str(root), BITRATE_UNIT="bit") as worker:
        controller.send(task(worker, bitrate=300_000))
        controller.wait_for("task-1", "FILE_UPLOADED")
        found = probe(root / "output-videos" / "out-clip.mp4")
        assert found.bitrate_kbps == pytest.approx(300 + 70, rel=0.4)
