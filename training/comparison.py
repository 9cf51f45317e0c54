"""Compare a network with rules on the same jobs at several preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from agents.registry import make_policy
from env.episodes import Episode
from env.metrics import EpisodeMetrics
from training.network import Actor
from training.preferences import PREFERENCES
from training.rollouts.actor_policy import ActorPolicy
from training.rollouts.cells import Cell
from training.rollouts.play import COMPILED, Stage

RIVALS: Final = ("minimize-workers", "grace-period", "adaptive-flavor")
"""The naive algorithms and the strongest rule at its defaults."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of one policy, by preference (rows) and episode (columns)."""

    metrics: tuple[tuple[EpisodeMetrics, ...], ...]

    @property
    def costs(self) -> NDArray[np.float64]:
        """Cost per job, shape (preferences, episodes)."""
        return np.array([[run.cost_per_job for run in row] for row in self.metrics])

    def mean(self, name: str) -> NDArray[np.float64]:
        """Mean over the episodes of a metric, shape (preferences,)."""
        return np.array([np.nanmean([getattr(run, name) for run in row]) for row in self.metrics])


def cost_ratio(ours: Figures, theirs: Figures) -> NDArray[np.float64]:
    """Geometric mean over the episodes of the ratio of costs per job, shape (preferences,)."""
    ratio: NDArray[np.float64] = np.exp(np.log(ours.costs / theirs.costs).mean(axis=1))
    return ratio


def over_all(ratios: NDArray[np.float64]) -> float:
    """Geometric mean over the preferences."""
    return float(np.exp(np.log(ratios).mean()))


class Comparison:
    """Fixed episodes, the preferences, and what the rivals make of them.

    Args:
        episodes: on which all are compared.
        rivals: the rules.
        preferences: at each of which all episodes are run.
        engine: see `training.rollouts.play`.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        rivals: Sequence[str] = RIVALS,
        preferences: Sequence[float] = PREFERENCES,
        engine: str = COMPILED,
    ) -> None:
        self._stage = Stage(engine)
        self.episodes = list(episodes)
        self.preferences = tuple(preferences)
        self.rivals = {name: self._play(make_policy(name)) for name in rivals}

    def run(self, actor: Actor) -> Figures:
        """What the network makes of them."""
        return self._play(ActorPolicy(actor))

    def _play(self, policy: Policy) -> Figures:
        runs = [
            played.metrics
            for played in self._stage.play(
                [
                    Cell.of(policy, episode, preference)
                    for preference in self.preferences
                    for episode in self.episodes
                ]
            )
        ]
        n = len(self.episodes)
        return Figures(
            tuple(tuple(runs[i * n : (i + 1) * n]) for i in range(len(self.preferences)))
        )

    def ratios(self, figures: Figures) -> dict[str, NDArray[np.float64]]:
        """Cost ratio to each rival by preference."""
        return {name: cost_ratio(figures, rival) for name, rival in self.rivals.items()}

    def score(self, figures: Figures) -> float:
        """Cost relative to the strongest rival, over all preferences and episodes."""
        return over_all(self.ratios(figures)[RIVALS[-1]])

    def summary(self, figures: Figures, about: str) -> dict[str, Any]:
        """The ratios as plain values for a card."""
        return {
            "about": about,
            "cost_ratio": {
                name: {
                    **{f"w={w}": float(r) for w, r in zip(self.preferences, by, strict=True)},
                    "all": over_all(by),
                }
                for name, by in self.ratios(figures).items()
            },
        }
