"""Sick workers, a full disk that all share, a storage that is away: no job is lost or in Error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.grpc_api import dacirco_pb2 as pb
from tests.deploy.hostile.players import Behaviour, Company, Player
from tests.deploy.live_controller import Running, controller_in, until

NO_SPACE = "the worker's disk: No space left on device"


@asynccontextmanager
async def company_in(
    folder: Path, behave: Behaviour, **options: Any
) -> AsyncIterator[tuple[Running, Company]]:
    """A controller whose workers behave so."""
    company = Company(behave)
    async with controller_in(folder, company.cloud, **options) as running:
        company.running = running
        try:
            yield running, company
        finally:
            await company.end()


async def states_of(running: Running, jobs: list[str]) -> list[int]:
    return [await running.job_state(job_id) for job_id in jobs]


async def all_completed(running: Running, jobs: list[str]) -> None:
    async with asyncio.timeout(60):
        while set(states := await states_of(running, jobs)) != {pb.REQUEST_STATUS_COMPLETED}:
            assert pb.REQUEST_STATUS_ERROR not in states
            await asyncio.sleep(0.05)


def metric(running: Running, name: str) -> float:
    text = running.controller.conductor.metrics.exposition().decode()
    lines = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1])


def fleet(n: int) -> dict[str, Any]:
    """So many workers, always: what keeps a sick one alive beside the others."""
    return {"max_workers": n, "scheduler": f"reserve-k:spares={n}"}


def test_one_of_two_workers_has_a_full_work_folder(tmp_path: Path) -> None:
    async def behave(player: Player, task: pb.TCTask) -> None:
        if player.number == 0:
            await player.fail(task, NO_SPACE, pb.FAULT_WORKER)
        else:
            await asyncio.sleep(0.1)
            await player.do(task)

    async def story() -> None:
        async with company_in(tmp_path, behave, **fleet(2)) as (running, company):
            jobs = [await running.submit() for _ in range(8)]
            await all_completed(running, jobs)
            sick = company.players[0]
            # Jobs enough to show what it is, and it is ended.
            while "EV42" not in {event["code"] for event in running.log()}:
                jobs.append(await running.submit())
                await asyncio.sleep(0.05)
            await all_completed(running, jobs)
            quarantined = await running.logged("EV42", worker_id=sick.worker_id)
            assert (quarantined["failures"], quarantined["reason"]) == ("3", NO_SPACE)
            assert sick.tasks == 3
            await running.logged("EV33", worker_id=sick.worker_id)
            await until(lambda: len(company.players) == 3)  # it is replaced
            assert metric(running, "dacirco_workers_quarantined_total") == 1
            worker = await running.controller.service.worker(sick.worker_id)
            assert worker is not None
            assert "quarantined after 3 failures" in str(worker.reason)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "fault", "message"),
    [
        (pb.ERROR_STORAGE_ERROR, pb.FAULT_UNKNOWN, "connection reset by peer"),
        (pb.ERROR_STORAGE_ERROR, pb.FAULT_STORAGE, "the storage does not answer"),
        (pb.ERROR_STORAGE_ERROR, pb.FAULT_WORKER, NO_SPACE),
        (pb.ERROR_STORAGE_ERROR, pb.FAULT_JOB, "input-videos/bbb_0.mp4 does not exist"),
        (pb.ERROR_TRANSCODING_FAILED, pb.FAULT_JOB, "moov atom not found"),
        (pb.ERROR_TRANSCODING_FAILED, pb.FAULT_UNKNOWN, "moov atom not found"),
        (pb.ERROR_TRANSCODING_FAILED, pb.FAULT_UNKNOWN, "ffmpeg failed with code 1"),
        (pb.ERROR_STORAGE_ERROR, pb.FAULT_NONE, "handed back"),
    ],
)
def test_one_of_three_workers_fails_every_task_whatever_it_says(
    kind: int, fault: int, message: str, tmp_path: Path
) -> None:
    async def behave(player: Player, task: pb.TCTask) -> None:
        if player.number == 1:
            await player.fail(task, message, fault, kind)
        else:
            await asyncio.sleep(0.02)
            await player.do(task)

    async def story() -> None:
        async with company_in(tmp_path, behave, **fleet(3)) as (running, company):
            jobs = [await running.submit() for _ in range(30)]
            await all_completed(running, jobs)
            assert all(times <= 3 for times in company.given.values())

    asyncio.run(story())


def test_a_disk_that_all_workers_share_is_full_for_a_while(tmp_path: Path) -> None:
    mended = asyncio.Event()

    async def behave(player: Player, task: pb.TCTask) -> None:
        if mended.is_set():
            await player.do(task)
        else:
            await player.fail(task, NO_SPACE, pb.FAULT_WORKER)

    async def story() -> None:
        async with company_in(tmp_path, behave, **fleet(3)) as (running, company):
            jobs = [await running.submit() for _ in range(6)]
            failing = await running.logged("EV43", state="all fail")
            assert NO_SPACE in failing["reason"]
            await until(lambda: sum(company.given.values()) > 5 * len(jobs))
            assert pb.REQUEST_STATUS_ERROR not in await states_of(running, jobs)
            assert metric(running, "dacirco_workers_failing") == 1
            # New workers would not mend it: there is one quarantine, not one a second.
            assert metric(running, "dacirco_workers_quarantined_total") == 1
            mended.set()
            await all_completed(running, jobs)
            await running.logged("EV43", state="over")
            assert metric(running, "dacirco_workers_failing") == 0

    asyncio.run(story())


def test_the_storage_is_away_for_a_while(tmp_path: Path) -> None:
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"
    go_on = asyncio.Event()

    async def behave(player: Player, task: pb.TCTask) -> None:
        if not storage.exists():
            await player.fail(task, "cannot download", pb.FAULT_UNKNOWN)
            return
        if player.company.given.total() == 1:
            await player.tell(task, pb.EVENT_FILE_DOWNLOADED)
            await go_on.wait()  # its upload falls into the time without a storage
            await player.tell(task, pb.EVENT_TRANSCODING_COMPLETED)
            await player.fail(task, "cannot upload", pb.FAULT_STORAGE)
            return
        await player.do(task)

    async def story() -> None:
        async with company_in(tmp_path, behave, **fleet(2)) as (running, company):
            first = await running.submit()
            await running.logged("EV5", request_id=first)
            storage.rename(elsewhere)
            away = await running.logged("EV38")
            assert str(storage) in away["reason"]
            assert metric(running, "dacirco_storage_away") == 1
            url = f"http://127.0.0.1:{running.controller.http_port}/ready"
            answer = await asyncio.to_thread(requests.get, url, timeout=30)
            assert answer.status_code == 503
            assert "waiting for the object storage" in answer.json()["status"]
            jobs = [first, *[await running.submit() for _ in range(5)]]
            missing = await running.submit("nobody_knows.mp4")  # taken: nobody can look now
            go_on.set()
            await running.logged("EV24", request_id=first, fault="storage")
            await asyncio.sleep(0.5)
            assert sum(company.given.values()) == 1  # nothing was handed out
            assert await states_of(running, [*jobs, missing]) == [pb.REQUEST_STATUS_WAITING] * 7
            elsewhere.rename(storage)
            await all_completed(running, jobs)
            assert await running.job_state(missing) == pb.REQUEST_STATUS_ERROR
            failed = await running.logged("EV25", request_id=missing, attempts="0")
            assert "no input video 'nobody_knows.mp4'" in failed["reason"]
            await running.logged("EV39")
            assert metric(running, "dacirco_storage_away") == 0
            assert company.given[first] == 2

    asyncio.run(story())


def test_the_controller_starts_and_takes_jobs_without_a_storage(tmp_path: Path) -> None:
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"

    async def behave(player: Player, task: pb.TCTask) -> None:
        await player.do(task)

    async def story() -> None:
        company = Company(behave)
        options = fleet(1) | {"storage": str(elsewhere)}
        async with controller_in(tmp_path, company.cloud, **options) as running:
            company.running = running
            job_id = await running.submit()
            await running.logged("EV38")
            await asyncio.wait_for(running.controller.ready.wait(), 60)
            assert await running.job_state(job_id) == pb.REQUEST_STATUS_WAITING
            elsewhere.symlink_to(storage)
            await all_completed(running, [job_id])
            await company.end()

    asyncio.run(story())


def test_a_bad_video_ends_in_error_and_its_workers_are_not_blamed(tmp_path: Path) -> None:
    async def behave(player: Player, task: pb.TCTask) -> None:
        if task.bitrate == 666:
            kind = pb.ERROR_TRANSCODING_FAILED
            await player.fail(task, "Invalid data found", pb.FAULT_JOB, kind)
        else:
            await player.do(task)

    async def story() -> None:
        async with company_in(tmp_path, behave, **fleet(3)) as (running, company):
            bad = [await running.submit(bitrate=666) for _ in range(12)]
            good = [await running.submit() for _ in range(6)]
            async with asyncio.timeout(60):
                while set(await states_of(running, bad)) != {pb.REQUEST_STATUS_ERROR}:
                    await asyncio.sleep(0.05)
            await all_completed(running, good)
            assert all(company.given[job_id] <= 2 for job_id in bad)
            assert metric(running, "dacirco_workers_quarantined_total") == 0

    asyncio.run(story())
