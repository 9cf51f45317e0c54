"""Where which naive algorithm is cheaper: a map over load, burstiness and preference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.findings.world import BURSTINESS, GRACE, MINIMIZE, Burstiness, Track, World

SAME = 0.02
"""Costs that differ by less than this share count as equal."""

_NO_GRACE = f"{GRACE}:max_idle_time=0"


@dataclass(frozen=True)
class Duel:
    """Cost of minimize-workers relative to grace-period.

    Attributes:
        loads: offered loads.
        rows: burstiness of the arrivals.
        preferences: w.
        ratios: geometric means over the seeds, shape (preferences, rows, loads).
        no_grace_gap: largest relative difference of cost between minimize-workers and
            grace-period with a grace period of 0 s, over all runs.
    """

    loads: tuple[float, ...]
    rows: tuple[Burstiness, ...]
    preferences: tuple[float, ...]
    ratios: NDArray[np.float64]
    no_grace_gap: float

    def equal_from(self, row: Burstiness) -> float | None:
        """The load from which on both cost the same at every w; none if they never do."""
        gaps = np.abs(self.ratios[:, self.rows.index(row), :] - 1.0).max(axis=0)
        found = None
        for load, gap in zip(self.loads[::-1], gaps[::-1].tolist(), strict=True):
            if gap >= SAME:
                break
            found = load
        return found

    def equal_at(self) -> list[tuple[Burstiness, float, float]]:
        """(burstiness, load, w) where both cost the same."""
        cells = np.argwhere(np.abs(self.ratios - 1.0) < SAME).tolist()
        return [(self.rows[r], self.loads[i], self.preferences[w]) for w, r, i in cells]

    def won(self, preference: float) -> tuple[int, int, int]:
        """Cells where minimize-workers is cheaper, both are equal, grace-period is cheaper."""
        cells = self.ratios[self.preferences.index(preference)]
        lean, warm = int((cells <= 1 - SAME).sum()), int((cells >= 1 + SAME).sum())
        return lean, cells.size - lean - warm, warm


def duel(world: World, preferences: Sequence[float], track: Track) -> Duel:
    """Both algorithms on each load and burstiness; the costs at every w are those of one run."""
    effort = world.effort
    weights = np.array(preferences)
    logs = np.zeros((len(preferences), len(BURSTINESS), len(effort.map_loads)))
    gap = 0.0
    cases = [(r, i) for r in range(len(BURSTINESS)) for i in range(len(effort.map_loads))]
    for r, i in track(cases, "load and burstiness"):
        family = BURSTINESS[r].family(world.rate(effort.map_loads[i]))
        for seed in range(effort.map_seeds):
            requests = world.requests(family, seed, effort.hours)
            if not requests:
                continue
            cells = [
                world.cell(requests, policy, seed=seed) for policy in (MINIMIZE, GRACE, _NO_GRACE)
            ]
            lean, warm, none = (np.array(total.cost) for total in world.stage.totals(cells))
            cost = [weights * one[0] + (1 - weights) * one[1] for one in (lean, warm)]
            logs[:, r, i] += np.log(cost[0] / cost[1]) / effort.map_seeds
            gap = max(gap, float(np.max(np.abs(none / lean - 1.0))))
    return Duel(effort.map_loads, BURSTINESS, tuple(preferences), np.exp(logs), gap)
