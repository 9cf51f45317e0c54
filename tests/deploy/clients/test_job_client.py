"""The typed client against the whole service: real gRPC, real HTTP, a real store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.clients.job_api import ApiAwayError, ApiError
from deploy.clients.job_client import JobClient, read_job
from deploy.clients.one_job import main
from deploy.rest.app import RestSettings, create_app
from env.jobs import Request
from tests.deploy.live_controller import controller_in
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

JOB = Request(0.0, "bbb_0.mp4", 2000, "fast")


def client_of(url: str) -> JobClient:
    return JobClient("127.0.0.1", int(url.rpartition(":")[2]), {})


def test_a_jobs_life_through_the_client(tmp_path: Path) -> None:
    def live(url: str) -> str:
        deadline = datetime.now(UTC) + timedelta(hours=1)
        with client_of(url) as client:
            first = client.submit_once(JOB, key="k", labels={"team": "news"}, deadline=deadline)
            assert client.submit_once(JOB, key="k", labels={"team": "news"}, deadline=deadline) == (
                first
            )
            second = client.submit_once(JOB, priority="high")
            job = client.details(first)
            assert (job.id, job.state, job.ended) == (first, "Waiting", False)
            assert (job.labels, job.priority) == ({"team": "news"}, "normal")
            assert job.deadline is not None
            assert abs(job.deadline - deadline) < timedelta(milliseconds=1)
            assert job.expected is not None
            assert job.expected.earliest <= job.expected.likely <= job.expected.latest
            assert job.times["received"] is not None
            assert job.times["ended"] is None
            assert client.details(second).queue_position == 1
            assert [each.id for each in client.find(page=1)] == [first, second]
            assert [each.id for each in client.find(newest_first=True)] == [second, first]
            assert [each.id for each in client.find(labels={"team": "news"})] == [first]
            later = datetime.now(UTC) + timedelta(hours=1)
            assert list(client.find(since=later)) == []
            assert len(list(client.find(before=later, states=["Waiting"]))) == 2
            with pytest.raises(ApiError, match="409"):
                client.download(first, tmp_path / "none")
            assert client.cancel(first).state == "Cancelled"
            with pytest.raises(ApiError) as error:
                client.cancel(first)
            assert error.value.status == 409
            assert client.retry(first).state == "Waiting"
            client.cancel(first)
            with pytest.raises(ApiError, match="404"):
                client.details("nobodys/../job")
        return second

    def fetch(url: str, job_id: str) -> bytes:
        with client_of(url) as client:
            assert client.details(job_id).ended
            return client.download(job_id, tmp_path / "result.mp4").read_bytes()

    async def run() -> None:
        async with controller_in(tmp_path) as running:
            app = create_app(RestSettings(controller=f"127.0.0.1:{running.controller.grpc_port}"))
            with serving(app) as url:
                job_id = await asyncio.to_thread(live, url)
                order = await running.spawned()
                assert await running.register(order.worker_id)
                task = await running.tasks(order.worker_id).read()
                assert task.request_id == job_id
                await running.finish(order.worker_id, task.task_id)
                content = await asyncio.to_thread(fetch, url, job_id)
                assert content == f"result of {task.task_id}".encode() * 10
        assert not list(tmp_path.glob("*.part"))

    asyncio.run(run())


def test_the_command_labels_waits_and_fetches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(results={"job-1": b"film"}, job_states={"job-1": 4})
    with (
        controller_running(script) as address,
        serving(create_app(RestSettings(controller=address))) as url,
    ):
        port = url.rpartition(":")[2]
        command = ["--input-video", "a.mp4", "-p", port, "--label", "team=news"]
        command += ["--priority", "low", "--output", str(tmp_path / "film.mp4")]
        assert main(command) == 0
        assert capsys.readouterr().out == "job-1\nCompleted\n"
        assert (tmp_path / "film.mp4").read_bytes() == b"film"
        assert dict(script.new_jobs["job-1"].labels) == {"team": "news"}
        assert script.new_jobs["job-1"].priority == "low"
        assert main(["--input-video", "a.mp4", "-p", port, "--label", "news"]) == 2


def test_a_signed_address_is_followed_without_our_key(tmp_path: Path) -> None:
    other = Script(results={"r": b"elsewhere"})
    script = Script(results={"r": b"here"})
    with (
        controller_running(script) as address,
        controller_running(other) as elsewhere,
        serving(create_app(RestSettings(controller=address))) as url,
        serving(create_app(RestSettings(controller=elsewhere))) as storage,
    ):
        script.result_url = f"{storage}/jobs/r/result"
        with client_of(url) as client:
            assert client.download("r", tmp_path / "r").read_bytes() == b"elsewhere"
            script.result_url = "http://127.0.0.1:1/"
            with pytest.raises(ApiAwayError, match="broke off"):
                client.download("r", tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_server_that_is_away_is_tried_again_with_the_same_key(tmp_path: Path) -> None:
    with client_of("http://127.0.0.1:1") as client, pytest.raises(ApiAwayError):
        client.submit_once(JOB, patience_s=0.1, pause_s=0.05)


@pytest.mark.parametrize("told", [{}, {"id": "j"}, {"times": None}])
def test_what_is_no_job_is_told_of(told: dict[str, object]) -> None:
    with pytest.raises(ApiError, match="cannot be"):
        read_job(told)
