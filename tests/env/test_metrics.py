"""Metrics of runs that are small enough to work out by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from env.jobs import Request
from env.metrics import EpisodeMetrics, job_delays, measure
from env.simulator import Simulator
from tests.env.worlds import FixedWorkers, KeepAlways, OnDemand, make_profile, make_work

USAGE = {
    "boot_cores": 0.5,
    "idle_cores": 0.1,
    "transcode_cores": 0.9,
    "base_ram_gib": 0.5,
    "ram_per_megapixel_gib": 0.25,
}
TIMING: dict[str, Any] = {
    "boot": {"median_s": 10.0},
    "stop": {"median_s": 4.0},
    "download": {"base_s": 1.0},
    "upload": {"base_s": 2.0},
    "usage": USAGE,
}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """Two jobs, one worker of 1 vCPU and 2 GiB on the larger of two nodes.

    0 job a arrives, the worker boots; 5 job b arrives; 10 a is assigned, 11 downloaded,
    31 transcoded, 33 uploaded; b is assigned, 34 downloaded, 64 transcoded, 66 uploaded.
    """
    profile = make_profile(
        nodes=[(4, 8.0), (2, 4.0)],
        flavors=[(1, 2.0)],
        cluster={"vcpu_overcommit": 2.0},
        timing=TIMING,
    )
    requests, catalog = make_work([0.0, 5.0], [20.0, 30.0])
    run = Simulator(profile, requests, catalog, preference=0.3)
    run.run(FixedWorkers(1))
    return run


@pytest.fixture(scope="module")
def metrics(simulator: Simulator) -> EpisodeMetrics:
    return measure(simulator)


def test_the_course_of_the_run(simulator: Simulator) -> None:
    assert simulator.assigned_s == pytest.approx([10.0, 33.0])
    assert simulator.downloaded_s == pytest.approx([11.0, 34.0])
    assert simulator.transcoded_s == pytest.approx([31.0, 64.0])
    assert simulator.ended_s == pytest.approx([33.0, 66.0])


def test_jobs(simulator: Simulator, metrics: EpisodeMetrics) -> None:
    assert (metrics.jobs, metrics.completed, metrics.failed, metrics.unfinished) == (2, 2, 0, 0)
    assert job_delays(simulator) == pytest.approx([33.0, 61.0])
    assert metrics.delay_mean_s == pytest.approx(47.0)
    assert metrics.delay_p95_s == pytest.approx(33.0 + 0.95 * 28.0)
    assert metrics.wait_mean_s == pytest.approx((10.0 + 28.0) / 2)
    assert metrics.makespan_s == pytest.approx(66.0)
    assert metrics.jobs_per_hour == pytest.approx(2 * 3600 / 66)
    assert (metrics.boots, metrics.spawn_failures, metrics.workers_lost) == (1, 0, 0)
    assert (metrics.requeued, metrics.invalid_actions) == (0, 0)


# CPU in use: 0.5 for 10 s, 0.9 for 50 s, 0.1 for 6 s. RAM: 0.5 GiB for 16 s, and
# 0.5 + 0.25 * 2.0736 = 1.0184 GiB, rounded to 1043 MiB, for 50 s.
CORE_SECONDS_USED = 5.0 + 45.0 + 0.6
GIB_SECONDS_USED = 0.5 * 16 + 1043 / 1024 * 50


def test_resources_of_the_data_centre(metrics: EpisodeMetrics) -> None:
    assert metrics.cpu_reserved_mean == pytest.approx(1 / 12)  # of 2 * 6 schedulable vCPUs
    assert metrics.cpu_reserved_p95 == pytest.approx(1 / 12)
    assert metrics.ram_reserved_mean == pytest.approx(2 / 12)  # of 12 GiB
    assert metrics.ram_reserved_p95 == pytest.approx(2 / 12)
    assert metrics.cpu_used_mean == pytest.approx(CORE_SECONDS_USED / 66 / 6)  # of 6 cores
    assert metrics.cpu_used_p95 == pytest.approx(0.9 / 6)
    assert metrics.ram_used_mean == pytest.approx(GIB_SECONDS_USED / 66 / 12)
    assert metrics.ram_used_p95 == pytest.approx(1043 / 1024 / 12)
    assert metrics.vcpu_seconds == pytest.approx(66.0)
    assert metrics.gib_seconds == pytest.approx(132.0)


def test_resources_of_each_node(metrics: EpisodeMetrics) -> None:
    busy, empty = metrics.nodes
    assert (busy.node, empty.node) == ("node0", "node1")
    assert busy.cpu.reserved_mean == pytest.approx(1 / 8)
    assert busy.cpu.reserved_p95 == pytest.approx(1 / 8)
    assert busy.cpu.used_mean == pytest.approx(CORE_SECONDS_USED / 66 / 4)
    assert busy.cpu.used_p95 == pytest.approx(0.9 / 4)
    assert busy.ram.reserved_mean == pytest.approx(2 / 8)
    assert busy.ram.reserved_p95 == pytest.approx(2 / 8)
    assert busy.ram.used_mean == pytest.approx(GIB_SECONDS_USED / 66 / 8)
    assert busy.ram.used_p95 == pytest.approx(1043 / 1024 / 8)
    for resource in (empty.cpu, empty.ram):
        assert resource.reserved_mean == resource.reserved_p95 == 0.0
        assert resource.used_mean == resource.used_p95 == 0.0


def test_cost(metrics: EpisodeMetrics) -> None:
    assert metrics.job_seconds == pytest.approx(33.0 + 61.0)
    # R = 6 cores * (half of 1/12 vCPUs + half of 2/12 GiB)
    assert metrics.core_seconds == pytest.approx(6 * 1.5 / 12 * 66)
    assert metrics.preference == 0.3
    assert metrics.cost == pytest.approx(0.3 * 94.0 + 0.7 * 49.5)
    assert metrics.cost_per_job == pytest.approx(metrics.cost / 2)


def test_the_95th_percentile_is_over_time_for_resources() -> None:
    # Two workers for the first 13 s of 100 + 13, one after: a peak of more than 5 %.
    profile = make_profile(flavors=[(1, 2.0)], timing={"boot": {"median_s": 3.0}})
    requests, catalog = make_work([0.0, 0.0], [10.0, 110.0])
    run = Simulator(profile, requests, catalog)
    run.run(OnDemand())
    metrics = measure(run)
    assert metrics.makespan_s == pytest.approx(113.0)
    assert metrics.cpu_reserved_mean == pytest.approx((13 * 2 + 100) / 113 / 18)
    assert metrics.cpu_reserved_p95 == pytest.approx(2 / 18)
    assert metrics.boots == 2


def test_a_short_peak_is_not_the_95th_percentile() -> None:
    profile = make_profile(flavors=[(1, 2.0)], timing={"boot": {"median_s": 3.0}, "usage": USAGE})
    requests, catalog = make_work([0.0, 0.0], [10.0, 410.0])
    run = Simulator(profile, requests, catalog)
    run.run(OnDemand())
    metrics = measure(run)
    assert metrics.cpu_reserved_p95 == pytest.approx(1 / 18)  # two for 13 of 413 s
    assert metrics.ram_reserved_p95 == pytest.approx(2 / 48)
    assert metrics.cpu_used_p95 == pytest.approx(0.9 / 18)
    assert metrics.ram_used_p95 == pytest.approx(1043 / 1024 / 48)


def test_a_transcode_on_more_vcpus_uses_more_for_a_shorter_time() -> None:
    law = {"parallel_exponent": 0.5}
    profile = make_profile(flavors=[(4, 2.0)], timing={"transcode": law, "usage": USAGE})
    requests, catalog = make_work([0.0], [60.0])
    run = Simulator(profile, requests, catalog)
    run.run(FixedWorkers(1))
    metrics = measure(run)
    assert metrics.makespan_s == pytest.approx(1.0 + 30.0)
    assert metrics.cpu_used_p95 == pytest.approx(0.9 * 2 / 18)  # 4 ** 0.5
    assert metrics.cpu_used_mean == pytest.approx((0.5 + 0.9 * 60.0) / 31 / 18)


def test_waits_and_delays_are_of_completed_jobs_only() -> None:
    profile = make_profile(flavors=[(1, 2.0)], faults={"transcode_error": 0.4})
    n = 30
    requests, catalog = make_work([float(i) for i in range(n)], [20.0] * n)
    run = Simulator(profile, requests, catalog, seed=3, limit_s=150.0)
    run.run(FixedWorkers(3))
    metrics = measure(run)
    assert min(metrics.completed, metrics.failed, metrics.unfinished) >= 3
    assert metrics.completed + metrics.failed + metrics.unfinished == n
    # Only of completed jobs is known when they were transcoded; here uploads take no time.
    done = [i for i, time in enumerate(run.transcoded_s) if time == time]
    assert len(done) == metrics.completed
    waits = [run.assigned_s[i] - requests[i].arrival_s for i in done]
    delays = [run.transcoded_s[i] - requests[i].arrival_s for i in done]
    assert metrics.wait_mean_s == pytest.approx(sum(waits) / len(waits))
    assert metrics.delay_mean_s == pytest.approx(sum(delays) / len(delays))


def test_it_is_ready_for_json(metrics: EpisodeMetrics) -> None:
    data = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert data["delay_mean_s"] == metrics.delay_mean_s
    assert data["nodes"][0]["node"] == "node0"
    assert data["nodes"][0]["cpu"]["used_p95"] == metrics.nodes[0].cpu.used_p95
    assert set(data) >= {
        "jobs",
        "delay_p95_s",
        "cpu_reserved_p95",
        "ram_used_mean",
        "jobs_per_hour",
        "boots",
        "failed",
        "cost_per_job",
    }


def test_a_run_that_serves_nobody() -> None:
    requests, catalog = make_work([2.0, 4.0], [10.0, 10.0])
    run = Simulator(make_profile(), requests, catalog, limit_s=20.0)
    run.run(KeepAlways())
    metrics = measure(run)
    assert (metrics.jobs, metrics.completed, metrics.unfinished) == (2, 0, 2)
    assert math.isnan(metrics.delay_mean_s)
    assert metrics.jobs_per_hour == 0.0
    assert metrics.job_seconds == pytest.approx(18.0 + 16.0)
    assert metrics.cost == pytest.approx(17.0)
    data = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert (data["delay_mean_s"], data["delay_p95_s"], data["wait_mean_s"]) == (None, None, None)


def test_a_run_of_nothing() -> None:
    requests: list[Request] = []
    _, catalog = make_work([0.0], [1.0])
    run = Simulator(make_profile(), requests, catalog)
    run.run(KeepAlways())
    metrics = measure(run)
    assert (metrics.jobs, metrics.makespan_s, metrics.cost) == (0, 0.0, 0.0)
    assert metrics.jobs_per_hour == 0.0
    assert json.dumps(metrics.to_dict(), allow_nan=False)


def test_failed_jobs_have_no_delay_but_cost() -> None:
    profile = make_profile(faults={"transcode_error": 1.0})
    requests, catalog = make_work([0.0, 3.0], [10.0, 10.0])
    run = Simulator(profile, requests, catalog, seed=1)
    run.run(FixedWorkers(2))
    metrics = measure(run)
    assert (metrics.completed, metrics.failed, metrics.unfinished) == (0, 2, 0)
    assert metrics.to_dict()["delay_mean_s"] is None
    assert job_delays(run) == []
    sojourns = [end - request.arrival_s for end, request in zip(run.ended_s, requests, strict=True)]
    assert metrics.job_seconds == pytest.approx(sum(sojourns))
