"""The figures of a run, the same for one that was measured and one that was simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean

import numpy as np

from env.level import Level
from env.node import MIB_PER_GIB, MILLI

_P95 = 0.95


@dataclass(frozen=True, slots=True)
class Figures:
    """What the two bosses ask for, in absolute units; p95 of a level is over time.

    Attributes:
        jobs: how many were delivered.
        delay_mean_s, delay_p95_s: submission to uploaded result, seconds.
        cpu_reserved_mean, cpu_reserved_p95: vCPUs of workers, from order to end.
        cpu_used_mean, cpu_used_p95: cores that workers kept busy.
        ram_reserved_mean, ram_reserved_p95: RAM of workers, GiB.
        ram_used_mean, ram_used_p95: RAM that workers held, GiB.
        boots: workers ordered.
        makespan_s: start of the scenario to the last delivery, seconds.
        cost: ``w job-seconds + (1 - w) reserved core-seconds`` (see `env.cost`).
    """

    jobs: float
    delay_mean_s: float
    delay_p95_s: float
    cpu_reserved_mean: float
    cpu_reserved_p95: float
    cpu_used_mean: float
    cpu_used_p95: float
    ram_reserved_mean: float
    ram_reserved_p95: float
    ram_used_mean: float
    ram_used_p95: float
    boots: float
    makespan_s: float
    cost: float


def delay_figures(delays_s: Sequence[float]) -> tuple[float, float]:
    """Mean and 95th percentile."""
    return float(np.mean(delays_s)), float(np.percentile(delays_s, 100 * _P95))


def cpu_figures(level: Level, end_s: float) -> tuple[float, float]:
    """Mean and 95th percentile over time of a level in millicores, as cores."""
    return level.mean(end_s) / MILLI, level.percentile(end_s, _P95) / MILLI


def ram_figures(level: Level, end_s: float) -> tuple[float, float]:
    """Mean and 95th percentile over time of a level in MiB, as GiB."""
    return level.mean(end_s) / MIB_PER_GIB, level.percentile(end_s, _P95) / MIB_PER_GIB


def mean_figures(runs: Sequence[Figures]) -> Figures:
    """Each figure's mean over several runs."""
    return Figures(
        **{field.name: fmean(getattr(run, field.name) for run in runs) for field in fields(Figures)}
    )
