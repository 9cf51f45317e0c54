"""The simulator: what holds on every run, and what happens when things go wrong.

Statistical tests use fixed seeds and accept z-scores up to 4.9 (a correct simulator exceeds
it with probability 1e-6).
"""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.actions import KEEP, Action, kill, spawn
from env.catalog import Catalog, load_catalog
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.errors import UnknownNameError
from env.jobs import Request
from env.metrics import measure
from env.simulator import PATIENCE_S, Decider, Epoch, Simulator
from env.timeline import Timeline
from env.worker import WorkerState
from tests.env.worlds import (
    Erratic,
    FixedWorkers,
    KeepAlways,
    OnDemand,
    make_profile,
    make_work,
)

Z_LIMIT = 4.9


def realistic(seed: int, n: int = 60) -> tuple[list[Request], Catalog]:
    """Requests for the shipped movies, about as many as three nodes can serve."""
    catalog = load_catalog()
    rng = np.random.default_rng(seed)
    names = [movie.name for movie in catalog.movies]
    arrivals = np.cumsum(rng.exponential(8.0, n))
    return [
        Request(
            float(arrival),
            names[rng.integers(len(names))],
            int(rng.integers(500, 8001)),
            "fast" if rng.random() < 0.5 else "ultrafast",
        )
        for arrival in arrivals
    ], catalog


def rough_profile() -> Profile:
    """Everything at once: scatter, contention, over-commit, cold nodes, all faults."""
    return make_profile(
        nodes=[(4, 8.0), (6, 16.0)],
        tick_s=5.0,
        image_cached=False,
        cluster={"vcpu_overcommit": 1.5, "placement": "spread"},
        timing={
            "boot": {
                "median_s": 16.0,
                "sigma": 0.1,
                "first_on_node_s": 36.0,
                "first_on_node_sigma": 0.3,
                "spacing_s": 1.5,
                "crowd_knee_share": 0.5,
                "crowd_slope": 0.6,
                "crowd_limit": 2.5,
            },
            "stop": {"median_s": 2.0, "sigma": 0.2},
            "download": {"base_s": 0.1, "per_megabyte_s": 0.05, "sigma": 0.2},
            "upload": {"base_s": 0.1, "per_megabyte_s": 0.01, "sigma": 0.3},
            "transcode": {"sigma": 0.3, "duration_exponent": 0.8},
            "contention": {"knee_share": 0.5, "slope_per_core": 0.11, "boot_load": 1.0},
        },
        faults={"spawn_failure": 0.15, "worker_loss_per_hour": 20.0, "transcode_error": 0.1},
    )


