"""From a guess to an interval: the guess times quantiles of how far guesses were off.

These are measured (``python -m deploy.expected --write``): split conformal prediction, by group of
jobs (see `Group`); Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005.
"""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from deploy.expected.forecast import Group, Guess, forecast
from env.cluster import Cluster

NOMINAL: Final = 0.8
"""So often the truth should lie inside."""
FILE: Final = "quantiles.toml"


@dataclass(frozen=True, slots=True)
class Factors:
    """What a guess is multiplied by."""

    earliest: float
    likely: float
    latest: float


@dataclass(frozen=True, slots=True)
class Expected:
    """When a job ends, in the cluster's seconds."""

    earliest: float
    likely: float
    latest: float


@lru_cache(maxsize=1)
def factors() -> Mapping[Group, Factors]:
    """The measured factors."""
    text = files("deploy.expected").joinpath(FILE).read_text(encoding="utf-8")
    return {Group(name): Factors(**row) for name, row in tomllib.loads(text)["factors"].items()}


def interval(now: float, guess: Guess, by: Mapping[Group, Factors]) -> Expected:
    """The interval around a guess."""
    by_group, rest = by[guess.group], guess.remaining_s
    return Expected(
        now + rest * by_group.earliest, now + rest * by_group.likely, now + rest * by_group.latest
    )


class Outlook:
    """Expected ends of the jobs of a cluster; found anew when they may differ.

    Args:
        cluster: what they are read from.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._at: tuple[float, int, int, int] | None = None
        self._guesses: dict[Hashable, Guess] = {}

    def of(self, job_id: str) -> Expected | None:
        """Of a job; none if it is held, far back in the queue, or not there."""
        cluster = self._cluster
        at = (cluster.now, cluster.waiting, cluster.in_service, cluster.n_workers)
        if at != self._at:
            self._guesses, self._at = forecast(cluster), at
        guess = self._guesses.get(job_id)
        return None if guess is None else interval(cluster.now, guess, factors())
