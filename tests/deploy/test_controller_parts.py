"""The controller's small parts: deadlines, streams, orders to a slow cloud, estimates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from deploy.controller.address import workers_address
from deploy.controller.background import Background
from deploy.controller.deadlines import Deadlines
from deploy.controller.streams import Streams
from deploy.controller.workforce import Workforce
from deploy.estimates import Estimates
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.managers.base import SpawnOrder
from env.catalog import load_catalog
from env.config import load_profile
from env.jobs import Request
from env.timing import TimingModel
from tests.deploy.live_controller import TestCloud, until


def test_deadlines() -> None:
    deadlines = Deadlines(10.0)
    for name, now in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        deadlines.sign(name, now)
    deadlines.renew("a", 5.0)
    deadlines.renew("unknown", 5.0)
    assert len(deadlines) == 3
    assert deadlines.expired(11.0) == []  # b is exactly as old as it may be
    assert deadlines.expired(11.5) == ["b"]
    deadlines.drop("c")
    deadlines.drop("unknown")
    assert deadlines.expired(15.5) == ["a"]
    assert deadlines.expired(99.0) == []
    deadlines.sign("d", 20.0)
    deadlines.renew_all(40.0)
    assert deadlines.expired(50.0) == []
    assert deadlines.expired(50.5) == ["d"]


def test_a_broken_stream_is_not_the_one_that_took_its_place() -> None:
    async def story() -> None:
        streams = Streams()
        old, new = streams.open("w"), streams.open("w")
        streams.left("w", old)
        assert streams.is_open("w")
        task = pb.TCTask(worker_id="w", task_id="t")
        streams.deliver(task)
        streams.acknowledge("w", "another")
        assert [sent async for sent in old] == []  # it has ended
        streams.left("w", new)
        assert not streams.is_open("w")
        last = streams.open("w")
        streams.acknowledge("w", "t")
        streams.close("w")
        assert [sent async for sent in last] == [task]
        assert [sent async for sent in _closed(streams)] == []

    asyncio.run(story())


def _closed(streams: Streams):  # type: ignore[no-untyped-def]
    stream = streams.open("w")
    streams.close_all()
    return stream


ORDER = SpawnOrder("w", "tc", load_profile("openstack").cluster.flavors[0])


def a_workforce(
    cloud: TestCloud, heard: list[tuple[str, ...]], timeout_s: float = 0.05
) -> Workforce:
    return Workforce(
        cloud,
        spawn_refused=lambda worker, why: heard.append(("refused", worker, why)),
        spawn_unclear=lambda worker, why: heard.append(("unclear", worker, why)),
        stopped=lambda worker: heard.append(("stopped", worker)),
        spawn_timeout_s=timeout_s,
        stop_timeout_s=timeout_s,
        first_pause_s=0.01,
    )


def never() -> Callable[[SpawnOrder], Awaitable[None]]:
    async def wait(_: SpawnOrder) -> None:
        await asyncio.Event().wait()

    return wait


def test_a_spawn_that_is_never_answered_has_failed() -> None:
    async def story() -> None:
        cloud, heard = TestCloud(), list[tuple[str, ...]]()
        cloud.on_spawn = never()
        workforce = a_workforce(cloud, heard)
        workforce.spawn(ORDER)
        await until(lambda: heard)
        assert heard == [("unclear", "w", "no answer within 0.05 s")]
        await workforce.close()

    asyncio.run(story())


def test_a_stop_breaks_off_the_spawn_and_is_tried_until_it_succeeds() -> None:
    async def story() -> None:
        cloud, heard = TestCloud(), list[tuple[str, ...]]()
        cloud.on_spawn, cloud.stop_fails = never(), 3
        workforce = a_workforce(cloud, heard, timeout_s=60.0)
        workforce.spawn(ORDER)
        await until(lambda: cloud.spawns)
        workforce.stop("w")
        workforce.stop("w")  # once is enough
        await workforce.wait_for_stops(60.0)
        assert heard == [("stopped", "w")]
        assert cloud.stops == ["w"] * 4
        await workforce.close()

    asyncio.run(story())


def test_the_end_of_the_controller_breaks_off_its_orders() -> None:
    async def story() -> None:
        cloud, heard = TestCloud(), list[tuple[str, ...]]()
        cloud.on_spawn, cloud.stop_fails = never(), 10**9
        workforce = a_workforce(cloud, heard, timeout_s=60.0)
        workforce.spawn(ORDER)
        workforce.stop("other")
        await until(lambda: cloud.stops)
        await workforce.wait_for_stops(0.05)
        await workforce.close()
        assert heard == []

    asyncio.run(story())


def test_estimates_are_the_simulators() -> None:
    profile, catalog = load_profile("openstack"), load_catalog()
    estimates = Estimates(profile, catalog)
    timing = TimingModel(profile)
    known = estimates.of("bbb_3.mp4", 2000, "fast")
    exact = timing.describe([Request(0.0, "bbb_3.mp4", 2000, "fast")], catalog)
    assert known.service_s == tuple(exact.service_s[0].tolist())
    unknown = estimates.of("mine.mp4", 2000, "fast")
    every = timing.describe([Request(0.0, name, 2000, "fast") for name in catalog], catalog)
    assert unknown.service_s == pytest.approx(every.service_s.mean(axis=0))
    flavors = profile.cluster.flavors
    for ram, flavor in zip(known.used_ram_gib, flavors, strict=True):
        assert 0 < ram <= flavor.ram_gib
    assert estimates.boot_s == timing.boot_s


@pytest.mark.parametrize(
    ("given", "bound", "address"),
    [
        ("10.0.0.7", "0.0.0.0", "10.0.0.7"),
        (None, "127.0.0.1", "127.0.0.1"),
        (None, "controller", "controller"),
    ],
)
def test_the_address_that_workers_call(given: str | None, bound: str, address: str) -> None:
    assert workers_address(given, bound) == address


def test_an_address_is_found_where_all_interfaces_are_listened_on() -> None:
    for bound in ("0.0.0.0", "::"):
        found = workers_address(None, bound)
        assert found not in ("", bound)


def test_what_breaks_in_the_background_is_told() -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    async def story() -> None:
        background = Background()
        async with background.running("steady", _for_ever()):
            await asyncio.sleep(0)
        assert not background.broken.is_set()
        async with background.running("weak", broken()):
            await asyncio.wait_for(background.broken.wait(), 60)

    asyncio.run(story())


async def _for_ever() -> None:
    await asyncio.Event().wait()
