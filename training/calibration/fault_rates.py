"""Rates of failures: how many were seen, in how many chances.

A spawn has failed when its worker never registered although the run went on, or the
worker was kept, for longer than any boot should take. A worker is lost when it stops in
the middle of a task that another worker then gets. A transcode fails when it is reported
as an error. A run that is stopped from outside cuts off its workers and tasks; they
count as unfinished, not as failed.
"""

from __future__ import annotations

from typing import Final

import pandas as pd
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson

from env.config import FaultConfig
from training.calibration.estimates import Estimate, SectionFit
from training.calibration.observations import (
    CANCELLED,
    COMPLETED,
    ERROR,
    Observations,
    stop_times,
    texts,
)

BOOT_PATIENCE_S: Final = 300.0
CONFIDENCE: Final = 0.95


def fit_faults(observations: Observations, prior: FaultConfig) -> SectionFit:
    """Estimate the table ``faults`` of a profile.

    The quality holds upper limits that the true figure exceeds with a chance of 5 %
    (Clopper-Pearson for the probabilities, exact Poisson for the rate): no failure in n
    chances still allows one in about n / 3.
    """
    counts = count_faults(observations)
    fit = SectionFit("faults")
    for key in ("spawn_failure", "transcode_error"):
        events, chances = counts[key]
        _proportion(fit, key, events, int(chances), prior)
    lost, hours = counts["worker_loss_per_hour"]
    if hours > 0:
        error = lost**0.5 / hours if lost else None
        n = int(observations.workers["t_available"].notna().sum())
        fit.estimates["worker_loss_per_hour"] = Estimate(lost / hours, error, n)
        _, upper = confint_poisson(lost, hours, method="exact-c", alpha=2 * (1 - CONFIDENCE))
        fit.quality["worker_hours"] = hours
        fit.quality["worker_loss_per_hour_upper_95"] = float(upper)
    else:
        fit.estimates["worker_loss_per_hour"] = Estimate(
            prior.worker_loss_per_hour, None, 0, "prior", "no worker was seen to run"
        )
    return fit


def count_faults(observations: Observations) -> dict[str, tuple[int, float]]:
    """How often each failure was seen, and in how many chances (or worker-hours).

    Returns:
        By key of the table ``faults`` of a profile.
    """
    seen = observations.with_run_ends()
    tasks, workers = seen.tasks, seen.workers
    ready = workers["t_available"].notna()
    until = workers["t_stopped"].fillna(workers["t_run_end"])
    never = ~ready & (until - workers["t_created"] > BOOT_PATIENCE_S)
    errors = int((tasks["status"] == ERROR).sum())
    done = int((tasks["status"] == COMPLETED).sum())
    hours = float((until - workers["t_available"])[ready].clip(lower=0).sum() / 3600)
    return {
        "spawn_failure": (int(never.sum()), int((ready | never).sum())),
        "transcode_error": (errors, errors + done),
        "worker_loss_per_hour": (_n_lost(tasks, workers), hours),
    }


def _proportion(fit: SectionFit, key: str, events: int, chances: int, prior: FaultConfig) -> None:
    if chances == 0:
        fit.estimates[key] = Estimate(getattr(prior, key), None, 0, "prior", "no chance was seen")
        return
    share = events / chances
    _, upper = proportion_confint(events, chances, alpha=2 * (1 - CONFIDENCE), method="beta")
    error = (share * (1 - share) / chances) ** 0.5 if events else None
    fit.estimates[key] = Estimate(share, error, chances)
    fit.quality[f"{key}_seen"] = events
    fit.quality[f"{key}_upper_95"] = float(upper)


def _n_lost(tasks: pd.DataFrame, workers: pd.DataFrame) -> int:
    stops = stop_times(workers)
    given = tasks[tasks["t_assigned"].notna() & (tasks["request"] != "")]
    lost = 0
    for _, attempts in given.sort_values("t_assigned").groupby(["run", "request"]):
        for run, worker, status in zip(
            texts(attempts, "run")[:-1],
            texts(attempts, "worker")[:-1],
            texts(attempts, "status")[:-1],
            strict=True,
        ):
            lost += status not in (COMPLETED, ERROR, CANCELLED) and (run, worker) in stops
    return lost
