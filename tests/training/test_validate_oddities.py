"""Replays repeat what a measured system did and the product does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from agents.registry import make_policy
from env.config import FlavorConfig, Profile, load_profile
from env.jobs import Request
from env.simulator import Simulator
from env.timeline import Timeline
from tests.training.simulated_runs import CATALOG, draw_requests, simulated_tables
from training.calibration.observations import tidy
from training.validation.comparison import compare
from training.validation.measured_flavor import POD_SIZES, replay_cluster
from training.validation.measured_rules import as_measured, leaves_idle
from training.validation.measured_run import MeasuredRun, measured_runs
from training.validation.measured_world import Measured, MeasuredWorld
from training.validation.replay import replay
from training.validation.replay_report import remarks, result_word

PROFILE = replace(load_profile("openstack"), image_cached=True)
REQUESTS = draw_requests(1, 40, gap_s=12.0)
TABLES = simulated_tables(PROFILE, REQUESTS, seed=777)
NO_SCATTER = replace(
    PROFILE,
    timing=replace(
        PROFILE.timing,
        boot=replace(PROFILE.timing.boot, sigma=0.0, crowd_slope=0.0),
        transcode=replace(PROFILE.timing.transcode, sigma=0.0),
    ),
)


def only_run(tasks: pd.DataFrame, workers: pd.DataFrame) -> MeasuredRun:
    (run,) = measured_runs(tidy(tasks, workers))
    return run


def asked(*arrivals: float, kbps: int = 1000) -> list[Request]:
    return [Request(moment, "d.mp4", kbps, "ultrafast") for moment in arrivals]


def played(
    requests: Sequence[Request], spec: str, measured: Measured, most: int = 5
) -> tuple[MeasuredWorld, Timeline]:
    """A run of the rule as the measured system has it."""
    policy, timeline = as_measured(make_policy(spec), most), Timeline()
    world = MeasuredWorld(
        NO_SCATTER,
        requests,
        CATALOG,
        discipline=policy.discipline,
        timeline=timeline,
        limit_s=2000.0,
        measured=measured,
    )
    world.run(policy)
    return world, timeline


# -- tasks that hang ------------------------------------------------------------------------


def hanging(row: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The run, in which one task was given to its worker and never got on."""
    tasks, workers = (table.copy() for table in TABLES)
    steps = ["t_dwnld_start", "t_tc_start", "t_upld_start", "t_completed"]
    tasks.loc[row, [*steps, "status"]] = [nan] * 4 + ["aborted"]
    workers["t_stopped"] = tasks["t_completed"].max() + 1084.0
    return tasks, workers


def test_a_run_is_judged_by_the_requests_that_do_not_hang() -> None:
    run = only_run(*hanging(39))
    assert run.complete
    assert run.hung_requests == {39}
    result = replay(run, PROFILE, seeds=10)
    assert any("1 of its requests hung, and hang in the replay" in note for note in result.notes)
    for trace in result.simulated:
        assert isnan(trace.ended[39])
        assert np.isfinite(trace.ended[:39]).all()
    comparison = compare(result)
    assert result_word(comparison) == "holds"
    assert any("never began to download" in line for line in remarks(comparison))


def test_a_worker_that_hangs_is_lost_to_the_others() -> None:
    requests = asked(0.0, 1.0, 2.0, 3.0)
    spec = "grace-period:flavor=s10.tiny,max_workers=1"
    free, _ = played(requests, spec, Measured())
    stuck, _ = played(requests, spec, Measured(hung=frozenset({1})))
    assert np.isfinite(free.ended_s).all()
    assert np.isfinite(stuck.ended_s).tolist() == [True, False, False, False]


def test_a_run_that_was_stopped_is_not_complete_although_a_task_hangs() -> None:
    tasks, workers = hanging(39)
    tasks.loc[38, ["t_upld_start", "t_completed", "status"]] = [nan, nan, "aborted"]
    assert not only_run(tasks, workers).complete


