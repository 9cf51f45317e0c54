"""What the operator's three knobs do: flavor, max workers and grace period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from env.families import Poisson
from training.findings.capacity import worker_counts
from training.findings.world import GRACE, Track, World

LOAD = 0.2
"""Offered load of the heat maps (Poisson arrivals)."""

PREFERENCE = 0.5


@dataclass(frozen=True)
class KnobMap:
    """One flavor: figures over max workers (rows) and grace period (columns).

    Attributes:
        flavor: name.
        workers: max workers.
        graces_s: grace periods, seconds.
        delay_s: mean delay.
        core_s: reserved equivalent core-seconds for each job.
        cost: cost for each job at `PREFERENCE`.
    """

    flavor: str
    workers: tuple[int, ...]
    graces_s: tuple[float, ...]
    delay_s: NDArray[np.float64]
    core_s: NDArray[np.float64]
    cost: NDArray[np.float64]

    def best(self) -> tuple[int, float, float]:
        """Max workers, grace period and cost where the cost is least."""
        row, column = np.unravel_index(int(np.argmin(self.cost)), self.cost.shape)
        return self.workers[row], self.graces_s[column], float(self.cost[row, column])


def knob_maps(world: World, track: Track) -> list[KnobMap]:
    """Grace-period with every setting of the knobs, on the same jobs."""
    effort = world.effort
    family = Poisson(world.rate(LOAD))
    jobs = [world.requests(family, seed, effort.hours) for seed in range(effort.map_seeds)]
    limits = {flavor: worker_counts(world, flavor) for flavor in world.flavors}
    shape = {flavor: (len(limits[flavor]), len(effort.graces_s), 3) for flavor in world.flavors}
    found = {flavor: np.zeros(shape[flavor]) for flavor in world.flavors}
    cases = [
        (flavor, row, column)
        for flavor in world.flavors
        for row in range(len(limits[flavor]))
        for column in range(len(effort.graces_s))
    ]
    for flavor, row, column in track(cases, "knobs"):
        spec = (
            f"{GRACE}:flavor={flavor},max_workers={limits[flavor][row]},"
            f"max_idle_time={effort.graces_s[column]:g}"
        )
        cells = [
            world.cell(requests, spec, seed=seed, preference=PREFERENCE)
            for seed, requests in enumerate(jobs)
        ]
        figures = [
            (
                float(np.mean(run.delays_s)),
                run.metrics.core_seconds / run.metrics.jobs,
                run.metrics.cost_per_job,
            )
            for run in world.stage.play(cells)
        ]
        found[flavor][row, column] = np.mean(figures, axis=0)
    return [
        KnobMap(
            flavor,
            tuple(limits[flavor]),
            effort.graces_s,
            *(found[flavor][:, :, figure] for figure in range(3)),
        )
        for flavor in world.flavors
    ]
