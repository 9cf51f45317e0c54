"""Whether a profile still describes a cluster: measured against expected times, step by step.

Each measured time is divided by what the profile expects of it: of this video, on this
size of worker, under the load that its node had. If the profile holds, the logarithms of
these ratios scatter around 0. Their centre is Huber's M-estimate (stray jobs count little),
and its standard error is::

    sqrt(max(sigma, s)**2 / n + between_runs * sum((n_r / n)**2))

with the profile's `sigma`, the measured robust spread `s`, and the variance between runs
that the calibration found (n_r of the n observations are of run r). A step has drifted if
its interval does not hold 1 and its ratio is off by more than a tolerance that matters; the
intervals are so wide that all tests of a verdict together raise a false alarm with a chance
of at most `FALSE_ALARMS`. Failures are counted against what the profile allows (exact
binomial and Poisson tests).

The scatter itself is part of what a profile says: a step whose middle four fifths spread
`SPREAD_FACTOR` times as far as expected, and farther than chance allows, is not described
either, wherever its centre lies (runs of two kinds of worker, judged by the profile of one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import exp, log, nan, sqrt
from typing import Any, Final

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, poisson
from statsmodels.robust.scale import mad

from env.config import Profile, TransferTiming
from training.calibration.boot_law import BootSample, boot_sample
from training.calibration.crowding import Crowding
from training.calibration.fault_rates import count_faults
from training.calibration.observations import Observations
from training.calibration.transcode_law import expected_s, transcode_sample
from training.calibration.transfer_law import TransferSample, download_sample, upload_sample
from training.validation.consequence import Consequence
from training.validation.hung import HungTask, hung_tasks
from training.validation.overdue import OverdueTranscode, overdue_transcodes
from training.validation.provenance import between_runs, order_delay_s, throttle_of

Floats = NDArray[np.float64]

FALSE_ALARMS: Final = 0.01
"""Chance of a false alarm over all steps and faults of one verdict, at most."""
TOLERANCE: Final = 0.10
"""A ratio that is off by less than this is no drift worth a new calibration."""
MIN_OBSERVATIONS: Final = 5
"""Fewer observations of a step say nothing."""
LEAST_FAULT_RATE: Final = 0.01
"""A profile without faults still allows so many (a probability, or a rate per hour)."""

SPREAD_FACTOR: Final = 2.0
"""A spread so many times the profile's is another world."""
_MIDDLE: Final = (0.1, 0.9)
_MIDDLE_WIDTH: Final = 2.0 * float(norm.ppf(_MIDDLE[1]))
_SPREAD_ERROR: Final = 1.4
"""Relative standard error of that spread of n normal values, times the root of n."""

HUNG: Final = "hung_task"
"""Not in a profile: tasks that stop at a step that takes a moment."""
OVERDUE: Final = "overdue_transcode"
"""Not in a profile: transcodes that run on and on."""

_STEPS: Final = ("boot", "download", "transcode", "upload")
_FAULTS: Final = ("spawn_failure", "transcode_error", "worker_loss_per_hour")
_TESTS: Final = 2 * len(_STEPS) + len(_FAULTS) + 2
_ALPHA: Final = FALSE_ALARMS / _TESTS
_NO_SPREAD: Final = 1e-9
_LEAST_SPREAD: Final = 0.05
"""A profile that says that nothing scatters does not mean less than this."""


class Verdict(Enum):
    """What can be said of a profile, or of one step of it."""

    DESCRIBES = "still describes"
    DRIFTED = "drifted"
    TOO_LITTLE_DATA = "too little data"


@dataclass(frozen=True)
class StepDrift:
    """One timing step.

    Attributes:
        step: ``boot``, ``download``, ``transcode`` or ``upload``: a table of ``timing``.
        n: observations.
        ratio: measured over expected time, robust centre; NaN without observations.
        low, high: its interval, so wide that all those of a verdict hold together.
        spread: measured deviation of the logarithm over the middle four fifths.
        expected_spread: the profile's sigma, with how much runs differed.
        shows_from: least ratio above 1 that would have been called a drift.
        verdict: of this step.
        scattered: whether it is the spread that is not described.
    """

    step: str
    n: int
    ratio: float
    low: float
    high: float
    spread: float
    expected_spread: float
    shows_from: float
    verdict: Verdict
    scattered: bool = False


