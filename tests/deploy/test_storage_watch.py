"""The look at the object storage: it never blocks, whatever the storage does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.controller.lanes import Lanes
from deploy.controller.storage_watch import MOST_CALLS, Looking, StorageWatch
from deploy.storage.base import StorageError, StorageUnavailableError
from deploy.storage.directory import DirectoryStorage
from tests.deploy.live_controller import until

QUICK = Looking(interval_s=0.05, first_pause_s=0.02, timeout_s=0.1)


class Moody(DirectoryStorage):
    """A folder that hangs or fails when a test wants it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.hangs: threading.Event | None = None
        self.looks = 0

    def check(self) -> None:
        self.looks += 1
        if self.hangs is not None:
            self.hangs.wait()
        super().check()


@asynccontextmanager
async def watching(storage: Moody) -> AsyncIterator[tuple[StorageWatch, list[str]]]:
    told: list[str] = []
    watch = StorageWatch(storage, QUICK, away=told.append, back=lambda: told.append("back"))
    running = asyncio.create_task(watch.run())
    try:
        yield watch, told
    finally:
        running.cancel()
        await watch.close()


def test_who_looks_away_and_back_is_told_once(tmp_path: Path) -> None:
    async def story() -> None:
        storage = Moody(tmp_path / "videos")
        async with watching(storage) as (watch, told):
            await watch.looked.wait()
            assert "does not exist" in watch.reason
            assert "does not exist" in await watch.look()
            waiting = asyncio.create_task(watch.wait_until_well())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            storage.prepare()
            await waiting
            assert (len(told), told[1], watch.reason) == (2, "back", "")
            storage.root.rmdir()
            assert await watch.look()  # at once, and not when it is time
            assert len(told) == 3

    asyncio.run(story())


def test_a_storage_that_hangs_is_away_and_costs_one_thread(tmp_path: Path) -> None:
    async def story() -> None:
        storage = Moody(tmp_path)
        storage.hangs = threading.Event()
        async with watching(storage) as (watch, told):
            await watch.looked.wait()
            assert "no answer within 0.1 s" in watch.reason
            await asyncio.sleep(0.5)
            assert storage.looks == 1
            storage.hangs.set()
            await watch.wait_until_well()
            assert told[1:] == ["back"]

    asyncio.run(story())


def test_calls_that_hang_block_nobody_and_are_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        storage, go_on, begun = Moody(tmp_path), threading.Event(), []

        def hang() -> None:
            begun.append(1)
            go_on.wait()

        async with watching(storage) as (watch, _):
            await watch.looked.wait()
            calls = [watch.call(hang) for _ in range(MOST_CALLS + 5)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, StorageUnavailableError) for each in answers)
            assert len(begun) == MOST_CALLS
            go_on.set()
            assert await watch.call(lambda: 7, timeout_s=30.0) == 7

    asyncio.run(story())


def test_a_call_that_finds_the_storage_away_has_it_looked_at(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageUnavailableError("down")

    def refuse() -> None:
        raise StorageError("denied")

    async def story() -> None:
        storage = Moody(tmp_path)
        slow = Looking(interval_s=1000.0, first_pause_s=1000.0)
        watch = StorageWatch(storage, slow, away=lambda _: None, back=lambda: None)
        running = asyncio.create_task(watch.run())
        await watch.looked.wait()
        for call, looks in ((refuse, 1), (fail, 2)):
            with pytest.raises(StorageError):
                await watch.call(call)
            await until(lambda looks=looks: storage.looks == looks)  # type: ignore[misc]
        running.cancel()
        await watch.close()

    asyncio.run(story())


def test_what_happens_in_a_lane_keeps_its_order_and_is_done_once() -> None:
    async def story() -> None:
        lanes, done, go_on = Lanes(), list[str](), asyncio.Event()

        async def slow() -> None:
            await go_on.wait()
            done.append("slow")

        async def quick() -> None:
            done.append("quick")

        async def fail() -> None:
            raise ValueError("no")

        first = asyncio.create_task(lanes.run("a", 1, slow))
        again = asyncio.create_task(lanes.run("a", 1, slow))
        after = asyncio.create_task(lanes.run("a", 2, quick))
        await asyncio.sleep(0)
        await lanes.run("b", 1, quick)
        first.cancel()
        await asyncio.sleep(0.01)
        assert done == ["quick"]
        go_on.set()
        await asyncio.gather(again, after)
        assert done == ["quick", "slow", "quick"]
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await lanes.run("a", 3, fail)
        await lanes.run("a", 4, quick)
        go_on.clear()
        left = asyncio.create_task(lanes.run("a", 5, slow))
        await asyncio.sleep(0.01)
        await lanes.close()
        with pytest.raises(asyncio.CancelledError):
            await left

    asyncio.run(story())
