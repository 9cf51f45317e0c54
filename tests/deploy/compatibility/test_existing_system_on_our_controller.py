"""The existing system's front end and worker on our controller, over real sockets.

The peers are made from the tables of the contract and behave as the existing code does.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.managers.base import SpawnOrder
from deploy.managers.environment import WorkerLink
from tests.deploy.compatibility.existing_front_end import existing_front_end
from tests.deploy.compatibility.existing_worker import ExistingWorker, living
from tests.deploy.compatibility.wire import GENERATIONS
from tests.deploy.live_controller import PATIENCE_S, Running, TestCloud, controller_in
from tests.deploy.worker_process import make_clip

CLIP = "clip.mp4"


class Client:
    """A client of the Job API that knows nothing but HTTP and JSON."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, **job: Any) -> tuple[int, str, str]:
        """Status, job id and Location."""
        request = urllib.request.Request(f"{self.url}/jobs", json.dumps(job).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read()), answer.headers["Location"]

    def get(self, target: str) -> Any:
        """The value, none after 404."""
        try:
            with urllib.request.urlopen(f"{self.url}{target}", timeout=PATIENCE_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def wait_for(self, target: str, *values: object) -> Any:
        """Wait until it is one of the values."""
        patience_ends = time.monotonic() + PATIENCE_S
        while (last := self.get(target)) not in values:
            assert time.monotonic() < patience_ends, f"{target} is {last}, none of {values}"
            time.sleep(0.02)
        return last


class Started:
    """Our controller, with the existing system's front end and workers on it.

    Attributes:
        client: of the front end.
        storage: the folder that stands for the bucket.
        running: the controller.
    """

    def __init__(self, client: Client, running: Running, link: WorkerLink) -> None:
        self.client, self.running = client, running
        self.storage = running.folder / "storage"
        self._link = link

    def environment(self, n: int) -> dict[str, str]:
        """What the n-th worker is started with."""
        patience_ends = time.monotonic() + PATIENCE_S
        while len(self.running.cloud.spawns) < n:
            assert time.monotonic() < patience_ends, f"worker {n} was not ordered"
            time.sleep(0.02)
        order: SpawnOrder = self.running.cloud.spawns[n - 1]
        return self._link.environment(order)

    @contextmanager
    def worker(self, n: int = 1, gate: threading.Semaphore | None = None) -> Iterator[None]:
        """The n-th worker, as the existing system's image starts it."""
        with living(ExistingWorker(self.environment(n), self.storage, gate)):
            yield

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Every worker that is ordered, as soon as it is."""
        over = threading.Event()

        def start_what_is_ordered() -> None:
            with ExitStack() as stack:
                started = 0
                while not over.wait(0.02):
                    while started < len(self.running.cloud.spawns):
                        started += 1
                        stack.enter_context(self.worker(started))

        thread = threading.Thread(target=start_what_is_ordered)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def worker_id(self) -> str:
        """The worker that clients see."""
        (worker_id,) = self.client.get("/workers")["items"]
        return str(worker_id)

    def codes(self) -> list[str]:
        """Of the events of the existing system, in the order of the log."""
        ours = {"EV1", "EV2", "EV3", "EV4", "EV5", "EV6", "EV7", "EV9", "EV10", "EV11"}
        return [event["code"] for event in self.running.log() if event["code"] in ours]


def play(folder: Path, scene: Callable[[Started], None], generation: str = "2022") -> None:
    """Start all, and let a scene pass in a thread of its own."""

    async def life() -> None:
        async with controller_in(folder, TestCloud(), dialect=generation) as running:
            port = running.controller.grpc_port

            def in_thread() -> None:
                with existing_front_end(f"127.0.0.1:{port}", generation) as url:
                    scene(Started(Client(url), running, WorkerLink("127.0.0.1", port)))

            await asyncio.to_thread(in_thread)

    (folder / "storage" / "input-videos").mkdir(parents=True, exist_ok=True)
    asyncio.run(life())


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_job_of_their_front_end_done_by_their_worker(tmp_path: Path, generation: str) -> None:
    make_clip_in(tmp_path)

    def scene(started: Started) -> None:
        client, gate = started.client, threading.Semaphore(0)
        # Their front end takes numbers as strings, too.
        status, job_id, location = client.post(id_video=CLIP, bitrate="700", speed="ultrafast")
        assert (status, location) == (201, f"{client.url}/jobs/{job_id}")
        assert job_id
        assert client.get(f"/jobs/{job_id}/state") == "Waiting"
        assert client.get(f"/jobs/{job_id}") == {
            "id_video": CLIP,
            "bitrate": 700,
            "speed": "ultrafast",
        }
        environment = started.environment(1)
        state = f"/workers/{started.worker_id()}/state"
        assert client.get(state) == "Booting"
        at_work = ["Downloading File", "Transcoding", "Uploading File"]
        words = at_work if generation == "2022" else ["Busy"] * 3
        with started.worker(1, gate):
            for word in words:
                client.wait_for(state, word)
                assert client.get(f"/jobs/{job_id}/state") == "Started"
                gate.release()
            client.wait_for(f"/jobs/{job_id}/state", "Completed")
            client.wait_for(state, "Idle", "Stopped")
            worker = client.get(f"/workers/{started.worker_id()}")
            assert worker["name"] == environment["TCWORKER_NAME"]
            assert all(isinstance(value, str) for value in worker.values())
        assert (started.storage / "output-videos" / f"out-{CLIP}").stat().st_size > 0
        assert started.codes() == ["EV1", "EV2", "EV11", "EV3", "EV4", "EV5", "EV6", "EV7"]
        assert client.get("/jobs") == {"items": [job_id], "has_more": False}
        for unknown in ("/jobs/none", "/jobs/none/state", "/workers/none", "/workers/none/state"):
            assert client.get(unknown) is None

    play(tmp_path, scene, generation)


def test_their_worker_does_one_job_after_the_other(tmp_path: Path) -> None:
    make_clip_in(tmp_path)

    def scene(started: Started) -> None:
        client = started.client
        jobs = [client.post(id_video=CLIP, bitrate=500 + n, speed="ultrafast")[1] for n in range(3)]
        with started.worker():
            for job_id in jobs:
                client.wait_for(f"/jobs/{job_id}/state", "Completed")
        assert client.get("/jobs")["items"] == jobs

    play(tmp_path, scene)


def test_what_their_worker_cannot_transcode_ends_in_error(tmp_path: Path) -> None:
    make_clip_in(tmp_path)
    (tmp_path / "storage" / "input-videos" / "broken.mp4").write_bytes(b"no video at all")

    def scene(started: Started) -> None:
        client = started.client
        bad = client.post(id_video="broken.mp4", bitrate=500, speed="fast")[1]
        with started.workers():
            assert client.wait_for(f"/jobs/{bad}/state", "Error") == "Error"
            good = client.post(id_video=CLIP, bitrate=500, speed="ultrafast")[1]
            client.wait_for(f"/jobs/{good}/state", "Completed")
        failed = [event for event in started.running.log() if event["code"] == "EV9"]
        assert failed
        assert "Invalid data" in failed[0]["error_message"]

    play(tmp_path, scene)


def make_clip_in(folder: Path) -> None:
    """The input video."""
    inputs = folder / "storage" / "input-videos"
    inputs.mkdir(parents=True, exist_ok=True)
    make_clip(inputs / CLIP)
