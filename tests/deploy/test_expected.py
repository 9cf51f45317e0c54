"""Expected ends: what a guess takes into account, and that its interval holds the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from deploy.expected import __main__ as measuring
from deploy.expected.__main__ import main, outcomes, report
from deploy.expected.forecast import Group, forecast
from deploy.expected.interval import NOMINAL, Outlook, factors
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from env.cluster import Cluster
from env.config import load_profile
from env.jobs import Job, Request
from env.scenario import load_split
from tests.deploy.live_controller import controller_in

REQUEST = Request(0.0, "bbb_0.mp4", 1000, "fast")


def cluster_with(*services: float) -> Cluster:
    """Waiting jobs a, b, c, ... that take so long, first come, first served."""
    cluster = Cluster(load_profile("openstack"), discipline="fcfs", boot_s=20.0)
    for name, service in zip("abcdef", services, strict=False):
        cluster.job_arrived(0.0, Job(name, REQUEST, (service,) * cluster.n_flavors))
    return cluster


def rest(cluster: Cluster) -> dict[str, tuple[Group, float]]:
    return {
        str(job): (guess.group, round(guess.remaining_s, 6))
        for job, guess in forecast(cluster).items()
    }


def test_without_a_worker_one_that_boots_is_reckoned_with() -> None:
    assert rest(cluster_with(10.0, 5.0)) == {
        "a": (Group.UNSERVED, 30.0),
        "b": (Group.UNSERVED, 35.0),
    }


def test_the_workers_that_are_there_serve_the_queue_in_its_order() -> None:
    cluster = cluster_with(10.0, 40.0, 7.0, 3.0)
    for worker in ("x", "y"):
        cluster.worker_spawned(0.0, worker, 0)
    for worker in ("x", "y"):
        cluster.worker_ready(5.0, worker)
    cluster.worker_spawned(5.0, "z", 0)
    cluster.task_assigned(6.0, "a", "x")
    cluster.tick(8.0)
    assert rest(cluster) == {
        "a": (Group.DOWNLOADING, 8.0),
        "b": (Group.NEXT, 40.0),  # y idles
        "c": (Group.NEXT, 15.0),  # x, when it has done a
        "d": (Group.BEHIND, 18.0),  # x again: z is there at 25, 17 from now
    }


def test_a_late_job_is_not_said_to_be_done() -> None:
    cluster = cluster_with(10.0)
    cluster.worker_spawned(0.0, "x", 0)
    cluster.worker_ready(5.0, "x")
    cluster.task_assigned(5.0, "a", "x")
    cluster.file_downloaded(6.0, "x")
    cluster.tick(500.0)
    assert rest(cluster) == {"a": (Group.TRANSCODING, 1.0)}


def test_nothing_is_said_of_held_jobs() -> None:
    cluster = cluster_with(10.0, 5.0)
    cluster.job_held(1.0, "a")
    assert rest(cluster) == {"b": (Group.UNSERVED, 25.0)}
    assert Outlook(cluster).of("a") is None


def test_an_outlook_follows_the_cluster() -> None:
    cluster = cluster_with(10.0)
    outlook = Outlook(cluster)
    first = outlook.of("a")
    assert first is not None
    assert 0.0 < first.earliest <= first.likely <= first.latest
    cluster.worker_spawned(0.0, "x", 0)
    second = outlook.of("a")
    assert second is not None
    assert second != first


def test_the_shipped_factors_hold_on_scenarios_that_they_have_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = load_split("test")[::4]
    monkeypatch.setattr(measuring, "load_split", lambda _: some)
    by, found = factors(), list(outcomes("test", ["minimize-workers"], "openstack", 77))
    assert by.keys() == set(Group)
    inside = [
        by[each.group].earliest * each.guessed_s
        <= each.took_s
        <= by[each.group].latest * each.guessed_s
        for each in found
    ]
    assert len(inside) > 1000
    assert abs(float(np.mean(inside)) - NOMINAL) < 0.15
    assert next(report(found, by)) == "nominal: 80% inside"


def test_the_command_says_what_is_wrong() -> None:
    assert main(["--profile", "nowhere"]) == 2
    assert main(["--policy", "nobody"]) == 2


def test_clients_are_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller_in(tmp_path, max_workers=1) as running:
            ask = DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]
            await running.controller.ready.wait()
            ids = [await running.submit() for _ in range(3)]
            told = [await ask.describe_job(jobs.JobName(job_id=each)) for each in ids]
            for each in told:
                assert each.times.received < each.expected.earliest
                assert each.expected.earliest <= each.expected.likely <= each.expected.latest
            likely = [each.expected.likely for each in told]
            assert likely == sorted(likely)
            cancelled = await ask.cancel_job(jobs.JobName(job_id=ids[2]))
            assert not cancelled.HasField("expected")

    asyncio.run(story())