class Watched(Erratic):
    """Orders at random, and recounts the whole cluster each time it is asked."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked = 0

    def act(self, cluster: Cluster) -> Action:
        self.asked += 1
        self.recount(cluster)
        return super().act(cluster)

    @staticmethod
    def recount(cluster: Cluster) -> None:
        workers = cluster.workers.values()
        busy = [worker for worker in workers if worker.state is WorkerState.BUSY]
        assert cluster.waiting == 0 or cluster.n_idle == 0, "a job waits beside an idle worker"
        assert cluster.in_service == cluster.n_busy == len(busy)
        assert len(cluster.jobs) == cluster.jobs_in_system
        for flavor in range(cluster.n_flavors):
            states = Counter(worker.state for worker in workers if worker.flavor == flavor)
            assert cluster.booting[flavor] == states[WorkerState.BOOTING]
            assert cluster.idle[flavor] == states[WorkerState.IDLE]
            assert cluster.busy[flavor] == states[WorkerState.BUSY]
            assert cluster.draining[flavor] == states[WorkerState.DRAINING]
        assert cluster.reserved_vcpus == sum(cluster.vcpus[w.flavor] for w in workers)
        queued = sum(job.service_s[0] for job in cluster.jobs.values()) - sum(
            worker.job.service_s[0] for worker in busy if worker.job is not None
        )
        assert cluster.queued_service_s[0] == pytest.approx(queued, abs=1e-6)
        expected_end = min((worker.expected_end for worker in busy), default=None)
        assert cluster.next_expected_end == expected_end
        for node in cluster.nodes:
            here = [worker for worker in workers if worker.node == node.index]
            assert node.free_millicores >= 0
            assert node.free_mib >= 0
            assert node.n_workers == len(here)
            assert node.used_cpu.value == sum(worker.used_millicores for worker in here)
            assert node.used_ram.value == sum(worker.used_mib for worker in here)


def play(
    policy: Decider,
    profile: Profile | None = None,
    work: tuple[list[Request], Catalog] | None = None,
    **arguments: Any,
) -> Simulator:
    """A run to its end."""
    requests, catalog = work or make_work([0.0], [10.0])
    simulator = Simulator(profile or make_profile(), requests, catalog, **arguments)
    simulator.run(policy)
    return simulator


def sojourns(simulator: Simulator) -> list[float]:
    """Of every job that has come, up to its end or the end of the run."""
    now = simulator.now
    return [
        (now if math.isnan(end) else end) - request.arrival_s
        for end, request in zip(simulator.ended_s, simulator.requests, strict=True)
        if request.arrival_s <= now
    ]


def rough_run(seed: int, **arguments: Any) -> Simulator:
    policy = Watched(seed)
    simulator = play(policy, rough_profile(), realistic(seed), seed=seed, **arguments)
    assert policy.asked > 0
    return simulator


# -- the same seed --------------------------------------------------------------------

OTHER_PROCESS = """
import json
from test_simulator import fingerprint
print(json.dumps(fingerprint()))
"""


def fingerprint() -> list[Any]:
    """All figures of two runs, to the last bit."""
    work = realistic(7)
    rough = play(Erratic(7), rough_profile(), work, seed=7)
    plain = play(OnDemand(1), load_profile("openstack"), work, seed=8, discipline="fcfs")
    return [
        [measure(run).to_dict(), [repr(t) for t in run.ended_s], [repr(t) for t in run.assigned_s]]
        for run in (rough, plain)
    ]


def test_two_processes_agree_bit_for_bit() -> None:
    here = json.loads(json.dumps(fingerprint()))
    root, tests = Path(__file__).parents[2], Path(__file__).parent
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", OTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{tests}:{root}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(found.stdout) == here


def test_another_seed_is_another_run() -> None:
    runs = [play(OnDemand(), rough_profile(), realistic(1), seed=seed) for seed in (1, 2)]
    assert runs[0].ended_s != runs[1].ended_s


def test_jobs_do_not_depend_on_the_policy() -> None:
    """Common random numbers: each step of a job takes the same time whoever decides."""
    scatter = {
        "boot": {"median_s": 10.0, "sigma": 0.5},
        "download": {"base_s": 2.0, "sigma": 0.5},
        "upload": {"base_s": 1.0, "sigma": 0.5},
        "transcode": {"sigma": 0.5},
    }
    profile = make_profile(
        flavors=[(1, 2.0)], timing=scatter, faults={"transcode_error": 0.2, "spawn_failure": 0.3}
    )
    work = realistic(3, 100)
    policies: list[tuple[Decider, str]] = [
        (FixedWorkers(1), "fcfs"),
        (FixedWorkers(8), "sjf"),
        (OnDemand(), "sjf"),
        (Erratic(1), "fcfs"),
    ]
    runs = [play(policy, profile, work, seed=5, discipline=name) for policy, name in policies]
    for run in runs[1:]:
        assert sorted(run.failed) == sorted(runs[0].failed)
        assert 5 < len(run.failed) < 40
    steps = [
        np.transpose(
            [
                np.subtract(run.downloaded_s, run.assigned_s),
                np.subtract(run.transcoded_s, run.downloaded_s),
                np.subtract(run.ended_s, run.transcoded_s),
            ]
        )
        for run in runs
    ]
    for found in steps[1:]:
        np.testing.assert_allclose(found, steps[0], rtol=1e-9, atol=1e-8)
    scattered = steps[0][:, 0] / 2.0
    assert np.std(np.log(scattered)) == pytest.approx(0.5, rel=0.3)
    # The seed changes them; the number of jobs that follow does not matter to the draw's size.
    other = play(FixedWorkers(1), profile, work, seed=6, discipline="fcfs")
    assert not np.allclose(np.subtract(other.downloaded_s, other.assigned_s), steps[0][:, 0])


# -- what holds on every run ----------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("limit_s", [None, 400.0], ids=["to the end", "cut off"])
def test_littles_law_and_conservation(seed: int, limit_s: float | None) -> None:
    simulator = rough_run(seed, limit_s=limit_s)
    cluster = simulator.cluster
    # Little's law holds exactly on each sample path: the integral of N is the sum of sojourns.
    assert cluster.jobs_integral() == pytest.approx(math.fsum(sojourns(simulator)), rel=1e-10)
    come = sum(request.arrival_s <= simulator.now for request in simulator.requests)
    assert cluster.completed + cluster.failed + cluster.jobs_in_system == come
    assert cluster.failed == len(set(simulator.failed)) == len(simulator.failed)
    ended = sum(not math.isnan(end) for end in simulator.ended_s)
    assert ended == cluster.completed + cluster.failed
    if limit_s is None:
        assert ended == len(simulator.requests)
        assert simulator.now == max(simulator.ended_s)
    else:
        assert simulator.now == limit_s


@pytest.mark.parametrize("seed", range(4))
def test_the_steps_of_a_job_come_in_order(seed: int) -> None:
    simulator = rough_run(seed)
    for index, request in enumerate(simulator.requests):
        steps = [request.arrival_s, simulator.assigned_s[index], simulator.downloaded_s[index]]
        if index not in simulator.failed:
            steps.append(simulator.transcoded_s[index])
        steps.append(simulator.ended_s[index])
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(steps))


@pytest.mark.parametrize("seed", range(6))
def test_the_timeline_tells_the_same_as_the_totals(seed: int) -> None:
    timeline = Timeline()
    simulator = rough_run(seed, timeline=timeline)
    cluster, now = simulator.cluster, simulator.now
    assert len(timeline.lanes) == cluster.boots
    seconds = dict.fromkeys(WorkerState, 0.0)
    vcpu_seconds = 0.0
    for lane in timeline.lanes:
        assert lane.spans[0].state is WorkerState.BOOTING
        for first, second in pairwise(lane.spans):
            assert first.end_s == second.start_s
            assert second.start_s >= first.start_s
        end = now if lane.end_s is None else lane.end_s
        assert (lane.end_s is None) == (lane.worker_id in cluster.workers)
        vcpu_seconds += cluster.vcpus[lane.flavor] * (end - lane.spans[0].start_s)
        for span in lane.spans:
            length = (now if span.end_s is None else span.end_s) - span.start_s
            seconds[span.state] += cluster.vcpus[lane.flavor] * length
    assert cluster.reserved_vcpu_integral() == pytest.approx(vcpu_seconds)
    assert cluster.busy_vcpu_integral() == pytest.approx(seconds[WorkerState.BUSY])
    times = [sample[0] for sample in timeline.samples]
    assert times == sorted(times)
    assert all(waiting + served >= 0 for _, waiting, served, _ in timeline.samples)


@pytest.mark.parametrize("discipline", ["fcfs", "sjf"])
def test_the_queue_is_served_by_its_discipline(discipline: str) -> None:
    # While the first runs, the others come and wait.
    work = make_work([0.0, 2.0, 2.5, 3.0, 3.0], [50.0, 40.0, 30.0, 10.0, 20.0])
    simulator = play(FixedWorkers(1), make_profile(flavors=[(1, 2.0)]), work, discipline=discipline)
    order = sorted(range(5), key=lambda index: simulator.assigned_s[index])
    assert order == ([0, 1, 2, 3, 4] if discipline == "fcfs" else [0, 3, 4, 2, 1])


def test_the_largest_idle_worker_is_taken() -> None:
    class OneOfEach(KeepAlways):
        def act(self, cluster: Cluster) -> Action:
            return spawn(cluster.n_workers) if cluster.n_workers < 3 else KEEP

    law = {"transcode": {"parallel_exponent": 0.5}}
    work = make_work([0.0, 5.0, 5.0, 5.0], [2.0, 40.0, 40.0, 40.0])
    simulator = play(OneOfEach(), make_profile(timing=law), work)
    lengths = np.subtract(simulator.ended_s, simulator.assigned_s)[1:]
    assert sorted(lengths) == pytest.approx([20.0, 40.0 / math.sqrt(2), 40.0])


def test_workers_that_share_the_cores_of_a_node_are_slower() -> None:
    profile = make_profile(nodes=[(1, 8.0)], flavors=[(1, 2.0)], cluster={"vcpu_overcommit": 2.0})
    simulator = play(FixedWorkers(2), profile, make_work([0.0, 0.0], [10.0, 30.0]))
    # Both at half speed for 20 s, then the second alone.
    assert simulator.ended_s == pytest.approx([21.0, 41.0])


def test_a_worker_that_retires_ends_after_its_job_and_makes_room() -> None:
    class Retiring(KeepAlways):
        """One large worker, then as many of the smallest as fit; ends whatever may end."""

        def act(self, cluster: Cluster) -> Action:
            if not cluster.boots:
                return spawn(2)
            if cluster.waiting > cluster.n_booting and cluster.can_spawn(0):
                return spawn(0)
            return kill(2) if cluster.can_kill(2) else KEEP

    timeline = Timeline()
    profile = make_profile(nodes=[(4, 16.0)], timing={"stop": {"median_s": 3.0}})
    work = make_work([0.0] * 5, [400.0] * 5)
    simulator = play(Retiring(), profile, work, timeline=timeline)
    large, *small = timeline.lanes
    states = [span.state for span in large.spans]
    assert states == [WorkerState.BOOTING, WorkerState.IDLE, WorkerState.BUSY, WorkerState.DRAINING]
    first = min(simulator.ended_s)
    assert large.spans[3].start_s == first  # it had been ordered long before
    assert large.end_s == pytest.approx(first + 3.0)
    assert [lane.flavor for lane in small] == [0] * 4
    assert all(lane.spans[0].start_s == pytest.approx(first + 3.0) for lane in small)
    assert simulator.invalid_actions == 0
    assert simulator.cluster.completed == 5


# -- limits and ends ------------------------------------------------------------------


def test_a_policy_that_never_spawns_ends_at_the_limit() -> None:
    work = make_work([3.0, 5.0, 90.0], [1.0, 1.0, 1.0])
    simulator = play(KeepAlways(), make_profile(tick_s=7.0), work, limit_s=60.0)
    assert simulator.done
    assert simulator.now == simulator.cluster.now == 60.0
    assert simulator.cluster.waiting == 2
    assert simulator.cluster.jobs_integral() == pytest.approx(57.0 + 55.0)
    assert not simulator.advance()
    assert simulator.now == 60.0


def test_by_default_the_limit_is_a_day_after_the_last_arrival() -> None:
    work = make_work([3.0, 100.0], [1.0, 1.0])
    simulator = play(KeepAlways(), make_profile(tick_s=3600.0), work)
    assert simulator.now == 100.0 + PATIENCE_S == 100.0 + 24 * 3600


def test_it_ends_with_the_last_job() -> None:
    simulator = play(FixedWorkers(1), make_profile(tick_s=5.0), make_work([2.0], [10.0]))
    assert simulator.now == simulator.ended_s[0] == pytest.approx(13.0)
    assert simulator.cluster.completed == 1


def test_with_a_limit_it_goes_on_to_the_limit() -> None:
    work = make_work([2.0], [10.0])
    simulator = play(FixedWorkers(1), make_profile(tick_s=5.0), work, limit_s=31.0)
    assert simulator.now == simulator.cluster.now == 31.0
    assert simulator.cluster.completed == 1
    assert simulator.cluster.reserved_vcpu_integral() == pytest.approx(29.0)


def test_the_reference_cost_rate_grows_with_the_load() -> None:
    # One worker of 1 of 18 vCPUs and 2 of 48 GiB reserves 18 * (1/36 + 2/96) = 0.875 cores.
    def rate(work_s: float, limit_s: float | None = None) -> float:
        work = make_work([0.0, 100.0], [work_s - 30.0, 30.0])
        run = Simulator(make_profile(), *work, preference=0.3, limit_s=limit_s)
        return run.reference_cost_rate()

    erlang = 0.3 + 0.7 * 0.875
    assert rate(40.0) > 0.4 * erlang
    assert rate(90.0) - rate(40.0) == pytest.approx(0.5 * erlang)  # over 100 s
    assert rate(90.0, 500.0) - rate(40.0, 500.0) == pytest.approx(0.1 * erlang)


def test_a_copy_goes_on_as_the_run_itself() -> None:
    simulator, policy = Simulator(rough_profile(), *realistic(1), seed=1), Erratic(1)
    for _ in range(60):
        simulator.advance()
        while (action := policy.act(simulator.cluster)) != KEEP and simulator.apply(action):
            pass
    shared = {id(constant): constant for constant in simulator.constants()}
    copies = [copy.deepcopy((simulator, policy), dict(shared)) for _ in range(2)]
    before = copies[0][0].now
    simulator.run(policy)
    assert copies[0][0].now == before
    for other, its_policy in copies:
        other.run(its_policy)
        assert measure(other) == measure(simulator)
        assert other.ended_s == simulator.ended_s


def test_without_requests_there_is_nothing_to_do() -> None:
    _, catalog = make_work([0.0], [1.0])
    simulator = play(FixedWorkers(1), work=([], catalog))
    assert simulator.now == 0.0
    assert simulator.cluster.boots == 0
    simulator = play(FixedWorkers(1), make_profile(tick_s=5.0), ([], catalog), limit_s=12.0)
    assert simulator.now == 12.0
    assert simulator.cluster.boots == 1


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"max_workers": 2}, 2), ({"max_vcpus": 3}, 3), ({"max_ram_gib": 2.5}, 1), ({}, 18)],
)
def test_limits_of_the_cluster_hold(limits: dict[str, Any], most: int) -> None:
    seen = []

    class Greedy(OnDemand):
        def act(self, cluster: Cluster) -> Action:
            seen.append(cluster.n_workers)
            assert cluster.capacity_of(0) == most
            return super().act(cluster)

    work = make_work([0.0] * 40, [10.0] * 40)
    simulator = play(Greedy(), make_profile(cluster=limits), work)
    assert max(seen) == most
    assert simulator.cluster.completed == 40
    assert simulator.invalid_actions == 0


def test_orders_that_cannot_be_carried_out_are_counted_and_nothing_else() -> None:
    for order in (kill(0), kill(2), spawn(3), spawn(-1), kill(-1), kill(99)):

        class Stubborn(KeepAlways):
            asked = 0

            def act(self, cluster: Cluster, order: Action = order) -> Action:
                self.asked += 1
                return order

        policy = Stubborn()
        simulator = play(policy, make_profile(tick_s=5.0), limit_s=52.0)
        # At the arrival and at 10 ticks; an order that is ignored ends the epoch.
        assert simulator.invalid_actions == policy.asked == 11
        assert measure(simulator).invalid_actions == 11
        assert simulator.cluster.boots == 0
        assert simulator.cluster.n_workers == 0


def test_invalid_orders_among_valid_ones_are_counted() -> None:
    policy = Erratic(3)
    simulator = play(policy, rough_profile(), realistic(3), seed=3)
    assert simulator.invalid_actions == len(policy.refused_at) > 20


def test_apply_tells_whether_the_order_was_carried_out() -> None:
    requests, catalog = make_work([0.0], [10.0])
    simulator = Simulator(make_profile(cluster={"max_workers": 1}), requests, catalog)
    assert simulator.advance()
    assert simulator.apply(KEEP)
    assert simulator.apply(spawn(1))
    assert not simulator.apply(spawn(1))
    assert not simulator.apply(kill(1))
    assert simulator.invalid_actions == 2


# -- epochs ---------------------------------------------------------------------------


class Diary(FixedWorkers):
    """Notes when and why it is asked; kills what idles after the last job."""

    def __init__(self, n: int, wakes: Sequence[float] = ()) -> None:
        super().__init__(n)
        self.wakes = list(wakes)
        self.simulator: Simulator
        self.notes: list[tuple[float, Epoch | None]] = []

    def act(self, cluster: Cluster) -> Action:
        note = (cluster.now, self.simulator.epoch)
        if not self.notes or self.notes[-1] != note:
            self.notes.append(note)
        return super().act(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        return next((wake for wake in self.wakes if wake > cluster.now), None)

    def play(self, profile: Profile, work: tuple[list[Request], Catalog], **more: Any) -> Simulator:
        self.simulator = Simulator(profile, *work, **more)
        self.simulator.run(self)
        return self.simulator


def test_a_decision_is_due_at_each_event_and_tick() -> None:
    diary = Diary(1)
    diary.play(make_profile(tick_s=6.0), make_work([2.0, 4.0], [5.0, 20.0]))
    assert [(round(time, 9), epoch) for time, epoch in diary.notes] == [
        (2.0, Epoch.ARRIVAL),
        (3.0, Epoch.WORKER_READY),
        (4.0, Epoch.ARRIVAL),
        (6.0, Epoch.TICK),
        (8.0, Epoch.TASK_ENDED),
        (12.0, Epoch.TICK),
        (18.0, Epoch.TICK),
        (24.0, Epoch.TICK),
    ]


def test_a_policy_is_woken_when_it_asks() -> None:
    diary = Diary(1, wakes=[7.25, 7.5, 11.0])
    diary.play(make_profile(), make_work([2.0], [20.0]))
    assert [time for time, epoch in diary.notes if epoch is Epoch.WAKE] == [7.25, 7.5, 11.0]


def test_the_last_word_on_when_to_wake_counts() -> None:
    class Moving(Diary):
        def wake_at(self, cluster: Cluster) -> float | None:
            # Wanted at 15 first; from the second arrival on at 9; then never again.
            return 15.0 if cluster.now < 4.0 else 9.0

    diary = Moving(1)
    diary.play(make_profile(), make_work([2.0, 4.0], [20.0, 1.0]))
    assert [time for time, epoch in diary.notes if epoch is Epoch.WAKE] == [9.0]


def test_a_timeout_is_exact() -> None:
    """A worker that may idle for 13.7 s is killed then, not at the next tick."""

    class Grace(OnDemand):
        def act(self, cluster: Cluster) -> Action:
            worker = cluster.longest_idle(0)
            if worker is not None and cluster.now < worker.idle_since + 13.7:
                return KEEP
            return super().act(cluster)

        def wake_at(self, cluster: Cluster) -> float | None:
            worker = cluster.longest_idle(0)
            return None if worker is None else worker.idle_since + 13.7

    timeline = Timeline()
    work = make_work([0.3, 100.0], [10.1, 1.0])
    play(Grace(), make_profile(tick_s=5.0), work, timeline=timeline)
    idle = timeline.lanes[0].spans[3]  # after boot, readiness and the job
    assert idle.state is WorkerState.IDLE
    assert idle.end_s is not None
    assert idle.end_s - idle.start_s == pytest.approx(13.7)


# -- faults ---------------------------------------------------------------------------


def test_every_spawn_may_fail() -> None:
    profile = make_profile(
        tick_s=5.0, timing={"boot": {"median_s": 10.0}}, faults={"spawn_failure": 1.0}
    )
    simulator = play(FixedWorkers(1), profile, limit_s=95.0)
    cluster = simulator.cluster
    # A new try as soon as the one before has failed: at 0, 10, ..., 90.
    assert (cluster.boots, cluster.spawn_failures, cluster.completed) == (10, 9, 0)
    assert (cluster.n_booting, cluster.waiting) == (1, 1)
    assert cluster.reserved_vcpus == 1.0


def test_failed_spawns_come_at_their_rate_and_no_job_is_lost() -> None:
    profile = make_profile(flavors=[(1, 2.0)], faults={"spawn_failure": 0.3})
    n = 1500
    simulator = play(OnDemand(), profile, make_work(np.arange(n) * 10.0, [1.0] * n), seed=1)
    cluster = simulator.cluster
    assert cluster.completed == n
    assert cluster.boots == n + cluster.spawn_failures
    spread = math.sqrt(0.3 * 0.7 * cluster.boots)
    assert abs(cluster.spawn_failures - 0.3 * cluster.boots) < Z_LIMIT * spread


def test_the_job_of_a_lost_worker_is_done_by_another() -> None:
    profile = make_profile(flavors=[(1, 2.0)], faults={"worker_loss_per_hour": 60.0})
    n = 300
    timeline = Timeline()
    work = make_work(np.arange(n) * 40.0, [60.0] * n)
    simulator = play(FixedWorkers(6), profile, work, seed=2, timeline=timeline)
    cluster = simulator.cluster
    assert cluster.completed == n
    assert cluster.failed == 0
    assert cluster.requeued > 100
    # It begins anew: its last attempt takes as long as the whole.
    assert np.subtract(simulator.ended_s, simulator.assigned_s) == pytest.approx([60.0] * n)
    busy = [
        span for lane in timeline.lanes for span in lane.spans if span.state is WorkerState.BUSY
    ]
    assert len(busy) == n + cluster.requeued
    # A worker's life is exponential: losses are Poisson in worker-time.
    life = cluster.reserved_vcpu_integral()
    assert abs(cluster.workers_lost - life / 60.0) < Z_LIMIT * math.sqrt(life / 60.0)


def test_a_worker_may_be_lost_in_any_state() -> None:
    profile = make_profile(
        flavors=[(1, 2.0)],
        tick_s=5.0,
        timing={
            "boot": {"median_s": 20.0},
            "stop": {"median_s": 20.0},
            "download": {"base_s": 20.0},
            "upload": {"base_s": 20.0},
        },
        faults={"worker_loss_per_hour": 40.0, "spawn_failure": 0.1, "transcode_error": 0.1},
    )
    timeline = Timeline()
    n = 300
    work = make_work(np.arange(n) * 60.0, [20.0] * n)
    simulator = play(OnDemand(), profile, work, seed=3, timeline=timeline)
    cluster = simulator.cluster
    assert cluster.completed + cluster.failed == n
    last = Counter(lane.spans[-1].state for lane in timeline.lanes if lane.end_s is not None)
    assert all(last[state] > 5 for state in (WorkerState.BOOTING, WorkerState.BUSY))
    assert cluster.workers_lost > 100
    drained = sum(
        span.state is WorkerState.DRAINING
        and span.end_s is not None
        and span.end_s < span.start_s + 19.0
        for lane in timeline.lanes
        for span in lane.spans
    )
    assert drained > 5
    # Nothing that is gone still weighs on a node.
    assert cluster.n_workers == sum(lane.end_s is None for lane in timeline.lanes)


def test_no_load_stays_on_a_node_after_faults() -> None:
    """A transcode after all the losses takes as long as one on an untouched node."""
    profile = make_profile(
        nodes=[(2, 4.0)],
        flavors=[(1, 2.0)],
        timing={"contention": {"knee_share": 0.5, "slope_per_core": 0.5, "boot_load": 1.0}},
        faults={"worker_loss_per_hour": 300.0, "transcode_error": 0.2, "spawn_failure": 0.2},
    )
    n = 400
    work = make_work([*(np.arange(n) * 5.0), 1e5], [10.0] * (n + 1))
    simulator = play(FixedWorkers(1), profile, work, seed=6)
    lengths = np.subtract(simulator.ended_s, simulator.assigned_s)
    alone = [length for i, length in enumerate(lengths) if i not in simulator.failed]
    assert simulator.cluster.requeued > 50
    assert alone == pytest.approx([10.0] * len(alone))


def test_a_transcode_error_ends_the_job_in_error() -> None:
    n = 1000
    profile = make_profile(flavors=[(1, 2.0)], faults={"transcode_error": 0.25})
    simulator = play(FixedWorkers(4), profile, make_work([0.0] * n, [20.0] * n), seed=4)
    cluster = simulator.cluster
    failed = simulator.failed
    assert cluster.failed == len(failed) == n - cluster.completed
    assert abs(len(failed) - 0.25 * n) < Z_LIMIT * math.sqrt(0.25 * 0.75 * n)
    assert all(math.isnan(simulator.transcoded_s[index]) for index in failed)
    assert cluster.jobs_in_system == 0
    # It comes anywhere in the transcode, evenly; the worker lives on.
    lengths = [simulator.ended_s[index] - simulator.assigned_s[index] for index in failed]
    assert 0.0 <= min(lengths) < 2.0
    assert 18.0 < max(lengths) < 20.0
    assert abs(np.mean(lengths) - 10.0) < Z_LIMIT * 20.0 / math.sqrt(12 * len(failed))
    assert cluster.boots == 4


# -- boots ----------------------------------------------------------------------------


def ready_times(profile: Profile, n: int) -> list[float]:
    """How long each of n boots takes, ordered one after the other."""

    class OneAtATime(KeepAlways):
        def act(self, cluster: Cluster) -> Action:
            quiet = not cluster.n_booting and cluster.n_workers < n
            return spawn(0) if quiet else KEEP

    timeline = Timeline()
    _, catalog = make_work([0.0], [1.0])
    play(OneAtATime(), profile, ([], catalog), timeline=timeline, limit_s=1000.0)
    found = []
    for lane in timeline.lanes:
        end = lane.spans[0].end_s
        assert end is not None
        found.append(end - lane.spans[0].start_s)
    return found


def test_the_first_boot_on_each_node_copies_the_image() -> None:
    timing = {"boot": {"median_s": 10.0, "first_on_node_s": 30.0}}
    nodes = [(2, 4.0)] * 2
    cold = make_profile(
        nodes=nodes, flavors=[(1, 2.0)], timing=timing, image_cached=False, tick_s=1.0
    )
    # Least loaded first: node 0, node 1, node 0, node 1.
    assert ready_times(cold, 4) == pytest.approx([40.0, 40.0, 10.0, 10.0])
    warm = make_profile(
        nodes=nodes, flavors=[(1, 2.0)], timing=timing, image_cached=True, tick_s=1.0
    )
    assert ready_times(warm, 4) == pytest.approx([10.0, 10.0, 10.0, 10.0])


def test_a_copy_scatters_as_the_profile_says() -> None:
    timing = {"boot": {"median_s": 10.0, "first_on_node_s": 30.0, "first_on_node_sigma": 0.4}}
    n = 400
    profile = make_profile(
        nodes=[(1, 2.0)] * n, flavors=[(1, 2.0)], timing=timing, image_cached=False
    )
    timeline = Timeline()
    play(FixedWorkers(n), profile, make_work([0.0] * n, [1e4] * n), timeline=timeline)
    copies = [lane.spans[0].end_s - lane.spans[0].start_s - 10.0 for lane in timeline.lanes]
    logs = np.log(copies)
    assert abs(logs.mean() - math.log(30.0)) < Z_LIMIT * 0.4 / math.sqrt(n)
    assert logs.std() == pytest.approx(0.4, rel=0.15)


def test_workers_ordered_at_once_are_created_one_after_the_other() -> None:
    timing = {"boot": {"median_s": 10.0, "spacing_s": 1.5}}
    profile = make_profile(nodes=[(6, 16.0)], flavors=[(1, 2.0)], timing=timing)
    simulator = play(FixedWorkers(4), profile, make_work([0.0] * 4, [100.0] * 4))
    assert simulator.assigned_s == pytest.approx([10.0, 11.5, 13.0, 14.5])
    # An order that comes later than that begins at once.
    apart = make_work([0.0, 0.5, 20.0], [100.0] * 3)
    assert play(OnDemand(), profile, apart).assigned_s == pytest.approx([10.0, 11.5, 30.0])


def test_a_worker_that_was_not_created_yet_loads_no_node() -> None:
    timing = {
        "boot": {
            "median_s": 10.0,
            "spacing_s": 10.0,
            "crowd_knee_share": 0.5,
            "crowd_slope": 1.0,
            "crowd_limit": 9.0,
        },
        "contention": {"boot_load": 1.0},
    }
    profile = make_profile(nodes=[(2, 8.0)], flavors=[(1, 2.0)], timing=timing)
    simulator = play(FixedWorkers(2), profile, make_work([0.0] * 2, [5.0] * 2))
    assert simulator.assigned_s == pytest.approx([10.0, 15.0])  # the first serves both


def test_a_replay_puts_workers_where_they_were() -> None:
    profile = make_profile(nodes=[(2, 8.0)] * 3, flavors=[(1, 2.0)])
    timeline = Timeline()
    work = make_work([0.0] * 6, [10.0] * 6)
    # The third finds node 2 full, the last two have no node named: the placement decides.
    play(FixedWorkers(6), profile, work, worker_nodes=[2, 2, 2, 1], timeline=timeline)
    assert [lane.node for lane in timeline.lanes] == [2, 2, 0, 1, 0, 1]


def test_boots_at_once_on_one_node_are_slower() -> None:
    timing = {
        "boot": {
            "median_s": 10.0,
            "crowd_knee_share": 0.5,
            "crowd_slope": 0.2,
            "crowd_limit": 1.3,
        },
        "contention": {"boot_load": 1.0},
    }
    profile = make_profile(nodes=[(4, 16.0)], flavors=[(1, 2.0)], timing=timing)
    for n, factor in ((1, 1.0), (2, 1.0), (3, math.exp(0.2)), (4, 1.3)):
        work = make_work([0.0] * n, [100.0] * n)
        simulator = play(FixedWorkers(n), profile, work)
        assert simulator.assigned_s == pytest.approx([10.0 * factor] * n)


def test_boots_and_stops_scatter_as_the_profile_says() -> None:
    timing = {"boot": {"median_s": 10.0, "sigma": 0.3}, "stop": {"median_s": 3.0, "sigma": 0.6}}
    timeline = Timeline()
    n = 2000
    work = make_work(np.arange(n) * 100.0, [1.0] * n)
    profile = make_profile(flavors=[(1, 2.0)], timing=timing)
    simulator = play(OnDemand(), profile, work, timeline=timeline, seed=9)
    for state, median, sigma in (
        (WorkerState.BOOTING, 10.0, 0.3),
        (WorkerState.DRAINING, 3.0, 0.6),
    ):
        logs = [
            math.log(span.end_s - span.start_s)
            for lane in timeline.lanes
            for span in lane.spans
            if span.state is state and span.end_s is not None
        ]
        assert len(logs) > n - 10
        spread = sigma / math.sqrt(len(logs))
        assert abs(np.mean(logs) - math.log(median)) < Z_LIMIT * spread
        assert np.std(logs) == pytest.approx(sigma, rel=0.1)
    assert simulator.cluster.boot_s == pytest.approx(10.0 * math.exp(0.3**2 / 2))


# -- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize("arrivals", [[5.0, 3.0], [0.0, math.nan], [0.0, 1.0, 0.5]])
def test_requests_out_of_order(arrivals: list[float]) -> None:
    requests, catalog = make_work(arrivals, [1.0] * len(arrivals))
    with pytest.raises(ValueError, match="not in order of arrival"):
        Simulator(make_profile(), requests, catalog)


def test_a_movie_that_the_catalog_lacks() -> None:
    requests, _ = make_work([0.0], [1.0])
    with pytest.raises(UnknownNameError, match="unknown movie 'm0'"):
        Simulator(make_profile(), requests, load_catalog())


def test_an_unknown_discipline() -> None:
    requests, catalog = make_work([0.0], [1.0])
    with pytest.raises(UnknownNameError, match="unknown queue discipline"):
        Simulator(make_profile(), requests, catalog, discipline="lifo")
