"""Policies that no one should have to trust."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.envelope import Envelope
from agents.network_policy import NetworkPolicy
from agents.policy import Policy
from env.actions import KEEP, Action, ActionKind, kill, spawn
from env.cluster import Cluster
from env.observation import features


class Adversary(Policy):
    """Does what the function says; wakes as `wake` says."""

    discipline = "sjf"

    def __init__(
        self,
        name: str,
        act: Callable[[Cluster], Any],
        wake: Callable[[Cluster], Any] = lambda _: None,
    ) -> None:
        self.name = name
        self._act, self._wake = act, wake

    def act(self, cluster: Cluster) -> Action:
        return self._act(cluster)  # type: ignore[no-any-return]  # it may lie

    def wake_at(self, cluster: Cluster) -> float | None:
        return self._wake(cluster)  # type: ignore[no-any-return]


class FakeClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class HandNetwork(NetworkPolicy):
    """A network whose logits the test sets."""

    name = "hand"
    discipline = "sjf"

    def __init__(self, answer: Callable[[NDArray[np.float32]], Any]) -> None:
        self.answer = answer

    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray([self.answer(row) for row in observations], dtype=np.float32)


def box(cluster: Cluster, low: float = -10.0, high: float = 10.0) -> Envelope:
    """An envelope with the same bounds for all features."""
    named = [feature._asdict() for feature in features([f.name for f in cluster.flavors])]
    return Envelope(named, [low] * len(named), [high] * len(named))


def raising(_: Cluster) -> Action:
    """Raises."""
    raise RuntimeError("no idea\nat all")


def spawning(cluster: Cluster) -> Action:
    """Spawns the largest flavor, whether it fits or not."""
    return spawn(cluster.n_flavors - 1)


def spawning_what_fits(cluster: Cluster) -> Action:
    """Spawns as long as anything fits."""
    return next((spawn(f) for f, fits in enumerate(cluster.fits) if fits), KEEP)


def killing_and_spawning(cluster: Cluster) -> Action:
    """Kills what idles and spawns anew, for ever."""
    for flavor, idle in enumerate(cluster.idle):
        if idle:
            return kill(flavor)
    return spawning_what_fits(cluster)


class Undecided:
    """Orders at random what can be carried out, and never keeps if there is another way."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, cluster: Cluster) -> Action:
        orders = [make(f) for make in (spawn, kill) for f in range(cluster.n_flavors)]
        possible = [order for order in orders if cluster.can(order)]
        return possible[int(self.rng.integers(len(possible)))] if possible else KEEP


class Random:
    """Orders at random, possible or not."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, cluster: Cluster) -> Any:
        kind = ActionKind(int(self.rng.integers(3)))
        return Action(kind, int(self.rng.integers(-2, cluster.n_flavors + 2)))


NOT_ACTIONS: tuple[Any, ...] = (
    None,
    0,
    "keep",
    float("nan"),
    Action(7, 0),  # type: ignore[arg-type]
    Action(1, 0),  # type: ignore[arg-type]
    Action(ActionKind.SPAWN, 0.0),  # type: ignore[arg-type]
    Action(ActionKind.SPAWN, "0"),  # type: ignore[arg-type]
    Action(ActionKind.KILL, True),
    Action(ActionKind.SPAWN, None),  # type: ignore[arg-type]
)
NOT_POSSIBLE = (
    Action(ActionKind.SPAWN, -1),
    Action(ActionKind.SPAWN, 99),
    Action(ActionKind.KILL, 0),
    Action(ActionKind.KILL, -3),
)


def adversaries(seed: int = 0) -> list[Adversary]:
    """One of each kind."""
    rng = np.random.default_rng(seed)
    return [
        Adversary("never spawns", lambda _: KEEP),
        Adversary("spawns the largest for ever", spawning),
        Adversary("spawns what fits for ever", spawning_what_fits),
        Adversary("kills and spawns for ever", killing_and_spawning),
        Adversary("never keeps", Undecided(seed)),
        Adversary("orders at random", Random(seed)),
        Adversary("raises", raising, raising),
        Adversary("lies", lambda _: NOT_ACTIONS[int(rng.integers(len(NOT_ACTIONS)))]),
        Adversary("never sleeps", lambda _: KEEP, lambda cluster: cluster.now + 1e-9),
        Adversary("sleeps badly", lambda _: KEEP, lambda _: float("nan")),
    ]
