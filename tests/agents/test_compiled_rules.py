"""A rule's compiled form and the policy itself play the same run, to the last digit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from agents.compiled.rules import form_of, has_form
from agents.compiled.running import run_rules
from agents.guard import Guarded
from agents.registry import make_policy, policy_names
from env.catalog import load_catalog
from env.cluster import Cluster
from env.config import load_profile
from env.engine.engine import Engine
from env.engine.episode import prepare
from env.episodes import Randomisation, random_episodes
from env.metrics import measure
from env.scenario import Scenario, load_split
from env.simulator import Simulator

STYLES = (
    "minimize-workers",
    "grace-period:max_idle_time=45",
    "reserve-k:spares=2,flavor=s10.medium",
    "adaptive-flavor",
)
OTHERS = (
    "break-even:flavor=s10.tiny",
    "break-even:factor=0.2,max_workers=3",
    "adaptive-flavor:max_load=5,second_flavor_from=0,third_flavor_from=0.2,max_workers=9",
    "reserve-k:spares=40,max_idle_time=0",
)
WITH_MEMORY = (
    "target-utilisation",
    "target-utilisation:min_workers=0,stabilisation=60,sync_period=5,tolerance=0,target=0.5",
    "queue-scaling",
    "queue-scaling:cooldown=20,polling_interval=3,sync_period=4,stabilisation=30,target=2",
    "concurrency-windows",
    "concurrency-windows:period=1,stable_window=100,panic_window=3,scale_to_zero_grace=0",
    "square-root-staffing",
    "square-root-staffing:beta=0.4,horizon=short,backlog_share=0,stabilisation=200",
    "hybrid-histogram",
    "hybrid-histogram:bins=30,bin_width=10,min_samples=2,min_variation=0,head=0.3,tail=0.8",
    "hybrid-histogram:fallback_keep_alive=0,min_samples=3,margin=0",
    "scheduler-with-queue:queue_threshold=1,patience=40",
    "scheduler-with-queue:patience=100",
    "scheduler-with-reserve",
    "adaptive-grace-period",
    "adaptive-grace-period:max_idle_time=8,max_workers=4",
    "priority-based-dynamic",
    "priority-based-dynamic:max_idle_time=5,small=s10.tiny",
)
JOBS = 60
"""Of each scenario: the reference takes its time."""


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_scenario_under_every_rule_is_the_same(split: str) -> None:
    profile, catalog = load_profile("openstack"), load_catalog()
    cluster = Cluster(profile)
    runs: list[tuple[Scenario, str, float]] = []
    for number, scenario in enumerate(load_split(split)):
        runs.extend((scenario, spec, 0.1 + 0.2 * (number % 5)) for spec in STYLES)
    engine = Engine(len(runs))
    forms = []
    for d, (scenario, spec, preference) in enumerate(runs):
        policy = make_policy(spec)
        form = form_of(policy, cluster)
        assert form is not None
        forms.append(form)
        data = prepare(
            profile,
            scenario.requests[:JOBS],
            catalog,
            seed=d,
            preference=preference,
            discipline=policy.discipline,
            trace=True,
        )
        engine.load(d, data)
    run_rules(engine, range(len(runs)), forms)
    for d, (scenario, spec, preference) in enumerate(runs):
        policy = make_policy(spec)
        simulator = Simulator(
            profile,
            scenario.requests[:JOBS],
            catalog,
            seed=d,
            preference=preference,
            discipline=policy.discipline,
        )
        simulator.run(policy)
        expected, found = measure(simulator).to_dict(), engine.metrics(d).to_dict()
        differing = {
            key: (value, found[key]) for key, value in expected.items() if value != found[key]
        }
        assert not differing, (scenario.name, spec)


@pytest.mark.parametrize("spec", [*STYLES, *OTHERS, *WITH_MEMORY])
def test_random_data_centres_with_faults_are_the_same_to_the_end(spec: str) -> None:
    ranges = Randomisation(profiles=(("openstack", 1.0),), fault_share=1.0, home_share=0.0)
    episode = random_episodes(ranges)(np.random.default_rng(len(spec)))
    policy = make_policy(spec)
    form = form_of(policy, Cluster(episode.profile))
    assert form is not None
    engine = Engine(1)
    given = {"seed": episode.seed, "preference": 0.5, "discipline": policy.discipline}
    engine.load(
        0,
        prepare(episode.profile, episode.requests, episode.catalog, trace=True, **given),  # type: ignore[arg-type]
    )
    run_rules(engine, [0], [form])
    simulator = Simulator(episode.profile, episode.requests, episode.catalog, **given)  # type: ignore[arg-type]
    simulator.run(policy)
    assert engine.metrics(0).to_dict() == measure(simulator).to_dict()


def test_every_rule_has_a_compiled_form() -> None:
    cluster = Cluster(load_profile("openstack"))
    for name in policy_names():
        policy = make_policy(name)
        assert has_form(policy), name
        assert form_of(policy, cluster) is not None, name


def test_a_policy_without_a_compiled_form_has_none() -> None:
    policy = Guarded(make_policy("grace-period"), make_policy("minimize-workers"))
    assert not has_form(policy)
    assert form_of(policy, Cluster(load_profile("openstack"))) is None
