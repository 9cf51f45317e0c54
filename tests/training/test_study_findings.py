"""The parts of the study: what theory says of them, and what they must not get wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from agents.break_even import BreakEven
from agents.network_policy import NetworkPolicy
from agents.registry import make_policy
from env.actions import Action, action_index, n_actions
from env.catalog import Catalog, Movie, load_catalog
from env.cluster import Cluster
from env.config import load_profile
from env.families import Poisson
from env.observation import action_mask, features
from env.timeline import Timeline
from env.timing import lognormal_mean
from env.worker import WorkerState
from tests.retiring_rule import RetiringRule
from tests.training.evaluation_world import ROOT
from training.findings.action_map import Situation, bring_about, orders_in
from training.findings.boots import cold_start, evidence
from training.findings.capacity import backlog_throughput, theory_per_hour
from training.findings.duel import SAME, duel
from training.findings.fleets import ARRIVALS, CountedRetirements, OneFleet, fleets
from training.findings.knobs import knob_maps
from training.findings.naive import break_even_s
from training.findings.readable import readable, readable_names
from training.findings.surrogate import (
    Fidelity,
    TreePolicy,
    fit_tree,
    predict,
    readable_size,
    shuffled_importance,
    tree_text,
)
from training.findings.visits import Corrected, Decisions, Diary, Recorder, watch
from training.findings.world import GRACE, MINIMIZE, QUICK, Effort, World, seconds_by_state
from training.rollouts.play import ENGINES, Stage

T = TypeVar("T")
TINY = replace(QUICK, hours=0.2)
OPENSTACK = load_profile("openstack")
MODEL = str(ROOT / "models" / "dacirco")


def silently(cases: Sequence[T], part: str) -> Iterable[T]:
    return cases


def world(effort: Effort = TINY) -> World:
    return World(OPENSTACK, load_catalog(), effort, MODEL)


def clockwork() -> World:
    """One movie, no scatter, no contention, no setup to speak of: every job takes the same."""
    timing = OPENSTACK.timing
    timing = replace(
        timing,
        boot=replace(timing.boot, sigma=0.0, crowd_slope=0.0),
        transcode=replace(timing.transcode, sigma=0.0, fast_factor=1.0, bitrate_exponent=0.0),
        download=replace(timing.download, sigma=0.0),
        upload=replace(timing.upload, sigma=0.0, per_megabyte_s=0.0),
        contention=replace(timing.contention, slope_per_core=0.0),
    )
    catalog = Catalog("one", [Movie("only.mp4", 60.0, 1280, 720)])
    return World(replace(OPENSTACK, timing=timing), catalog, TINY, MODEL)


# -- fleets of one flavor ---------------------------------------------------------------------


def test_a_policy_of_one_flavor_is_its_own_fleet() -> None:
    here = replace(world(), frozen=f"{MINIMIZE}:flavor=s10.small")
    found = fleets(here, silently)
    assert found.ratios.shape == (len(ARRIVALS), len(TINY.fleet_loads), 3)
    assert (found.ratios[:, :, 1] == 1.0).all()
    assert (found.ratios[:, :, [0, 2]] != 1.0).all()
    assert not found.retired.any()


def test_the_busy_workers_that_a_policy_retires_are_counted() -> None:
    here = world()
    counted = CountedRetirements(RetiringRule())
    timeline = Timeline()
    requests = here.requests(Poisson(here.rate(1.5)), 1, 0.2)
    here.simulate(requests, counted, timeline=timeline)
    straight = [
        lane
        for lane in timeline.lanes
        for before, after in pairwise(lane.spans)
        if (before.state, after.state) == (WorkerState.BUSY, WorkerState.DRAINING)
    ]
    assert len(straight) == counted.retired > 3
    assert all(lane.flavor > 0 for lane in straight)


@pytest.mark.parametrize("flavor", [0, 1, 2])
def test_only_the_flavor_is_exchanged_and_only_where_it_fits(flavor: int) -> None:
    here = world()
    requests = here.requests(Poisson(here.rate(1.5)), 1, 0.2)
    fleet = OneFleet(here.policy(f"{GRACE}:flavor=s10.tiny"), flavor)
    timeline = Timeline()
    run = here.simulate(requests, fleet, timeline=timeline)
    assert run.cluster.completed == len(requests)
    started = [lane.flavor for lane in timeline.lanes]
    assert started[0] == flavor
    # A medium leaves two vCPUs on each node, where the inner policy's own choice still fits.
    assert set(started) == ({0, 2} if flavor == 2 else {flavor})


def test_a_fleet_of_one_flavor_retires_no_busy_worker() -> None:
    here = world()
    requests = here.requests(Poisson(here.rate(1.5)), 1, 0.2)
    counted = CountedRetirements(OneFleet(RetiringRule(), 1))
    run = here.simulate(requests, counted)
    assert run.cluster.completed == len(requests)
    assert counted.retired == 0


# -- capacity ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("flavor", "workers"), [("s10.tiny", 1), ("s10.small", 4)])
def test_a_clockwork_serves_as_many_as_its_workers_can(flavor: str, workers: int) -> None:
    toy = clockwork()
    requests = [
        replace(request, arrival_s=0.0)
        for request in toy.requests(Poisson(1.0), 0, 0.2)[: 60 * workers]
    ]
    run = toy.simulate(requests, f"{GRACE}:flavor={flavor},max_workers={workers}")
    service = run.cluster.mean_service_s[toy.flavors.index(flavor)]
    assert theory_per_hour(toy, flavor, workers) == pytest.approx(3600 * workers / service)
    assert backlog_throughput(run) == pytest.approx(3600 * workers / service, rel=0.01)


def test_contention_costs_capacity_only_where_a_node_is_crowded() -> None:
    here = world()
    for flavor, calm, crowded in (("s10.tiny", 9, 18), ("s10.small", 3, 9)):
        alone = theory_per_hour(here, flavor, calm, contention=False)
        assert theory_per_hour(here, flavor, calm) == pytest.approx(alone)
        assert theory_per_hour(here, flavor, crowded) < 0.95 * theory_per_hour(
            here, flavor, crowded, contention=False
        )


# -- the naive algorithms ---------------------------------------------------------------------


@given(st.floats(0.1, 0.9), st.sampled_from(["s10.tiny", "s10.small", "s10.medium"]))
def test_idling_for_the_break_even_time_costs_a_stop_and_a_boot(w: float, flavor: str) -> None:
    here = world()
    cluster = Cluster(OPENSTACK)
    cores = cluster.flavor_cost(here.flavors.index(flavor))
    boot = lognormal_mean(OPENSTACK.timing.boot.median_s, OPENSTACK.timing.boot.sigma)
    stop = lognormal_mean(OPENSTACK.timing.stop.median_s, OPENSTACK.timing.stop.sigma)
    idling = (1 - w) * cores * break_even_s(here, flavor, w)
    assert idling == pytest.approx((1 - w) * cores * (boot + stop) + w * boot)


def test_the_break_even_time_is_that_of_the_rule_and_a_stop() -> None:
    rule = BreakEven()
    boot = OPENSTACK.timing.boot
    boot_s = lognormal_mean(boot.median_s, boot.sigma)
    cluster = Cluster(OPENSTACK, preference=0.5, boot_s=boot_s)
    rule.reset(cluster)
    stop = lognormal_mean(OPENSTACK.timing.stop.median_s, OPENSTACK.timing.stop.sigma)
    found = break_even_s(world(), rule.parameters.flavor, 0.5)
    assert found == pytest.approx(rule.timeout_s(cluster) + stop)


def test_the_naive_algorithms_are_one_without_grace_and_under_overload() -> None:
    found = duel(world(replace(TINY, hours=0.6, map_loads=(0.1, 1.5))), (0.1, 0.9), silently)
    assert found.no_grace_gap == 0.0
    poisson = next(row for row in found.rows if row.gap_cv == 1.0)
    assert found.equal_from(poisson) == 1.5
    assert abs(found.ratios[0, found.rows.index(poisson), 0] - 1) > SAME  # not when it is quiet
    for w in found.preferences:
        assert sum(found.won(w)) == found.ratios[0].size


def test_who_plays_the_runs_shows_in_no_figure() -> None:
    pytest.importorskip("numba")
    small = replace(TINY, graces_s=(0.0, 45.0), visit_hours=0.1)
    ours, theirs = (replace(world(small), stage=Stage(engine)) for engine in ENGINES)
    one, other = (duel(each, (0.1, 0.9), silently) for each in (ours, theirs))
    assert one.ratios.tolist() == other.ratios.tolist()
    assert one.no_grace_gap == other.no_grace_gap
    for knobs, same in zip(knob_maps(ours, silently), knob_maps(theirs, silently), strict=True):
        assert (knobs.flavor, knobs.workers) == (same.flavor, same.workers)
        for name in ("delay_s", "core_s", "cost"):
            assert getattr(knobs, name).tolist() == getattr(same, name).tolist()
    visits, again = (watch(each, silently) for each in (ours, theirs))
    assert repr(visits.habits) == repr(again.habits)
    assert repr(visits.losses) == repr(again.losses)


@pytest.mark.parametrize("policy", [MINIMIZE, GRACE])
def test_the_states_of_the_workers_add_up_to_what_is_reserved(policy: str) -> None:
    here = world()
    timeline = Timeline()
    run = here.simulate(here.requests(Poisson(here.rate(0.2)), 0, 0.2), policy, timeline=timeline)
    spent = seconds_by_state(timeline, run.now)
    vcpus = 2  # of the flavor that they use
    assert vcpus * sum(spent.values()) == pytest.approx(run.cluster.reserved_vcpu_integral())


# -- first boots ------------------------------------------------------------------------------


def test_the_first_job_waits_for_the_copy_and_later_ones_do_not() -> None:
    here = world(replace(TINY, boot_seeds=12))
    found = cold_start(here, silently)
    boot = OPENSTACK.timing.boot
    copy = lognormal_mean(boot.first_on_node_s, boot.first_on_node_sigma)
    # Its mean over the seeds scatters by sigma over the root of their number.
    within = 3 * boot.first_on_node_sigma / 12**0.5 + 0.15
    assert found.extra_s[0] == pytest.approx(copy, rel=within)
    assert abs(found.extra_s[-3:]).max() < copy / 4
    assert 3 <= found.jobs_hit < len(found.cold_s)


def test_the_profile_says_how_a_figure_was_found() -> None:
    assert "n = 1" in evidence(OPENSTACK, "openstack", "first_on_node_s")
    assert evidence(OPENSTACK, "openstack", "no_such_key") == "no note in the profile"


# -- action maps ------------------------------------------------------------------------------

POOL = world().requests(Poisson(1.0), 0, 0.02)


@settings(max_examples=25, deadline=None)
@given(
    flavor=st.integers(0, 2),
    load=st.sampled_from([0.02, 0.3, 0.7]),
    waiting=st.integers(0, 12),
    busy=st.integers(0, 18),
    idle_s=st.none() | st.floats(0, 300),
)
def test_a_cluster_is_brought_into_just_the_state_that_was_asked_for(
    flavor: int, load: float, waiting: int, busy: int, idle_s: float | None
) -> None:
    if idle_s is not None:
        waiting = 0  # a waiting job would have gone to the idle worker
    cluster = bring_about(world(), Situation(0.7, flavor, load, waiting, busy, idle_s), POOL)
    room = Cluster(OPENSTACK).capacity_of(flavor)
    if busy + (idle_s is not None) > room:
        assert cluster is None
        return
    assert cluster is not None
    assert (cluster.waiting, cluster.busy[flavor]) == (waiting, busy)
    assert cluster.n_booting == cluster.n_draining == 0
    assert cluster.n_workers == busy + (idle_s is not None)
    assert cluster.preference == 0.7
    worker = cluster.longest_idle(flavor)
    assert (worker is None) == (idle_s is None)
    if worker is not None:
        assert cluster.now - worker.idle_since == pytest.approx(idle_s, abs=1e-6)
    found = cluster.arrivals.offered_loads(cluster.now)[1] / room if flavor == 0 else None
    if found is not None and load == 0.3:
        # In erlangs of the smallest flavor, which also takes time to load the file.
        assert found == pytest.approx(load, rel=0.5)


def test_what_the_policy_orders_can_be_carried_out() -> None:
    here = world()
    cluster = bring_about(here, Situation(0.9, 0, 0.3, 12, 4), POOL)
    assert cluster is not None
    orders = orders_in(here, cluster)
    spawned = [order for order in orders if 1 <= order <= 3]
    assert cluster.n_booting == len(spawned)
    assert spawned, "twelve jobs wait at w = 0.9 and there is room"


# -- trees ------------------------------------------------------------------------------------


class OneFeature(NetworkPolicy):
    """A network that spawns the smallest flavor where one observation is high."""

    name = "one-feature"
    discipline = "sjf"

    def __init__(self, column: int) -> None:
        self._column = column

    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros((len(observations), n_actions(3)), dtype=np.float32)
        found[:, 1] = observations[:, self._column] - 0.5
        return found


def decisions(n: int = 200) -> Decisions:
    rng = np.random.default_rng(0)
    names = readable_names(world().flavors)
    figures = rng.random((n, len(names)))
    return Decisions(
        figures,
        rng.random((n, len(features(world().flavors)))).astype(np.float32),
        np.ones((n, n_actions(3)), dtype=np.bool_),
        np.where(figures[:, 1] > 0.5, 1, 0).astype(np.intp),
    )


def test_only_the_observation_that_a_network_uses_matters() -> None:
    ranking = shuffled_importance(OneFeature(7), decisions(), world().flavors)
    assert ranking[0][0] == features(world().flavors)[7].name
    assert ranking[0][1] == pytest.approx(0.5, abs=0.15)
    assert all(share == 0 for _, share in ranking[1:])


def test_a_tree_finds_the_rule_and_its_text_says_it() -> None:
    made = decisions()
    tree = fit_tree(made, 8)
    assert (predict(tree, made) == made.actions).all()
    names = readable_names(world().flavors)
    text = tree_text(tree, names, ["keep", "spawn tiny"])
    lines = text.splitlines()
    assert len(lines) == 2  # whatever the splits, one on each side of the threshold
    condition, order = lines[0].split(": ")
    name, threshold = condition.split(" <= ")
    assert name == names[1]
    assert float(threshold) == pytest.approx(0.5, abs=0.02)
    assert order == "KEEP  (100%)"
    assert lines[1] == f"{name} > {threshold}: SPAWN TINY  (100%)"


def test_branches_that_end_alike_are_folded() -> None:
    tree = DecisionTreeClassifier(max_leaf_nodes=4, random_state=0)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10, dtype=float)
    # The second figure changes how sure the tree is, not what it says.
    y = np.array(([0, 0, 1, 1] * 5) + ([0, 0, 1, 0] * 4) + [0, 0, 1, 1])
    tree.fit(x, y)
    assert tree.get_n_leaves() > 2
    lines = tree_text(tree, ["first", "second"], ["keep", "go"]).splitlines()
    assert lines == ["first <= 0.5: KEEP  (100%)", "first > 0.5: GO  (80%)"]


@pytest.mark.parametrize(
    ("ratios", "shown"),
    [
        ({8: 40.0, 16: 1.05, 32: 1.01, 256: 1.0}, 16),
        ({8: 40.0, 16: 9.0, 32: 3.0, 256: 1.01}, 32),  # what fits is too large to read
        ({8: 40.0, 16: 9.0}, 16),
    ],
)
def test_the_smallest_tree_that_costs_little_is_shown(ratios: dict[int, float], shown: int) -> None:
    sizes = {n: Fidelity(n, 3, 0.9, 0.5, ratio, ratio, ()) for n, ratio in ratios.items()}
    assert readable_size(sizes) == shown


def test_a_pupil_acts_and_the_network_corrects() -> None:
    here = world()
    network = here.policy(MODEL)
    assert isinstance(network, NetworkPolicy)
    diary = Diary()
    requests = here.requests(Poisson(here.rate(0.2)), 0, 0.1)
    pupil = f"{GRACE}:discipline=sjf"  # as the network
    alone = here.simulate(requests, pupil)
    run = here.simulate(requests, Corrected(network, diary, make_policy(pupil)))
    assert run.ended_s == alone.ended_s
    table = diary.table()
    assert table.masks[np.arange(len(table)), table.actions].all()
    logits = np.where(table.masks, network.logits(table.observations), -np.inf)
    assert (logits.argmax(axis=1) == table.actions).all()
    assert len(table.joined(table)) == 2 * len(table)


class Watcher(TreePolicy):
    """A tree that notes what it saw and did."""

    def __init__(self, tree: DecisionTreeClassifier, diary: Diary) -> None:
        super().__init__(tree, "sjf")
        self._diary = diary

    def act(self, cluster: Cluster) -> Action:
        mask = np.zeros(n_actions(cluster.n_flavors), dtype=np.bool_)
        action_mask(cluster, mask)
        action = super().act(cluster)
        self._diary.figures.append(readable(cluster))
        self._diary.observations.append(np.zeros(1, dtype=np.float32))
        self._diary.masks.append(mask)
        self._diary.actions.append(action_index(action, cluster.n_flavors))
        return action


def test_a_tree_at_work_orders_what_it_was_judged_by() -> None:
    here = world()
    network = here.policy(MODEL)
    assert isinstance(network, NetworkPolicy)
    taught, done = Diary(), Diary()
    requests = here.requests(Poisson(here.rate(0.3)), 0, 0.2)
    here.simulate(requests, Recorder(network, taught), preference=0.67)
    table = taught.table()
    assert len(table) > 100
    assert table.masks[np.arange(len(table)), table.actions].all()  # only what was allowed
    tree = fit_tree(table, 16)
    run = here.simulate(requests, Watcher(tree, done), preference=0.67, limit_s=1000.0)
    assert run.invalid_actions == 0
    at_work = done.table()
    assert (predict(tree, at_work) == at_work.actions).all()


def test_the_recorder_does_what_the_network_does() -> None:
    here = world()
    network = here.policy(MODEL)
    assert isinstance(network, NetworkPolicy)
    requests = here.requests(Poisson(here.rate(0.2)), 1, 0.2)
    alone = here.simulate(requests, MODEL, seed=1)
    watched = here.simulate(requests, Recorder(network, Diary()), seed=1)
    assert watched.ended_s == alone.ended_s
