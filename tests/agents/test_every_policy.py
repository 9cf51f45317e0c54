"""What holds for every policy, whatever happens to the cluster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.parameters import describe_parameters
from agents.registry import FURTHER, NAIVE, make_policy, policy_class, policy_names
from env.actions import kill, spawn
from env.families import FAMILIES, draw_requests
from env.metrics import measure
from env.simulator import Simulator
from env.worker import WorkerState

STRANDS = "scheduler-with-queue"
"""The one algorithm that leaves requests waiting for ever, unless it is told a patience."""

SPECS = [
    *(name for name in policy_names() if name != STRANDS),
    f"{STRANDS}:patience=20",
    f"{STRANDS}:queue_threshold=0,max_workers=2",
    "scheduler-with-reserve:max_workers=1",
    "adaptive-grace-period:max_idle_time=0",
    "priority-based-dynamic:small=s10.tiny,max_workers=4,max_idle_time=7",
    "minimize-workers:max_workers=2,flavor=s10.medium",
    "grace-period:max_idle_time=0",
    "reserve-k:spares=3,max_idle_time=0",
    "queue-scaling:target=3,cooldown=0,stabilisation=0,polling_interval=1,sync_period=1",
    "target-utilisation:min_workers=0,target=0.5,stabilisation=20,tolerance=0",
    "concurrency-windows:max_workers=3,stable_window=10,scale_to_zero_grace=0",
    "break-even:factor=0,discipline=fcfs",
    "hybrid-histogram:min_samples=1,min_variation=0,bin_width=1,bins=30",
    "square-root-staffing:backlog_share=0,stabilisation=0,horizon=short",
    "square-root-staffing:beta=-10,max_workers=1",
    "adaptive-flavor:max_workers=4,spawn_share=0.1",
]
every_policy = pytest.mark.parametrize("spec", SPECS)

events = st.lists(
    st.tuples(
        st.sampled_from(
            ["arrive", "arrive", "ready", "finish", "stopped", "wait", "lost", "fail", "dial"]
        ),
        st.integers(0, 30),
    ),
    max_size=60,
)


def happen(cluster, policy, event, number):
    """Let one event happen, if the state allows it."""
    state = cluster.cluster
    match event:
        case "arrive":
            cluster.arrive(1 + number % 4)
        case "ready":
            cluster.ready(1 + number % 3)
        case "finish":
            cluster.finish(1 + number % 3)
        case "stopped":
            cluster.stopped()
        case "wait":
            cluster.later(number / 4)
        case "lost" if state.workers:
            workers = list(state.workers)
            state.worker_lost(state.now, workers[number % len(workers)])
        case "fail" if state.n_booting:
            state.spawn_failed(state.now, cluster.in_state(WorkerState.BOOTING)[0].worker_id)
        case "dial":
            state.preference = 0.1 + 0.8 * number / 30


@every_policy
@settings(max_examples=40, deadline=None)
@given(events=events, left=st.booleans())
def test_orders_are_possible_and_end_and_serve_every_job(drive, spec, events, left):
    cluster = drive(discipline=make_policy(spec).discipline)
    if left:  # what another policy has left behind
        cluster.busy(1, 2).idle(2, 0).boot(1, 2)
    policy = cluster.policy(spec)
    state = cluster.cluster
    limit = getattr(policy.parameters, "max_workers", None)

    def decide():
        # The driver itself refuses what is impossible, killing while jobs wait, and no end.
        before = state.n_workers - state.n_draining
        actions = cluster.epoch(policy)
        spawned = sum(action == spawn(action.flavor) for action in actions)
        if limit is not None and spawned:
            assert before + spawned <= max(limit, before)
        assert not (spawned and any(action == kill(action.flavor) for action in actions))
        wake = policy.wake_at(state)
        assert wake is None or wake > state.now
        if wake is not None and wake < state.now + 1.0:
            cluster.at(wake)
            cluster.epoch(policy)

    decide()
    for event, number in events:
        happen(cluster, policy, event, number)
        decide()
    # Quiet times: with boots and tasks that end, every job is served before long.
    for _ in range(40 + 2 * state.jobs_in_system):
        if not state.jobs_in_system:
            break
        cluster.later(20.0).ready()
        decide()
        cluster.later(20.0).finish().stopped()
        decide()
    assert state.jobs_in_system == 0


@pytest.fixture(scope="module")
def bursts(catalog):
    """Forty minutes of bursts."""
    return draw_requests(FAMILIES["bursts"](0.1), np.random.default_rng(5), catalog, 2400.0)


@every_policy
def test_a_whole_run_completes_and_is_repeated_after_reset(simulate, bursts, spec):
    policy = make_policy(spec)
    first = measure(simulate(policy, bursts))
    assert first.completed == len(bursts)
    assert first.invalid_actions == 0
    assert measure(simulate(policy, bursts)) == first
    assert measure(simulate(make_policy(spec), bursts)) == first


@every_policy
def test_faults_lose_no_job(openstack, catalog, bursts, spec):
    faults = replace(
        openstack.faults, spawn_failure=0.2, worker_loss_per_hour=5.0, transcode_error=0.1
    )
    policy = make_policy(spec)
    simulator = Simulator(
        replace(openstack, faults=faults), bursts, catalog, seed=1, discipline=policy.discipline
    )
    simulator.run(policy)
    metrics = measure(simulator)
    assert metrics.unfinished == 0
    assert metrics.workers_lost + metrics.spawn_failures > 0
    assert metrics.failed > 0


@pytest.mark.parametrize("name", policy_names())
class TestDescription:
    def test_says_what_it_is_and_where_it_comes_from(self, name):
        kind = policy_class(name)
        assert kind.summary
        assert kind.source
        assert "Source:" in kind.__doc__
        assert "Difference" in kind.__doc__

    def test_every_parameter_has_a_meaning_and_a_valid_default(self, name):
        for info in describe_parameters(policy_class(name).parameters_type):
            assert info.meaning
            assert info.default is not None or info.optional
            if info.kind in ("number", "whole number"):
                assert info.minimum is not None
            if isinstance(info.default, float | int):
                assert info.minimum <= info.default
                assert info.maximum is None or info.default <= info.maximum

    def test_serves_in_the_default_discipline(self, name):
        own = dict.fromkeys((*NAIVE, *FURTHER), "fcfs") | {"priority-based-dynamic": "priority"}
        assert make_policy(name).discipline == own.get(name, "sjf")
