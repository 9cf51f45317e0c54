"""Our front end and our worker on a controller of the existing system, over real sockets."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from deploy.clients.job_api import JobApi
from deploy.rest.app import RestSettings, create_app
from env.jobs import Request
from tests.deploy.compatibility.existing_controller import (
    COMPLETED,
    ERROR,
    ExistingController,
    running,
)
from tests.deploy.compatibility.existing_worker import STORAGE_ERROR, TRANSCODING_FAILED
from tests.deploy.compatibility.wire import GENERATIONS, worker_words
from tests.deploy.rest.rest_server import serving
from tests.deploy.scripted_controller import wait_until
from tests.deploy.worker_process import make_clip, running_worker

CLIP = "clip.mp4"


# -- our front end on their controller ----------------------------------------------------


@contextmanager
def job_api(controller: ExistingController, dialect: Any) -> Iterator[str]:
    """Our Job API on the controller: its ``HOST:PORT``."""
    with running(controller) as address:
        app = create_app(RestSettings(controller=address, dialect=dialect))
        with serving(app) as url:
            yield url.removeprefix("http://")


def get(netloc: str, target: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(netloc, timeout=60)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_our_front_end_on_their_controller(generation: str) -> None:
    controller = ExistingController(generation)
    controller.workers = {f"w{n}": f"vm-{n}" for n in worker_words(generation)}
    controller.worker_states = {f"w{n}": word for n, word in worker_words(generation).items()}
    with job_api(controller, generation) as netloc:
        host, _, port = netloc.partition(":")
        with JobApi(host, int(port)) as api:
            job_id = api.submit(Request(0.0, "bbb_3.mp4", 2000, "fast"))
            (asked,) = controller.jobs.values()
            assert (asked.input_video, asked.output_video) == ("bbb_3.mp4", "out-bbb_3.mp4")
            assert (asked.bitrate, asked.speed) == (2000, "fast")
            assert api.job_ids() == [job_id]
            description = {"id_video": "bbb_3.mp4", "bitrate": 2000, "speed": "fast"}
            assert api.job(job_id) == description
            for number, word in ((1, "Waiting"), (3, "Started"), (4, "Completed"), (5, "Error")):
                controller.states[job_id] = number
                assert api.job_state(job_id) == word
            assert api.worker_ids() == list(controller.workers)
            for worker_id, word in controller.worker_states.items():
                assert api.worker_state(worker_id) == word
            assert api.worker("w1") == {
                "name": "vm-1",
                "id": "w1",
                "cpus": "2",
                "memory": "2048",
                "node": "compute1",
            }
        for unknown in ("/jobs/none", "/jobs/none/state", "/workers/none", "/workers/none/state"):
            assert get(netloc, unknown)[0] == 404


def test_a_wrong_dialect_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """What can be seen of it: 2024 knows no 6, stopped, and 7."""
    controller = ExistingController("2022")
    controller.worker_states = {"w": "Stopped"}
    with job_api(controller, "2024") as netloc:
        status, answer = get(netloc, "/workers/w/state")
        assert (status, "--dialect" in answer["detail"]) == (502, True)


# -- our worker on their controller -------------------------------------------------------


@contextmanager
def our_worker(controller: ExistingController, folder: Path) -> Iterator[Path]:
    """Our worker's process on the controller; gives the folder that stands for the bucket."""
    storage = folder / "storage"
    (storage / "input-videos").mkdir(parents=True)
    make_clip(storage / "input-videos" / CLIP)
    with (
        running(controller) as address,
        running_worker(folder, int(address.rpartition(":")[2]), str(storage)) as worker,
    ):
        wait_until(lambda: worker.worker_id in controller.workers, "the registration")
        assert controller.workers[worker.worker_id] == "worker"
        yield storage
        assert worker.process.poll() is None, worker.log
        worker.terminate()
        assert worker.wait() == 0, worker.log


def ended(controller: ExistingController, job_id: str) -> Callable[[], bool]:
    return lambda: controller.states[job_id] in (COMPLETED, ERROR)


@pytest.mark.parametrize("empty_replies", [False, True])
def test_our_worker_on_their_controller(tmp_path: Path, empty_replies: bool) -> None:
    controller = ExistingController(empty_replies=empty_replies)
    with our_worker(controller, tmp_path) as storage:
        jobs = [controller.add_job(CLIP, 500 + n) for n in range(2)]
        for job_id in jobs:
            wait_until(ended(controller, job_id), "the end of a job")
            assert controller.states[job_id] == COMPLETED
        assert controller.steps() == [1, 3, 4] * 2
        wait_until(lambda: (5, "") in controller.events, "a keepalive, without a task")
        assert {kind for kind, task_id in controller.events if not task_id} == {5}
        output = storage / "output-videos" / f"out-{CLIP}"
        assert "Video: hevc" in what_ffmpeg_says(output)
    assert controller.errors == []


def test_what_our_worker_cannot_do_is_an_error_event(tmp_path: Path) -> None:
    controller = ExistingController("2024")
    with our_worker(controller, tmp_path) as storage:
        (storage / "input-videos" / "broken.mp4").write_bytes(b"no video at all")
        for video, kind in (("broken.mp4", TRANSCODING_FAILED), ("none.mp4", STORAGE_ERROR)):
            job_id = controller.add_job(video)
            wait_until(ended(controller, job_id), f"the end of {video}")
            assert controller.states[job_id] == ERROR
            found, message = controller.errors[-1]
            assert found == kind
            assert message
        good = controller.add_job(CLIP)
        wait_until(ended(controller, good), "the end of the next job")
        assert controller.states[good] == COMPLETED


def what_ffmpeg_says(path: Path) -> str:
    """What a video is."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr
