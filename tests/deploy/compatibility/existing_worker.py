"""A worker as the existing system's behaves: it takes its environment, and does what it is told.

It trusts the names in a task, passes the ids of a task on in what it reports, tells nothing that
the contract does not have, and gives ffmpeg the number of the bitrate without a unit.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import imageio_ffmpeg

from tests.deploy.compatibility.wire import Wire

FILE_DOWNLOADED: Final = 1
TRANSCODING_COMPLETED: Final = 3
FILE_UPLOADED: Final = 4
KEEPALIVE: Final = 5
TRANSCODING_FAILED: Final = 1
STORAGE_ERROR: Final = 2


class ExistingWorker:
    """One worker, from its registration until the controller ends the stream of tasks.

    Args:
        environment: the ``TCWORKER_...`` variables that it was started with.
        storage: folder that stands for the bucket.
        gate: is waited for before each report of a step; lets a test look in between.
    """

    def __init__(
        self, environment: Mapping[str, str], storage: Path, gate: threading.Semaphore | None = None
    ) -> None:
        self._id, self._name = environment["TCWORKER_ID"], environment["TCWORKER_NAME"]
        self._interval_s = float(environment.get("TCWORKER_KEEPALIVE_INTERVAL", "15"))
        server, port = environment["TCWORKER_GRPC_SERVER"], environment["TCWORKER_GRPC_PORT"]
        self._wire = Wire(f"{server}:{port}")
        self._storage, self._gate = storage, gate
        self._ended = threading.Event()
        self._tasks: Any = None

    def live(self) -> None:
        """Register, and do tasks until there are no more."""
        with self._wire:
            if not self._wire.call("register_worker", name=self._name, id=self._id).success:
                return
            beat = threading.Thread(target=self._keep_alive)
            beat.start()
            try:
                self._tasks = self._wire.stream("get_tasks", name=self._name, id=self._id)
                for task in self._tasks:
                    self._do(task)
            except grpc.RpcError:
                pass  # as the existing one: without its controller it ends
            finally:
                self._ended.set()
                beat.join()

    def end(self) -> None:
        """As if its machine was switched off."""
        self._ended.set()
        if self._gate is not None:
            self._gate.release(100)
        if self._tasks is not None:
            self._tasks.cancel()

    def _keep_alive(self) -> None:
        self._tell(KEEPALIVE, self._id, "")
        while not self._ended.wait(self._interval_s):
            self._tell(KEEPALIVE, self._id, "")

    def _do(self, task: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, task.input_video), Path(folder, task.output_video)
            try:
                shutil.copy(self._storage / "input-videos" / task.input_video, source)
            except OSError as error:
                self._fail(STORAGE_ERROR, str(error), task)
                return
            self._step(FILE_DOWNLOADED, task)
            command = [_ffmpeg(), "-nostdin", "-loglevel", "error", "-i", str(source)]
            command += ["-c:v", "libx265", "-b:v", str(task.bitrate), "-preset", task.speed]
            command += ["-x265-params", "log-level=error", "-f", "mp4", "-y", str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self._fail(TRANSCODING_FAILED, done.stderr, task)
                return
            self._step(TRANSCODING_COMPLETED, task)
            output = self._storage / "output-videos"
            output.mkdir(exist_ok=True)
            shutil.copy(target, output / task.output_video)
            self._step(FILE_UPLOADED, task)

    def _step(self, kind: int, task: Any) -> None:
        if self._gate is not None:
            self._gate.acquire()
        self._tell(kind, task.worker_id, task.task_id)

    def _tell(self, kind: int, worker_id: str, task_id: str) -> None:
        self._wire.call("submit_event", event_type=kind, worker_id=worker_id, task_id=task_id)

    def _fail(self, kind: int, message: str, task: Any) -> None:
        ids = {"worker_id": task.worker_id, "task_id": task.task_id}
        self._wire.call("submit_error", error_type=kind, error_message=message, **ids)


@contextmanager
def living(worker: ExistingWorker) -> Iterator[ExistingWorker]:
    """A worker that runs beside the test."""
    thread = threading.Thread(target=worker.live)
    thread.start()
    try:
        yield worker
    finally:
        worker.end()
        thread.join()


def _ffmpeg() -> str:
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())