@dataclass(frozen=True)
class FaultDrift:
    """One kind of failure.

    Attributes:
        fault: key of the profile's table ``faults``, or `OVERDUE`.
        events: failures seen.
        exposure: chances, or worker-hours.
        allowed: probability, or rate per hour, that the profile allows.
        p_value: of so many failures or more at that rate.
        verdict: of this kind.
    """

    fault: str
    events: int
    exposure: float
    allowed: float
    p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class Drift:
    """A profile against measured runs.

    Attributes:
        profile: its name.
        runs: names of the runs.
        steps: each timing step.
        faults: each kind of failure.
        hung: tasks that stopped getting on, by name.
        endless: transcodes that ran on and on, by name.
        copies: slow first boots on a node, taken to have copied the image.
        copy_ratio: the median of these over the profile's warm boot; NaN if there is none.
        waited: boots taken to have waited for room.
    """

    profile: str
    runs: tuple[str, ...]
    steps: tuple[StepDrift, ...]
    faults: tuple[FaultDrift, ...]
    hung: tuple[HungTask, ...] = ()
    endless: tuple[OverdueTranscode, ...] = ()
    copies: int = 0
    copy_ratio: float = nan
    waited: int = 0

    @property
    def verdict(self) -> Verdict:
        """Drifted if anything is; without a judged transcode time there is too little data.

        So there is where all boots may have copied the image: whether they would take longer
        than expected on nodes that hold it, nobody knows.
        """
        verdicts = [step.verdict for step in self.steps] + [f.verdict for f in self.faults]
        if Verdict.DRIFTED in verdicts:
            return Verdict.DRIFTED
        judged = {step.step: step.verdict for step in self.steps}
        return Verdict.TOO_LITTLE_DATA if self.boots_unclear else judged["transcode"]

    @property
    def boots_unclear(self) -> bool:
        """Whether too few boots are judged because the others may have copied the image."""
        boot = next(step for step in self.steps if step.step == "boot")
        return boot.n < MIN_OBSERVATIONS <= boot.n + self.copies

    @property
    def overdue(self) -> bool:
        """Whether workers hang, which no profile describes."""
        return any(f.fault in (OVERDUE, HUNG) and f.verdict is Verdict.DRIFTED for f in self.faults)

    @property
    def changed(self) -> dict[str, float]:
        """Measured over expected time of the steps whose centre has drifted."""
        return {
            step.step: step.ratio
            for step in self.steps
            if step.verdict is Verdict.DRIFTED and not step.scattered
        }

    def matters(self, found: Mapping[str, Consequence]) -> bool:
        """Whether anything that has drifted matters; what has no consequence told does.

        Args:
            found: of the steps in `changed`, see `training.validation.consequence`.
        """
        steps = [step.step for step in self.steps if step.verdict is Verdict.DRIFTED]
        if any(step not in found or found[step].matters for step in steps):
            return True
        return any(fault.verdict is Verdict.DRIFTED for fault in self.faults)

    @property
    def recalibrate(self) -> list[str]:
        """Tables of the profile to calibrate again."""
        tables = [f"timing.{s.step}" for s in self.steps if s.verdict is Verdict.DRIFTED]
        failing = any(
            fault.verdict is Verdict.DRIFTED and fault.fault in _FAULTS for fault in self.faults
        )
        return [*tables, "faults"] if failing else tables


def find_drift(
    observations: Observations,
    profile: Profile,
    *,
    name: str | None = None,
    tolerance: float = TOLERANCE,
) -> Drift:
    """Judge a profile by measured runs.

    Args:
        observations: the runs.
        profile: what is expected.
        name: what to call the profile, by default its name.
        tolerance: a ratio off by less is no drift.
    """
    ratios = log_ratios(observations, profile)
    one_run = _concentration(observations)
    boots = _boots(observations, profile)
    hung = hung_tasks(observations)
    endless, begun = overdue_transcodes(
        observations,
        profile,
        cores=_cores(profile),
        spread=sqrt(profile.timing.transcode.sigma**2 + between_runs(profile, "transcode")),
    )
    sigmas = {step: float(getattr(profile.timing, step).sigma) for step in _STEPS}
    return Drift(
        profile=name or profile.name,
        runs=tuple(observations.runs),
        steps=tuple(
            _step(
                step,
                ratios[step],
                sigmas[step],
                between_runs(profile, step) * one_run,
                tolerance,
            )
            for step in _STEPS
        ),
        faults=(
            *_faults(observations, profile),
            _fault(OVERDUE, len(endless), begun, LEAST_FAULT_RATE),
            _fault(HUNG, len(hung), _n_given(observations), LEAST_FAULT_RATE),
        ),
        hung=tuple(hung),
        endless=tuple(endless),
        copies=len(boots.cold_s),
        copy_ratio=(
            float(np.median(boots.cold_s)) / profile.timing.boot.median_s
            if len(boots.cold_s)
            else nan
        ),
        waited=boots.n_stuck,
    )


def log_ratios(observations: Observations, profile: Profile) -> dict[str, Floats]:
    """Log of measured over expected time of each observation, by step."""
    timing = profile.timing
    cores = _cores(profile)
    transcodes = transcode_sample(observations, timing.transcode, timing.contention, least=0)
    expected = expected_s(
        transcodes, timing.transcode, timing.contention, cores, throttle_of(profile)
    )
    return {
        "boot": _boot_ratios(observations, profile, cores),
        "download": _transfer_ratios(download_sample(observations), timing.download),
        "transcode": np.log(transcodes.seconds / expected),
        "upload": _transfer_ratios(upload_sample(observations, timing.upload), timing.upload),
    }