# -- sizes ----------------------------------------------------------------------------------


def pods(keys: Sequence[str]) -> MeasuredRun:
    """A run whose workers are pods of these sizes, in the order of their creation."""
    tasks, workers = (table.assign(runner="pod") for table in TABLES)
    of = dict(zip(workers["worker"], keys, strict=True))
    for table in (tasks, workers):
        table["flavor_key"] = [of.get(name, "") for name in table["worker"]]
        table["vcpus"] = [
            {"large": 4.0, "small": 0.5}.get(of[name], 1.0) for name in table["worker"]
        ]
    return only_run(tasks, workers)


def sizes_of(count: int) -> list[str]:
    return ["small" if i % 3 == 1 else "large" for i in range(count)]


def test_each_worker_of_a_run_with_two_sizes_has_its_own() -> None:
    keys = sizes_of(len(TABLES[1]))
    run = pods(keys)
    size = replay_cluster(run, load_profile("kubernetes").cluster)
    assert [flavor.name for flavor in size.cluster.flavors] == ["pod-small", "pod-large"]
    assert size.of_workers == tuple(f"pod-{key}" for key in keys)
    assert size.of_key == {"small": "pod-small", "large": "pod-large"}
    result = replay(run, load_profile("kubernetes"), seeds=2, algorithm="grace-period")
    assert "flavor=pod-large" in result.policy
    assert any("each worker has the size that it had (" in note for note in result.notes)
    rule = replay(run, load_profile("kubernetes"), seeds=2, algorithm="priority-based-dynamic")
    assert "small=pod-small,large=pod-large" in rule.policy


def test_workers_come_in_the_sizes_of_the_measured_ones() -> None:
    order = [0, 1, 0, 1]
    _, timeline = played(
        asked(0.0, 1.0, 2.0, 3.0, 4.0),
        "grace-period:flavor=s10.tiny,max_workers=5",
        Measured(flavors=order),
    )
    assert [lane.flavor for lane in timeline.lanes] == [*order, 0]


def test_half_a_cpu_is_as_slow_as_measured() -> None:
    requests, spec = asked(0.0), "grace-period:flavor=s10.tiny"
    whole, _ = played(requests, spec, Measured())
    half, _ = played(requests, spec, Measured(slowness={0: 3.6}, loads={0: 0.5}))

    def took(world: MeasuredWorld) -> float:
        return world.transcoded_s[0] - world.downloaded_s[0]

    assert took(half) == pytest.approx(3.6 * took(whole))
    assert POD_SIZES["small"].vcpus == 1


# -- the rules ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adaptive-grace-period", "priority-based-dynamic"])
def test_a_request_waits_for_a_worker_that_becomes_free(name: str) -> None:
    """The first worker idles when the second request comes, which waits for a new worker."""
    flavors = "small=s10.tiny,large=s10.tiny" if name.startswith("priority") else "flavor=s10.tiny"
    spec = f"{name}:{flavors},max_workers=2,max_idle_time=100"
    first_ends = played(asked(0.0), spec, Measured(leaves_idle=True))[0].ended_s[0]
    requests = asked(0.0, first_ends + 20.0)
    ours, _ = played(requests, spec, Measured())
    theirs, timeline = played(requests, spec, Measured(leaves_idle=True))
    assert leaves_idle(as_measured(make_policy(spec), 2))
    assert ours.assigned_s[1] == pytest.approx(requests[1].arrival_s)
    boot = timeline.lanes[1].spans[1].start_s
    assert theirs.assigned_s[1] == pytest.approx(boot)
    assert boot > requests[1].arrival_s + 10.0
    assert all(one.start_s <= two.start_s for one, two in pairwise(timeline.lanes[0].spans))


def test_an_idle_worker_ends_although_requests_wait() -> None:
    spec = "adaptive-grace-period:flavor=s10.tiny,max_workers=1,max_idle_time=40"
    end = played(asked(0.0), spec, Measured(leaves_idle=True))[0].ended_s[0]
    world, timeline = played(asked(0.0, end + 5.0), spec, Measured(leaves_idle=True))
    assert len(timeline.lanes) == 2  # the second is started when the first has ended
    assert world.assigned_s[1] > end + 20.0


