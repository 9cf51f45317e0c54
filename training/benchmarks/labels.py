"""How many labelled states a second paired rollouts give, on the engine and on the simulator.

A label is what each of three actions brings in the next minutes. Both follow the same network, on
episodes of the same kind, for as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO

from env.engine.vector_env import DaCircoVectorEnv
from env.gym_env import DaCircoEnv
from training.benchmarks.decisions import LOAD
from training.benchmarks.laps import Speed, measure
from training.imitation import clone, collect
from training.lockstep import Decide, greedy
from training.network import Actor, policy_arguments, standardiser
from training.rollouts.flatten import flatten
from training.rollouts.paired import roll_out_pairs
from training.rollouts.reference import explore
from training.teacher import load_teacher

WIDTH: Final = 128
LENGTH_S: Final = 450.0
_TRIED: Final = 3
_MEMBERS: Final = 8
_LESSONS: Final = 6_000
_TAUGHT: Final = 6
"""Passes over them: enough for a network that gets its jobs done."""
_BURN_IN: Final = 300
_RANDOM_SHARE: Final = 0.05
_WORLD: Final[dict[str, Any]] = {"family": "poisson", "load": LOAD}


@dataclass(frozen=True, slots=True)
class LabelSpeeds:
    """Labelled states a second of one core.

    Attributes:
        engine: of the compiled engine.
        simulator: of the SimPy simulator and `training.rollouts.reference`.
        actions: that are tried at a state, mean.
        decisions: in a branch of the engine, mean.
        simulator_decisions: in a branch of the simulator, mean.
    """

    engine: Speed
    simulator: Speed
    actions: float
    decisions: float
    simulator_decisions: float

    @property
    def ratio(self) -> float:
        """By which factor the engine is faster."""
        return self.engine.per_second / self.simulator.per_second

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "engine": self.engine.to_dict(),
            "simulator": self.simulator.to_dict(),
            "ratio": self.ratio,
            "actions": self.actions,
            "decisions": self.decisions,
            "simulator_decisions": self.simulator_decisions,
        }


def taught_actor(width: int = WIDTH, seed: int = 0) -> Actor:
    """An actor that imitates the teacher a little."""
    torch.set_num_threads(1)
    members = [DaCircoEnv(**_WORLD) for _ in range(_MEMBERS)]
    for i, member in enumerate(members):
        member.reset(seed=seed + i)
    lessons = collect(
        members, load_teacher, _LESSONS, np.random.default_rng(seed), random_share=0.1
    )
    flavors = [flavor.name for flavor in members[0].simulator.cluster.flavors]
    torch.manual_seed(seed)
    model = MaskablePPO(
        "MlpPolicy", members[0], policy_kwargs=policy_arguments(width, flavors), device="cpu"
    )
    standardiser(model).fit(lessons.observations)
    actor = Actor(model)
    clone(
        actor,
        lessons,
        epochs=_TAUGHT,
        batch_size=256,
        learning_rate=3e-3,
        smoothing=0.03,
        rng=np.random.default_rng(seed),
    )
    return actor


def label_speeds(
    engine_states: int, simulator_states: int, repetitions: int, width: int = WIDTH
) -> LabelSpeeds:
    """Measure both.

    Args:
        engine_states: labelled in each repetition.
        simulator_states: likewise.
        repetitions: of the measurement.
        width: units of the network's two layers.
    """
    actor = taught_actor(width)
    network, decide = flatten(actor), greedy(actor)
    rng = np.random.default_rng(1)

    fast = DaCircoVectorEnv(engine_states, threads=1, **_WORLD)
    observations, _ = fast.reset(seed=0)
    for _ in range(_BURN_IN):
        observations, *_ = fast.step(_mostly(decide, observations, fast.action_masks(), rng))
    rows = np.arange(engine_states)
    tried = _likeliest(actor, observations, fast.action_masks())
    counted: list[float] = []

    def label() -> int:
        found = roll_out_pairs(fast.engine, rows, tried, network, length_s=LENGTH_S)
        counted.append(float(found.decisions.sum() / tried.sum()))
        return engine_states

    engine = measure(label, repetitions)
    actions = float(tried.sum() / engine_states)
    fast.close()

    members = [DaCircoEnv(**_WORLD) for _ in range(simulator_states)]
    observations = np.zeros((simulator_states, observations.shape[1]), dtype=np.float32)
    masks = np.zeros((simulator_states, tried.shape[1]), dtype=np.bool_)
    for i, member in enumerate(members):
        member.reset(seed=i)
    for _ in range(_BURN_IN):
        _look(members, observations, masks)
        actions_now = _mostly(decide, observations, masks, rng)
        for member, action in zip(members, actions_now.tolist(), strict=True):
            if any(member.decide(action)[1:]):
                member.begin()
    _look(members, observations, masks)
    tried = _likeliest(actor, observations, masks)
    plain_counted: list[float] = []

    def label_plainly() -> int:
        _, decisions = explore(
            [member.simulator for member in members],
            tried,
            decide,
            discount_s=inf,
            length_s=LENGTH_S,
        )
        plain_counted.append(float(np.nanmean(decisions)))
        return simulator_states

    simulator = measure(label_plainly, repetitions)
    return LabelSpeeds(engine, simulator, actions, counted[-1], plain_counted[-1])


def _look(
    members: list[DaCircoEnv], observations: NDArray[np.float32], masks: NDArray[np.bool_]
) -> None:
    for i, member in enumerate(members):
        member.observe_into(observations[i])
        member.mask_into(masks[i])


def _mostly(
    decide: Decide,
    observations: NDArray[np.float32],
    masks: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """What the network decides, and now and then anything that is allowed."""
    chosen = decide(observations, masks)
    anything = (masks * rng.random(masks.shape)).argmax(axis=1)
    return np.where(rng.random(len(chosen)) < _RANDOM_SHARE, anything, chosen)


def _likeliest(
    actor: Actor, observations: NDArray[np.float32], masks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The likeliest allowed actions of each state, `_TRIED` of them if there are so many."""
    with torch.no_grad():
        logits = actor(torch.as_tensor(observations)).numpy()
    ranked = np.argsort(np.where(masks, -logits, np.inf), axis=1)[:, :_TRIED]
    tried = np.zeros_like(masks)
    np.put_along_axis(tried, ranked, True, axis=1)
    return tried & masks
