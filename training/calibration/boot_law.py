"""The fit of boot time: warm, first time on a node, and on a crowded node.

``log boot = log(warm median) + slow-down(load)``; the load counts the boots (this one
included) and the transcodes on the node. A boot that began before any worker of its run was
ready on its node and takes more than `COLD_FACTOR` times the median copied the image; one
that takes more than `STUCK_FACTOR` times the median, or has no node, waited for room and is
left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.config import BootTiming, ContentionTiming, TranscodeTiming
from training.calibration.crowding import Crowding, knees
from training.calibration.knee import Knee, choose_knee
from training.calibration.node_load import Pieces, loads, node_histories
from training.calibration.observations import Observations, figures, texts
from training.calibration.regression import (
    Coefficient,
    Regression,
    SlopeTerm,
    Term,
    regress_with_slope,
)

Floats = NDArray[np.float64]
COLD_FACTOR: Final = 2.0
STUCK_FACTOR: Final = 5.0
MIN_BOOTS: Final = 5
MIN_CROWDED: Final = 3
MIN_SETTLED: Final = 2
"""So many boots on nodes that hold the image tell what a boot takes, however few they are."""
_QUICK: Final = 0.25
ORDER_WINDOW_S: Final = 2.0
MIN_COPIES: Final = 3
"""Fewer first boots say nothing of their spread."""


@dataclass(frozen=True)
class BootSample:
    """Boots of workers with one vCPU or more.

    Attributes:
        seconds: of each warm boot, from created to registered, shape (n,).
        load: load of its node meanwhile.
        cold_s: seconds of the boots that copied the image.
        n_stuck: boots left out because they waited for room.
        order_delay_s: median time from the request that asked for a worker until the
            cloud had created it; 0 where no worker followed a request so soon.
        n_order_delays: how many workers that rests on.
    """

    seconds: Floats
    load: list[Pieces]
    cold_s: Floats
    n_stuck: int
    order_delay_s: float
    n_order_delays: int


@dataclass(frozen=True)
class BootFit:
    """The fitted figures of ``timing.boot`` and the regression they come from.

    Attributes:
        law: the figures; ``median_s`` holds the delay of the order too.
        cores: of a node, by which the knee's share is taken.
        regression: coefficients ``log_median`` and ``crowd_slope``.
        knee: how the knee was chosen.
    """

    law: BootTiming
    cores: float
    regression: Regression
    knee: Knee


def boot_sample(
    observations: Observations,
    law: TranscodeTiming,
    contention: ContentionTiming,
    *,
    typical_s: float | None = None,
    may_copy: bool = True,
) -> BootSample:
    """The boots that were seen to end.

    Args:
        observations: measured runs.
        law: gives the load of a transcode on several vCPUs.
        contention: gives the load of a boot.
        typical_s: of a warm boot, to tell those that copied the image, where fewer than
            `MIN_SETTLED` are known to have found it there; by default the median of all is taken,
            which is right unless most boots copied it.
        may_copy: whether a first boot may have copied the image; else none is left out for that.
    """
    workers = observations.workers
    boots = workers.assign(seconds=workers["t_available"] - workers["t_created"])
    boots = boots[(boots["seconds"] > 0) & ~(boots["vcpus"] < 1)]
    median = float(boots["seconds"].median())
    first_ready = boots.groupby(["run", "node"])["t_available"].transform("min")
    early = (boots["t_created"] < first_ready) & (boots["node"] != "")
    typical = median
    if typical_s is not None:
        # What a boot takes now, however far that is from what was expected.
        settled = boots["seconds"][~early]
        # The quicker of them: one that waited for room must not make copies look usual.
        quick = float(settled.quantile(_QUICK, interpolation="lower"))
        typical = max(typical_s, quick) if len(settled) >= MIN_SETTLED else typical_s
    cold = early & (boots["seconds"] > COLD_FACTOR * typical) & may_copy
    slowest = STUCK_FACTOR * max(median, typical)
    stuck = ~cold & ((boots["node"] == "") | (boots["seconds"] > slowest))
    warm = boots[~cold & ~stuck]
    histories = node_histories(observations, law, contention.boot_load)
    delays = _order_delays(observations)
    return BootSample(
        seconds=figures(warm, "seconds"),
        load=loads(histories, warm, "t_created", "t_available"),
        cold_s=figures(boots[cold], "seconds"),
        n_stuck=int(stuck.sum()),
        order_delay_s=float(np.median(delays)) if len(delays) else 0.0,
        n_order_delays=len(delays),
    )


def fit_boot(sample: BootSample, prior: BootTiming, cores: float) -> BootFit:
    """Fit the law to a sample, with least squares; below `MIN_BOOTS` the prior stays.

    Args:
        sample: warm and cold boots.
        prior: kept where the sample cannot show a figure.
        cores: physical cores of a node.
    """
    y = np.log(sample.seconds)
    terms = [Term("log_median", np.ones(len(y)), log(prior.median_s))]

    def fit(knee: float, *, free: bool = True) -> Regression:
        crowding = Crowding(knee, limit=prior.crowd_limit)
        slope = SlopeTerm(
            "crowd_slope",
            lambda at: crowding.log_slowdown(sample.load, at),
            prior=prior.crowd_slope if free else 0.0,
            fixed=not free,
        )
        return regress_with_slope(y, terms, slope, robust=False)

    prior_knee = prior.crowd_knee_share * cores
    if len(y) < MIN_BOOTS:
        kept = {
            "log_median": Coefficient(log(prior.median_s), nan, "prior"),
            "crowd_slope": Coefficient(prior.crowd_slope, nan, "prior"),
        }
        return BootFit(prior, cores, Regression(kept, y, 0), Knee(prior_knee, False, []))
    knee = choose_knee(
        fit,
        "crowd_slope",
        knees(sample.load, MIN_CROWDED, cores),
        prior=prior_knee,
        aic_without=fit(prior_knee, free=False).aic,
    )
    best = fit(knee.load)
    warm = exp(best["log_median"])
    law = replace(
        prior,
        median_s=warm + sample.order_delay_s,
        sigma=best.sigma,
        crowd_knee_share=knee.load / cores,
        crowd_slope=best["crowd_slope"],
    )
    copies = sample.cold_s - warm
    if len(copies):
        law = replace(law, first_on_node_s=float(copies.mean()))
    if len(copies) >= MIN_COPIES:
        law = replace(law, first_on_node_sigma=float(np.log(copies).std(ddof=1)))
    return BootFit(law, cores, best, knee)


def _order_delays(observations: Observations) -> Floats:
    """From a request to the creation of a worker that follows within `ORDER_WINDOW_S`.

    A scaling rule that answers an arrival at once orders the worker when the request
    arrives; the rest is the cloud's interface.
    """
    tasks, workers = observations.tasks, observations.workers
    delays = []
    for run in sorted(set(texts(workers, "run"))):
        arrivals = np.sort(figures(tasks[tasks["run"] == run], "t_received"))
        created = figures(workers[workers["run"] == run], "t_created")
        place = np.searchsorted(arrivals[np.isfinite(arrivals)], created, side="right") - 1
        since = created[place >= 0] - arrivals[place[place >= 0]]
        delays.append(since[since <= ORDER_WINDOW_S])
    return np.concatenate(delays) if delays else np.zeros(0)
