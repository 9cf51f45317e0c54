"""Real workers with real ffmpeg, told what to do by a scripted controller."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.tagged import command_line
from deploy.media.probe import probe
from tests.deploy.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.deploy.scripted_controller import Report, ScriptedController, kind_of, wait_until
from tests.deploy.worker_process import WorkerProcess, make_clip, running_worker, task

STEPS = ["FILE_DOWNLOADED", "TRANSCODING_COMPLETED", "FILE_UPLOADED"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "clip.mp4")
    make_clip(folder / "two.mp4", seconds=2, sound=False)
    # With the slowest preset it would take minutes: no test lets it.
    make_clip(folder / "long.mp4", size="640x360", seconds=20)
    (folder / "junk.mp4").write_bytes(b"no video at all" * 1000)
    return folder


@pytest.fixture
def root(tmp_path: Path, clips: Path) -> Path:
    """The folder that is the storage."""
    shutil.copytree(clips, tmp_path / "storage" / "input-videos")
    return tmp_path / "storage"


@pytest.fixture
def controller() -> Iterator[ScriptedController]:
    with ScriptedController() as controller:
        yield controller


@pytest.fixture
def worker(tmp_path: Path, root: Path, controller: ScriptedController) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path, controller.port, str(root)) as worker:
        yield worker


def slow_task(worker: WorkerProcess, task_id: str = "slow") -> pb.TCTask:
    return task(worker, "long.mp4", task_id=task_id, speed="placebo")


def leftovers(worker: WorkerProcess) -> list[Path]:
    return list(worker.work_dir.glob("*/*"))


def test_a_task_becomes_an_hevc_mp4(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    controller.send(task(worker, "two.mp4", bitrate=800))
    controller.wait_for("task-1", "FILE_UPLOADED")
    assert controller.kinds("task-1") == STEPS
    assert {report.worker_id for report in controller.reports} == {worker.worker_id}
    (registered,) = controller.registered
    assert (registered.name, registered.id) == ("worker", worker.worker_id)
    found = probe(root / "output-videos" / "out-two.mp4")
    assert found.video == "hevc"
    assert found.duration_s == pytest.approx(2, abs=0.1)
    assert found.bitrate_kbps == pytest.approx(800, rel=0.35)
    wait_until(lambda: not leftovers(worker), "an empty work folder")


def test_bad_tasks_end_in_errors_and_the_worker_goes_on(
    controller: ScriptedController, worker: WorkerProcess, root: Path, tmp_path: Path
) -> None:
    broken = (root / "input-videos" / "two.mp4").read_bytes()
    (root / "input-videos" / "cut.mp4").write_bytes(broken[: len(broken) // 2])
    (root / "input-videos" / "list.mp4").write_text(f"ffconcat version 1.0\nfile {root}/x.mp4\n")
    (tmp_path / "secret").write_text("outside")
    bad = {
        "junk": (task(worker, "junk.mp4", task_id="junk"), "TRANSCODING_FAILED", "not a video"),
        "cut": (task(worker, "cut.mp4", task_id="cut"), "TRANSCODING_FAILED", "breaks off"),
        "list": (task(worker, "list.mp4", task_id="list"), "TRANSCODING_FAILED", "not a video"),
        "none": (task(worker, "none.mp4", task_id="none"), "STORAGE_ERROR", "does not exist"),
        "up": (task(worker, "../../secret", task_id="up"), "TRANSCODING_FAILED", "slash"),
        "root": (task(worker, "/etc/passwd", task_id="root"), "TRANSCODING_FAILED", "slash"),
        "out": (task(worker, task_id="out", output="../x.mp4"), "TRANSCODING_FAILED", "slash"),
        "zero": (task(worker, task_id="zero", bitrate=0), "TRANSCODING_FAILED", "bitrate 0"),
        "speed": (task(worker, task_id="speed", speed="-i x"), "TRANSCODING_FAILED", "'-i x'"),
    }
    for message, _, _ in bad.values():
        controller.send(message)
    controller.send(task(worker, task_id="good"))
    controller.wait_for("good", "FILE_UPLOADED")
    for task_id, (_, kind, words) in bad.items():
        report = controller.wait_for(task_id, kind)
        assert controller.kinds(task_id)[-1] == kind
        assert isinstance(report, pb.GrpcErrorEvent)
        assert words in report.error_message
        assert len(report.error_message) <= 300
        assert str(worker.work_dir) not in report.error_message
    assert [path.name for path in (root / "output-videos").iterdir()] == ["out-clip.mp4"]
    assert not (root / "x.mp4").exists()
    wait_until(lambda: not leftovers(worker), "an empty work folder")


def test_s3_that_is_down_and_comes_back(
    tmp_path: Path, clips: Path, controller: ScriptedController
) -> None:
    with S3Server("videos") as server:
        server.buckets["videos"]["input-videos/clip.mp4"] = (clips / "clip.mp4").read_bytes()
        port = server.port
        server.stop()
        with running_worker(
            tmp_path,
            controller.port,
            "",
            MINIO_SERVER="127.0.0.1",
            MINIO_PORT=str(port),
            MINIO_ACCESS_KEY=ACCESS_KEY,
            MINIO_SECRET_KEY=SECRET_KEY,
        ) as worker:
            controller.send(task(worker))
            wait_until(lambda: "trying again" in worker.log, "a failed download")
            server.start()
            controller.wait_for("task-1", "FILE_UPLOADED")
            assert "output-videos/out-clip.mp4" in server.buckets["videos"]
            command = Path(f"/proc/{worker.process.pid}/cmdline").read_text()
            assert SECRET_KEY not in command
            assert SECRET_KEY not in worker.log


def test_s3_that_stays_down_and_wrong_secrets_are_storage_errors(
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
        controller.send(task(worker, task_id="wrong"))
        report = controller.wait_for("wrong", "STORAGE_ERROR")
        assert "refuses the secret key" in report.error_message
        server.stop()
        controller.send(task(worker, task_id="down"))
        report = controller.wait_for("down", "STORAGE_ERROR")
        assert "Connection refused" in report.error_message
        assert "staple" not in worker.log


def test_secrets_do_not_reach_ffmpeg(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    with running_worker(
        tmp_path,
        controller.port,
        str(root),
        MINIO_ACCESS_KEY=ACCESS_KEY,
        MINIO_SECRET_KEY=SECRET_KEY,
    ) as worker:
        controller.send(slow_task(worker))
        ffmpeg = worker.wait_for_ffmpeg()
        assert SECRET_KEY not in str(ffmpeg.environ())
        assert SECRET_KEY not in str(ffmpeg.cmdline())


def test_signs_of_life_go_on_while_transcoding(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    controller.send(slow_task(worker))
    worker.wait_for_ffmpeg()
    before = len(controller.signs_of_life)
    wait_until(lambda: len(controller.signs_of_life) > before + 2, "signs of life")
    assert {sign.task_id for sign in controller.signs_of_life} == {""}


def test_a_controller_that_is_restarted_in_the_middle(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    # It goes away with the first event in its hands: the worker gets no answer to it.
    def hold(report: Report) -> None:
        wait_until(lambda: not controller.is_up or len(controller.reports) > 1)

    controller.on_report = hold
    controller.send(task(worker))
    wait_until(lambda: controller.reports, "the first event")
    controller.stop()
    wait_until(lambda: "cannot report, trying again" in worker.log, "a try that failed")
    wait_until(lambda: "no tasks from the controller" in worker.log, "a broken stream")
    controller.start()
    controller.wait_for("task-1", "FILE_UPLOADED")
    # Told again until it is answered: how often depends on when the connection broke.
    assert list(dict.fromkeys(controller.kinds("task-1"))) == STEPS
    assert len(controller.registered) == 1
    wait_until(lambda: controller.streams == 2, "a new stream")
    controller.send(task(worker, "two.mp4", task_id="next"))
    controller.wait_for("next", "FILE_UPLOADED")
    assert (root / "output-videos" / "out-two.mp4").exists()


def test_a_task_that_is_sent_again_is_not_done_again(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    controller.send(task(worker))
    controller.wait_for("task-1", "FILE_UPLOADED")
    output = root / "output-videos" / "out-clip.mp4"
    output.unlink()
    controller.send(task(worker))
    wait_until(lambda: controller.kinds("task-1") == STEPS * 2, "the same reports again")
    controller.send(slow_task(worker))
    worker.wait_for_ffmpeg()
    controller.send(slow_task(worker))
    wait_until(lambda: controller.kinds("slow") == ["FILE_DOWNLOADED"] * 2, "the report again")
    assert not output.exists()
    assert len([child for child in worker.children() if "libx265" in command_line(child)]) == 1


def test_a_task_that_the_controller_has_given_up_is_dropped(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    def refuse(report: Report) -> pb.gRPCServiceReply | None:
        given_up = {"early": "FILE_DOWNLOADED", "late": "TRANSCODING_COMPLETED"}
        if given_up.get(report.task_id) == kind_of(report):
            return pb.gRPCServiceReply(success=False, error_message="not your task")
        return None

    controller.on_report = refuse
    controller.send(task(worker, "long.mp4", task_id="early", speed="placebo"))
    controller.send(task(worker, "two.mp4", task_id="late"))
    controller.send(task(worker, task_id="good"))
    controller.wait_for("good", "FILE_UPLOADED")
    assert controller.kinds("early") == ["FILE_DOWNLOADED"]
    assert controller.kinds("late") == STEPS[:2]
    assert [path.name for path in (root / "output-videos").iterdir()] == ["out-clip.mp4"]


def test_an_empty_reply_is_no_refusal(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    controller.on_report = lambda _: pb.gRPCServiceReply()
    controller.send(task(worker))
    controller.wait_for("task-1", "FILE_UPLOADED")


def test_sigterm_ends_an_idle_worker(controller: ScriptedController, worker: WorkerProcess) -> None:
    wait_until(lambda: controller.streams, "a stream")
    worker.terminate()
    assert worker.wait() == 0
    assert list(worker.work_dir.iterdir()) == []


def test_sigterm_before_the_controller_answers(tmp_path: Path) -> None:
    with running_worker(tmp_path, 1, str(tmp_path)) as worker:
        wait_until(lambda: "trying again" in worker.log, "a try to register")
        worker.terminate()
        assert worker.wait() == 0


def test_sigterm_lets_the_task_end(
    controller: ScriptedController, worker: WorkerProcess, root: Path
) -> None:
    def terminate(report: Report) -> None:
        if kind_of(report) == "FILE_DOWNLOADED":
            worker.terminate()

    controller.on_report = terminate
    controller.send(task(worker))
    assert worker.wait() == 0
    assert controller.kinds("task-1") == STEPS
    assert (root / "output-videos" / "out-clip.mp4").exists()


def test_sigterm_hands_back_what_does_not_end_in_time(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    with running_worker(tmp_path, controller.port, str(root), DRAIN_TIMEOUT="0.3") as worker:
        controller.send(slow_task(worker))
        worker.wait_for_ffmpeg()
        controller.send(task(worker, task_id="waiting"))
        worker.terminate()
        assert worker.wait() == 0
        assert worker.children() == []
        for task_id in ("slow", "waiting"):
            report = controller.wait_for(task_id, "STORAGE_ERROR")
            assert "handed back" in report.error_message
        assert not (root / "output-videos").exists()
        assert list(worker.work_dir.iterdir()) == []


def test_a_second_sigterm_hands_back_at_once(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    controller.send(slow_task(worker))
    worker.wait_for_ffmpeg()
    worker.terminate()
    wait_until(lambda: "asked to stop" in worker.log, "the first signal")
    worker.terminate()
    assert worker.wait() == 0
    assert "handed back" in controller.wait_for("slow", "STORAGE_ERROR").error_message


def test_kill_leaves_no_ffmpeg_and_the_next_worker_tidies_up(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    with running_worker(tmp_path, controller.port, str(root)) as worker:
        controller.send(slow_task(worker))
        ffmpeg = worker.wait_for_ffmpeg()
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        psutil.wait_procs([ffmpeg], timeout=60)
        assert not ffmpeg.is_running()
        wait_until(lambda: not worker.children(), "the end of ffmpeg")
        (stale,) = worker.work_dir.iterdir()
    with running_worker(tmp_path, controller.port, str(root)) as worker:
        wait_until(lambda: len(controller.registered) == 2, "the next worker")
        assert not stale.exists()
        controller.send(task(worker))
        controller.wait_for("task-1", "FILE_UPLOADED")


def test_a_killed_ffmpeg_is_an_error(controller: ScriptedController, worker: WorkerProcess) -> None:
    controller.send(slow_task(worker))
    worker.wait_for_ffmpeg().kill()
    report = controller.wait_for("slow", "TRANSCODING_FAILED")
    assert "killed" in report.error_message


def test_the_end_of_the_stream_ends_the_worker(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    wait_until(lambda: controller.streams, "a stream")
    # Once may be a restart of the controller; the worker asks again.
    controller.end_stream()
    wait_until(lambda: controller.streams == 2, "a second stream")
    controller.end_stream()
    assert worker.wait() == 0
    assert len(controller.registered) == 1


def test_a_worker_that_was_stopped_is_not_surprised_to_be_unknown(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    wait_until(lambda: controller.streams, "a stream")
    controller.stream_error = grpc.StatusCode.NOT_FOUND
    controller.end_stream()
    assert worker.wait() == 0


def test_a_worker_that_becomes_unknown_at_work_drops_it(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    controller.send(slow_task(worker))
    worker.wait_for_ffmpeg()
    controller.stream_error = grpc.StatusCode.NOT_FOUND
    controller.end_stream()
    assert worker.wait() == 2
    assert worker.children() == []


def test_a_refused_worker_ends_with_a_message(tmp_path: Path) -> None:
    with ScriptedController() as controller:
        controller.refusal = "unknown worker"
        with running_worker(tmp_path, controller.port, str(tmp_path)) as worker:
            assert worker.wait() == 2
            assert "refuses us: unknown worker" in worker.log


def test_a_worker_that_is_no_longer_known_ends(
    tmp_path: Path, root: Path, controller: ScriptedController
) -> None:
    with running_worker(tmp_path, controller.port, str(root)) as worker:
        controller.send(slow_task(worker))
        worker.wait_for_ffmpeg()
        controller.stop()
        controller.stream_error = grpc.StatusCode.NOT_FOUND
        controller.start()
        assert worker.wait() == 2
        assert "does not want this worker" in worker.log
        assert worker.children() == []


def test_a_refused_sign_of_life_ends_the_worker(
    controller: ScriptedController, worker: WorkerProcess
) -> None:
    controller.on_report = lambda _: pb.gRPCServiceReply(success=False, error_message="who?")
    assert worker.wait() == 2
    assert "gave us up: who?" in worker.log


def test_a_controller_that_stays_away(tmp_path: Path) -> None:
    with running_worker(tmp_path, 1, str(tmp_path), CONTROLLER_TIMEOUT="0.5") as worker:
        assert worker.wait() == 2
        assert "has not answered for 0.5 s" in worker.log