def test_looks_start_workers_beyond_the_limit_up_to_as_many_as_there_were() -> None:
    spec = "priority-based-dynamic:small=s10.tiny,large=s10.tiny,max_workers=2"
    requests = asked(*(float(i) for i in range(30)))
    peaks = []
    for most in (2, 4, 6):
        _, timeline = played(requests, spec, Measured(leaves_idle=True), most)
        births = [lane.spans[0].start_s for lane in timeline.lanes]
        ends = [lane.end_s or 2000.0 for lane in timeline.lanes]
        peaks.append(
            max(sum(b <= t < e for b, e in zip(births, ends, strict=True)) for t in births)
        )
    assert peaks == [2, 4, 6]


def test_the_first_request_starts_a_worker_and_looks_start_more_while_the_queue_is_long() -> None:
    spec = "scheduler-with-queue:flavor=s10.tiny,max_workers=4,queue_threshold=3"
    _, alone = played(asked(0.0), spec, Measured())
    assert len(alone.lanes) == 1
    _, timeline = played(asked(0.0, 30.0, 31.0, 31.5), spec, Measured())
    # At 31.5 s three wait: one worker at once, one at each look, up to the limit.
    births = [lane.spans[0].start_s for lane in timeline.lanes]
    assert births == pytest.approx([0.0, 31.5, 32.0, 33.0])


# -- quotas ---------------------------------------------------------------------------------


def quota_world(requests: Sequence[Request], throttle: float, *, workers: int) -> MeasuredWorld:
    """Pods of 4 CPUs, all on the first node of 6 cores."""
    profile: Profile = replace(
        NO_SCATTER,
        cluster=replace(
            NO_SCATTER.cluster, flavors=(FlavorConfig("pod", 4, 1.0),), vcpu_overcommit=4.0
        ),
        timing=replace(
            NO_SCATTER.timing, contention=replace(NO_SCATTER.timing.contention, slope_per_core=0.0)
        ),
    )
    world = MeasuredWorld(
        profile,
        requests,
        CATALOG,
        worker_nodes=[0] * workers,
        measured=Measured(throttle=throttle, limits={0: 4.0}),
    )
    world.run(make_policy(f"grace-period:flavor=pod,max_workers={workers}"))
    return world


def test_a_quota_throttles_who_is_alone_and_not_two_that_share_the_cores() -> None:
    def took(world: Simulator) -> list[float]:
        return [b - a for a, b in zip(world.downloaded_s, world.transcoded_s, strict=True)]

    alone = took(quota_world(asked(0.0), 1.0, workers=1))[0]
    assert took(quota_world(asked(0.0), 2.0, workers=1))[0] == pytest.approx(2.0 * alone)
    together = took(quota_world(asked(0.0, 0.0), 2.0, workers=2))
    assert together == pytest.approx([alone, alone], rel=0.02)
    one, two = took(quota_world(asked(0.0, alone), 2.0, workers=2))
    assert alone < one < 2.0 * alone  # alone at first, then with company
    assert alone < two < 2.0 * alone


def test_only_nodes_that_copied_the_image_do_so_again() -> None:
    tasks, workers = (table.copy() for table in TABLES)
    first = workers.sort_values("t_created").groupby("node").head(1)
    cold = first.iloc[0]
    workers.loc[workers["worker"] == cold["worker"], "t_created"] -= 45.0
    world = replace(PROFILE, image_cached=False)
    result = replay(only_run(tasks, workers), world, seeds=3)
    assert any(f"copied the image on {cold['node']}: so" in note for note in result.notes)
    for trace in result.simulated:
        slow = trace.part("boot") > 2 * PROFILE.timing.boot.median_s
        assert slow[0]
        assert slow.sum() <= 2