def _boot_ratios(observations: Observations, profile: Profile, cores: float) -> Floats:
    law = profile.timing.boot
    sample = _boots(observations, profile)
    ordering = sample.order_delay_s if sample.n_order_delays else order_delay_s(profile)
    crowding = Crowding(law.crowd_knee_share * cores, limit=law.crowd_limit)
    slowdown, _ = crowding.log_slowdown(sample.load, law.crowd_slope)
    return np.asarray(np.log((sample.seconds + ordering) / law.median_s) - slowdown)


def _boots(observations: Observations, profile: Profile) -> BootSample:
    timing = profile.timing
    return boot_sample(
        observations,
        timing.transcode,
        timing.contention,
        typical_s=timing.boot.median_s,
        may_copy=timing.boot.first_on_node_s > 0.0 and not profile.image_cached,
    )


def _transfer_ratios(sample: TransferSample, law: TransferTiming) -> Floats:
    expected = law.base_s + law.per_megabyte_s * sample.megabytes
    known = expected > 0
    return np.log(sample.seconds[known] / expected[known])


def _concentration(observations: Observations) -> float:
    """1 where all transcodes are of one run, 1 / runs where they are evenly spread."""
    tasks = observations.tasks
    counts = tasks[tasks["t_upld_start"].notna()].groupby("run").size().to_numpy(dtype=float)
    return float(((counts / counts.sum()) ** 2).sum()) if len(counts) else 1.0


def _step(
    step: str, ratios: Floats, sigma: float, between_runs: float, tolerance: float
) -> StepDrift:
    n = len(ratios)
    if n < MIN_OBSERVATIONS:
        ratio = exp(float(np.median(ratios))) if n else nan
        return StepDrift(step, n, ratio, nan, nan, nan, sigma, nan, Verdict.TOO_LITTLE_DATA)
    spread = float(mad(ratios))
    centre = float(np.median(ratios))
    if spread > _NO_SPREAD:  # else more than half are alike, and there is nothing to weigh by
        centre = float(sm.RLM(ratios, np.ones(n), M=sm.robust.norms.HuberT()).fit().params[0])
    error = sqrt(max(sigma, spread) ** 2 / n + between_runs)
    half = float(norm.isf(_ALPHA / 2)) * error
    least = max(half, log(1 + tolerance))
    low, high = np.quantile(ratios, _MIDDLE)
    middle, expected = float(high - low) / _MIDDLE_WIDTH, sqrt(sigma**2 + between_runs)
    chance = float(norm.isf(_ALPHA)) * _SPREAD_ERROR / sqrt(n)
    scattered = middle > max(expected, _LEAST_SPREAD) * max(SPREAD_FACTOR, 1.0 + chance)
    return StepDrift(
        step=step,
        n=n,
        ratio=exp(centre),
        low=exp(centre - half),
        high=exp(centre + half),
        spread=middle,
        expected_spread=expected,
        shows_from=exp(least),
        verdict=Verdict.DRIFTED if scattered or abs(centre) > least else Verdict.DESCRIBES,
        scattered=scattered,
    )


def _faults(observations: Observations, profile: Profile) -> tuple[FaultDrift, ...]:
    counts = count_faults(observations)
    found: Any = profile.provenance.get("faults", {})
    upper = found if isinstance(found, dict) else {}
    drifts = []
    for fault in _FAULTS:
        rate = float(getattr(profile.faults, fault))
        allowed = max(rate, float(upper.get(f"{fault}_upper_95", 0.0)), LEAST_FAULT_RATE)
        drifts.append(_fault(fault, *counts[fault], allowed))
    return tuple(drifts)


def _n_given(observations: Observations) -> int:
    """Tasks that were given to a worker."""
    return int(observations.tasks["t_assigned"].notna().sum())


def _fault(fault: str, events: int, exposure: float, allowed: float) -> FaultDrift:
    if exposure <= 0:
        return FaultDrift(fault, events, exposure, allowed, 1.0, Verdict.TOO_LITTLE_DATA)
    if fault == "worker_loss_per_hour":
        p_value = float(poisson.sf(events - 1, allowed * exposure))
    else:
        test = binomtest(events, int(exposure), min(allowed, 1.0), alternative="greater")
        p_value = float(test.pvalue)
    verdict = Verdict.DRIFTED if p_value < _ALPHA else Verdict.DESCRIBES
    return FaultDrift(fault, events, exposure, allowed, p_value, verdict)


def _cores(profile: Profile) -> float:
    return float(np.median([node.cores for node in profile.cluster.nodes]))
