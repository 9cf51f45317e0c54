"""Whole episodes on the compiled engine, many at once, with their metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from agents.compiled.rules import Form, form_of
from agents.compiled.running import run_rules
from agents.registry import make_policy
from env.actions import n_actions
from env.cluster import Cluster
from env.engine.engine import Engine
from env.engine.episode import EpisodeData, prepare_episode
from env.engine.perceptron import Perceptron, forward
from env.engine.stepping import Outcome, Seen, look_at, step_centres
from env.episodes import Episode
from env.errors import DaCircoError
from env.metrics import EpisodeMetrics
from env.observation import bounds
from training.network import masked_argmax


def run_network(runs: Sequence[tuple[Episode, float]], network: Perceptron) -> list[EpisodeMetrics]:
    """A network from start to the last job's end, by its likeliest allowed actions.

    Args:
        runs: episodes of the same flavors, each with the preference that it is run at.
        network: the policy.

    Returns:
        Metrics of each run, in their order.
    """
    if not runs:
        return []
    # The longest first: the rows that still run stay together.
    order = sorted(range(len(runs)), key=lambda k: -len(runs[k][0].requests))
    n = len(runs)
    engine = Engine(n)
    alive = np.zeros(n, dtype=np.bool_)
    for d, k in enumerate(order):
        episode, preference = runs[k]
        engine.load(d, _whole(episode, preference))
    for d in range(n):
        alive[d] = engine.advance(d)
    names = [flavor.name for flavor in runs[0][0].profile.cluster.flavors]
    low, high = bounds(names)
    actions = n_actions(len(names))
    seen = Seen(
        low,
        high,
        np.zeros((n, len(low)), dtype=np.float32),
        np.zeros((n, actions), dtype=np.bool_),
    )
    outcome = Outcome(
        np.zeros(n),
        np.zeros((n, 2)),
        np.zeros(n),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
    )
    look_at(engine.f, engine.i, engine.ef, engine.ei, np.arange(n), seen)
    chosen = np.zeros(n, dtype=np.int64)
    while alive.any():
        last = int(np.flatnonzero(alive)[-1]) + 1
        logits = forward(network, seen.observations[:last])
        chosen[:last] = masked_argmax(logits, seen.masks[:last])
        step_centres(
            engine.f, engine.i, engine.ef, engine.ei, 0, last, chosen, ~alive, seen, outcome
        )
        alive[:last] &= ~(outcome.terminated[:last] | outcome.truncated[:last])
        for d in np.flatnonzero(outcome.full[:last] & alive[:last]).tolist():
            engine.make_room(d)
    found: list[EpisodeMetrics | None] = [None] * n
    for d, k in enumerate(order):
        found[k] = engine.metrics(d)
    return [metrics for metrics in found if metrics is not None]


def run_rule(runs: Sequence[tuple[Episode, float]], spec: str) -> list[EpisodeMetrics]:
    """A rule from start to the last job's end.

    Args:
        runs: episodes, each with the preference that it is run at.
        spec: a rule that has a compiled form (`agents.compiled.rules`).

    Returns:
        Metrics of each run, in their order.

    Raises:
        DaCircoError: the rule has no compiled form.
    """
    policy = make_policy(spec)
    forms: dict[int, Form] = {}
    for episode, _ in runs:
        if id(episode.profile) not in forms:
            form = form_of(policy, Cluster(episode.profile))
            if form is None:
                raise DaCircoError(f"the rule {spec!r} has no compiled form: choose one that has")
            forms[id(episode.profile)] = form
    engine = Engine(max(1, len(runs)))
    for d, (episode, preference) in enumerate(runs):
        engine.load(d, _whole(episode, preference, policy.discipline))
    run_rules(engine, range(len(runs)), [forms[id(episode.profile)] for episode, _ in runs])
    return [engine.metrics(d) for d in range(len(runs))]


def _whole(episode: Episode, preference: float, discipline: str = "sjf") -> EpisodeData:
    """Until its last job has ended, even if it is to be cut before."""
    endless = replace(episode, horizon_s=inf)
    return prepare_episode(endless, preference=preference, discipline=discipline, trace=True)
