"""The envelope: what counts as known, and how seldom that is wrongly denied.

Set DACIRCO_EPISODES to try more episodes of each kind; ``-s`` shows the shares.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.envelope import Envelope
from agents.frozen import FrozenPolicy
from env.actions import ActionKind
from env.config import load_profile
from env.episodes import Episode, Randomisation, random_episodes
from env.families import TRAINING_FAMILIES
from env.observation import features
from env.simulator import Simulator

MODEL = Path(__file__).parents[2] / "models" / "dacirco"
EPISODES = int(os.environ.get("DACIRCO_EPISODES", "4"))
FEATURES = [{"name": name, "low": 0.0, "high": 3.0} for name in ("preference", "a", "b")]
MOST = 0.002
"""Largest share of decisions on episodes like those of the training that may be called unknown."""


def row(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def test_inside_is_what_was_seen_and_a_margin() -> None:
    envelope = Envelope(FEATURES, [0.0, 0.0, 1.0], [1.0, 1.0, 2.0])
    assert envelope.outside(row(0.5, 1.0, 1.0)) == ""
    assert envelope.outside(row(0.5, 1.2, 0.8)) == ""
    assert envelope.outside(row(0.5, 1.21, 1.0)) == "a is 1.21, known is -0.2 to 1.2"
    assert envelope.outside(row(0.5, -9.0, 9.0)) == "a is -9, known is -0.2 to 1.2; and 1 more"


def test_what_never_varied_has_a_margin_too() -> None:
    envelope = Envelope(FEATURES, [0.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert envelope.outside(row(0.0, 1.05, 0.95)) == ""
    assert "a is 1.07" in envelope.outside(row(0.0, 1.07, 1.0))


def test_the_operators_preference_is_never_outside() -> None:
    envelope = Envelope(FEATURES, [0.4, 0.0, 0.0], [0.5, 1.0, 1.0])
    assert envelope.outside(row(-1.0, 0.5, 0.5)) == ""


@pytest.mark.parametrize("position", range(3))
def test_a_nan_is_outside(position: int) -> None:
    envelope = Envelope(FEATURES, [0.0] * 3, [1.0] * 3)
    values = [0.5] * 3
    values[position] = float("nan")
    assert "is nan" in envelope.outside(row(*values))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ([0.0], [1.0]),
        ([0.0] * 3, [1.0] * 2),
        ([2.0] * 3, [1.0] * 3),
        ([float("nan")] * 3, [1.0] * 3),
        ([0.0] * 3, [float("inf")] * 3),
    ],
)
def test_boxes_that_make_no_sense(low: list[float], high: list[float]) -> None:
    with pytest.raises(ValueError, match="envelope"):
        Envelope(FEATURES, low, high)


# -- false alarms -------------------------------------------------------------------------


def homes(name: str) -> Randomisation:
    return Randomisation(profiles=((name, 1.0),), home_share=1.0)


KINDS = {
    # Cascades have a heavy tail: now and then one is far beyond all that training met, and the
    # alarm is right.
    "as in training but for cascades": Randomisation(
        families=tuple(name for name in TRAINING_FAMILIES if name != "cascades")
    ),
    "openstack": homes("openstack"),
    "kubernetes": homes("kubernetes"),
    "one machine of 2 to 6 cores": Randomisation(home_share=0.0, single_share=1.0),
    "one machine of 2 cores": Randomisation(home_share=0.0, single_share=1.0, single_cores=(2, 2)),
}


def decisions(policy: FrozenPolicy, episode: Episode) -> Iterator[Any]:
    """The observations of one run under the policy."""
    simulator = Simulator(
        episode.profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference,
        discipline=policy.discipline,
        limit_s=episode.horizon_s,
    )
    policy.reset(simulator.cluster)
    while simulator.advance():
        while True:
            yield policy.observe(simulator.cluster)[0]
            action = policy.act(simulator.cluster)
            if action.kind is ActionKind.KEEP or not simulator.apply(action):
                break


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
@pytest.mark.parametrize("kind", KINDS)
def test_few_false_alarms_where_the_policy_was_trained(kind: str) -> None:
    policy = FrozenPolicy(MODEL)
    assert policy.envelope is not None
    names = [f.name for f in features([f.name for f in load_profile("openstack").cluster.flavors])]
    smallest = float(policy.card["observation_envelope"]["low"][names.index("size")])
    sample, rng = random_episodes(KINDS[kind]), np.random.default_rng(7)
    seen = alarms = strangers = 0
    why: Counter[str] = Counter()
    for _ in range(EPISODES):
        episode = sample(rng)
        if "DACIRCO_EPISODES" not in os.environ:
            episode = replace(episode, horizon_s=900.0)
        told = [policy.envelope.outside(row) for row in decisions(policy, episode)]
        cores = sum(node.cores for node in episode.profile.cluster.nodes)
        if np.log(cores / 18) / 2 < smallest - 1e-6:  # a data centre smaller than any in training
            strangers += 1
            assert not any(told) or all(told)
            continue
        seen += len(told)
        alarms += sum(map(bool, told))
        why.update(text.split(" is ")[0] for text in told if text)
    print(f"{kind}: {alarms} of {seen} decisions, {strangers} strange episodes, {dict(why)}")
    assert alarms <= MOST * seen
