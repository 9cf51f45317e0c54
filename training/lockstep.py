"""Run many simulations at once under one network, which decides for all in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agents.network_policy import masked_argmax
from env.actions import ActionKind, action_from_index, n_actions
from env.episodes import Episode
from env.observation import Observer, action_mask, bounds
from env.simulator import Simulator
from training.network import Actor

Decide = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.int64]]
"""From observations (n, features) and masks (n, actions) to actions (n,)."""


def greedy(actor: Actor) -> Decide:
    """Decide by the actor's likeliest action."""

    def decide(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        with torch.no_grad():
            logits = actor(torch.as_tensor(observations)).numpy()
        return masked_argmax(logits, masks)

    return decide


def simulate(
    episode: Episode, preference: float | None = None, discipline: str = "sjf"
) -> Simulator:
    """The simulation of an episode, from start to the last job's end."""
    return Simulator(
        episode.profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference if preference is None else preference,
        discipline=discipline,
    )


def run_lockstep(simulators: Sequence[Simulator], decide: Decide) -> None:
    """Run all simulations to their end."""
    flavors = [flavor.name for flavor in simulators[0].cluster.flavors]
    observers = [Observer(simulator.cluster) for simulator in simulators]
    active = [i for i, simulator in enumerate(simulators) if simulator.advance()]
    rows = np.zeros((len(simulators), len(bounds(flavors)[0])), dtype=np.float32)
    masks = np.zeros((len(simulators), n_actions(len(flavors))), dtype=np.bool_)
    while active:
        for row, i in enumerate(active):
            observers[i].write(rows[row])
            action_mask(simulators[i].cluster, masks[row])
        actions = decide(rows[: len(active)], masks[: len(active)]).tolist()
        alive = []
        for i, index in zip(active, actions, strict=True):
            action = action_from_index(index, len(flavors))
            if action.kind is ActionKind.KEEP or not simulators[i].apply(action):
                if simulators[i].advance():
                    alive.append(i)
            else:
                alive.append(i)
        active = alive
