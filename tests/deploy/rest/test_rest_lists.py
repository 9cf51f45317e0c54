"""Lists of ids: pages, whole lists, and both with a controller that knows no pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from sqlalchemy import insert

from deploy.controller import servicer
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.rest.app import RestSettings, create_app
from deploy.store import schema
from deploy.store.store import Store
from tests.deploy.live_controller import controller_in
from tests.deploy.rest.rest_controller import Script, controller_running
from tests.deploy.rest.rest_server import serving

MANY = 25_001
IDS = [f"job-{i:05d}" for i in range(MANY)]


def fill(folder: Path) -> None:
    """A store with many jobs that are done, and as many workers that are gone."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    job = {"input_video": "a.mp4", "output_video": "b.mp4", "bitrate": 900, "speed": "fast"}
    job |= {"state": "Completed", "attempts": 1, "time_received": 17e8}
    worker = {"name": "w", "flavor": "s10.tiny", "node": "compute1", "cpus": 1, "memory": 2.0}
    worker |= {"state": "Stopped", "time_created": 17e8}
    with store._engine.begin() as connection:
        connection.execute(insert(schema.jobs), [job | {"request_id": each} for each in IDS])
        connection.execute(insert(schema.workers), [worker | {"worker_id": each} for each in IDS])
    store.close()


@pytest.fixture(scope="module", params=["ours", "existing"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Job API in front of our controller, and of one that knows no pages."""
    if request.param == "existing":
        script = Script()
        script.jobs = {each: pb.TCRequest(input_video="a.mp4") for each in IDS}
        script.workers = {each: pb.WorkerFullDesc(id=each) for each in IDS}
        with controller_running(script) as address, _served(address) as served:
            yield served
        return
    folder = tmp_path_factory.mktemp("controller")
    fill(folder)
    runner = asyncio.Runner()
    context = controller_in(folder)
    running = runner.run(context.__aenter__())
    from threading import Thread  # the loop must turn while tests ask

    loop = runner.get_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        with _served(f"127.0.0.1:{running.controller.grpc_port}") as served:
            yield served
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        runner.run(context.__aexit__(None, None, None))
        runner.close()


def _served(address: str) -> Any:
    return serving(create_app(RestSettings(controller=address, timeout_s=30.0)))


def get(url: str, **query: Any) -> tuple[list[str], bool]:
    reply = requests.get(url, params=query, timeout=60)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body.keys() == {"items", "has_more"}
    return body["items"], body["has_more"]


@pytest.mark.parametrize("kind", ["jobs", "workers"])
def test_a_list_without_a_limit_is_whole(url: str, kind: str) -> None:
    assert get(f"{url}/{kind}") == (IDS, False)
    assert get(f"{url}/{kind}", offset=7) == (IDS[7:], False)
    assert get(f"{url}/{kind}", after=IDS[9]) == (IDS[10:], False)
    assert get(f"{url}/{kind}", after=IDS[-1]) == ([], False)


@pytest.mark.parametrize("kind", ["jobs", "workers"])
def test_pages(url: str, kind: str) -> None:
    assert get(f"{url}/{kind}", limit=2) == (IDS[:2], True)
    assert get(f"{url}/{kind}", limit=2, offset=MANY - 2) == (IDS[-2:], False)
    assert get(f"{url}/{kind}", limit=2, after=IDS[10]) == (IDS[11:13], True)
    assert get(f"{url}/{kind}", limit=2, after=IDS[10], offset=3) == (IDS[14:16], True)
    assert get(f"{url}/{kind}", limit=2, after=IDS[-1]) == ([], False)


def test_page_after_page_gives_the_whole_list(url: str) -> None:
    items: list[str] = []
    more = True
    while more:
        page, more = get(f"{url}/jobs", limit=10_000, after=items[-1] if items else "")
        items += page
    assert items == IDS


@pytest.mark.parametrize("query", [{}, {"limit": 5}])
def test_an_id_that_is_not_there(url: str, query: dict[str, int]) -> None:
    reply = requests.get(f"{url}/jobs", params=query | {"after": "nobody"}, timeout=60)
    assert reply.status_code == 404
    assert "nobody" in reply.json()["detail"]


def test_a_reply_that_would_be_too_long_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    monkeypatch.setattr(servicer, "MOST_SENT", 15_000 * 11)

    async def story() -> None:
        async with controller_in(tmp_path) as running:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.stub.get_requests(pb.Empty())
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "ask for pages" in str(caught.value.details())
            page = await running.stub.get_requests(pb.Empty(limit=3, after=IDS[4]))
            assert (list(page.request_ids), page.has_more) == (IDS[5:8], True)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.stub.get_requests(pb.Empty(limit=3, after="nobody"))
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            page = await running.stub.get_requests(pb.Empty(limit=3, offset=-(2**62)))
            assert list(page.request_ids) == IDS[:3]

    asyncio.run(story())


def test_why_a_job_failed(tmp_path: Path) -> None:
    def ask(url: str, read: Callable[[requests.Response], Any]) -> Any:
        return read(requests.get(url, timeout=60))

    async def story() -> None:
        async with controller_in(tmp_path, max_attempts=1) as running:
            job_id = await running.submit()
            worker = await running.spawned()
            await running.register(worker.worker_id)
            task = await running.tasks(worker.worker_id).read()
            await running.error(
                pb.ERROR_TRANSCODING_FAILED, worker.worker_id, task.task_id, "no picture in it"
            )
            with _served(f"127.0.0.1:{running.controller.grpc_port}") as url:
                reply = await asyncio.to_thread(requests.get, f"{url}/jobs/{job_id}/error")
                assert "no picture in it" in reply.json()["error"]
                other = await running.submit()
                reply = await asyncio.to_thread(requests.get, f"{url}/jobs/{other}/error")
                assert reply.json() == {"error": None}
                reply = await asyncio.to_thread(requests.get, f"{url}/jobs/nobody/error")
                assert reply.status_code == 404

    asyncio.run(story())
