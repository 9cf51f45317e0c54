"""A real worker process for tests, and the clips that it works on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.process import WORKER_VARIABLE
from deploy.managers.tagged import command_line
from deploy.media.ffmpeg import find_ffmpeg
from tests.deploy.scripted_controller import PATIENCE_S, wait_until


class WorkerProcess:
    """A running worker.

    Args:
        process: it.
        worker_id: its UUID.
        log_file: what it prints.
        work_dir: where it keeps the files of its tasks.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], worker_id: str, log_file: Path, work_dir: Path
    ) -> None:
        self.process = process
        self.worker_id = worker_id
        self.work_dir = work_dir
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE_S)

    def children(self) -> list[psutil.Process]:
        """What it has started and what is left of that when it is gone."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def wait_for_ffmpeg(self) -> psutil.Process:
        """The transcode that is running."""
        found: list[psutil.Process] = []

        def transcodes() -> bool:
            found[:] = [child for child in self.children() if "libx265" in command_line(child)]
            return bool(found)

        wait_until(transcodes, "ffmpeg")
        return found[0]

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid == self.process.pid:
            return False
        try:
            return process.environ().get(WORKER_VARIABLE) == self.worker_id
        except psutil.Error:
            return False


@contextmanager
def running_worker(
    folder: Path, port: int, storage: str, *, prefix: Sequence[str] = (), **options: str
) -> Iterator[WorkerProcess]:
    """A worker of the controller on a port; at the end it is gone, and all that it started.

    Args:
        folder: for its log and its work; may be shared by several.
        port: the controller's.
        storage: URL.
        prefix: a command that runs the worker's in its own place.
        options: further environment variables, without their prefix.
    """
    worker_id = str(uuid.uuid4())
    work_dir = folder / "work"
    log_file = folder / f"{worker_id}.log"
    settings = {
        "GRPC_SERVER": "127.0.0.1",
        "GRPC_PORT": str(port),
        "NAME": "worker",
        "ID": worker_id,
        "STORAGE": storage,
        "WORK_DIR": str(work_dir),
        "CPUS": "1",
        "KEEPALIVE_INTERVAL": "0.2",
        **options,
    }
    environment = {f"TCWORKER_{name}": value for name, value in settings.items() if value}
    environment[WORKER_VARIABLE] = worker_id
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "deploy.worker.command"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    worker = WorkerProcess(process, worker_id, log_file, work_dir)
    try:
        yield worker
    except BaseException:
        print(worker.log)
        raise
    finally:
        process.kill()
        process.wait()
        wait_until(lambda: not worker.children(), "the end of what the worker started")


def make_clip(
    path: Path, *, size: str = "160x90", seconds: float = 1.0, sound: bool = True
) -> None:
    """Render a clip."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=24")
    tone = ("-f", "lavfi", "-i", "sine=frequency=300") if sound else ()
    subprocess.run(
        [
            *(find_ffmpeg(), "-nostdin", "-loglevel", "error", *picture, *tone),
            *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "12"),
            *("-pix_fmt", "yuv420p", "-movflags", "+faststart", path),
        ],
        check=True,
    )


def task(
    worker: WorkerProcess,
    video: str = "clip.mp4",
    *,
    task_id: str = "task-1",
    speed: str = "ultrafast",
    bitrate: int = 500,
    output: str | None = None,
) -> pb.TCTask:
    """A task for a worker."""
    return pb.TCTask(
        input_video=video,
        output_video=output if output is not None else f"out-{video}",
        bitrate=bitrate,
        speed=speed,
        request_id=f"request-of-{task_id}",
        worker_id=worker.worker_id,
        task_id=task_id,
    )
