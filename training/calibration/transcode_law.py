"""The fit of transcoding time: video, speed, vCPUs and the crowd on the node.

``log t = intercept + duration_exponent * log duration + pixels_exponent * log pixels
+ pixels_curvature * (log pixels)**2 + log(fast_factor) * fast
+ source_mbps_exponent * log(source Mbit/s) + bitrate_exponent * max(0, log(asked bitrate / floor))
- (parallel_exponent + parallel_slope * log pixels) * log vcpus + slow-down(load)``,
pixels in units of 1920x1080; the floor is that of the law that is given. The slow-down
follows the node's measured load piece by piece (see `training.calibration.crowding`).
Tukey's biweight keeps stray jobs (a host hiccup during a short job) from bending the law;
`sigma` is the spread of all jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from env.config import ContentionTiming, TranscodeTiming
from env.timing import FULL_HD_MEGAPIXELS, floor_kbps
from training.calibration.crowding import Crowding, knees
from training.calibration.errors import CalibrationError
from training.calibration.knee import Knee, choose_knee
from training.calibration.node_load import Pieces, loads, node_histories, parallel_alpha
from training.calibration.observations import (
    Observations,
    figures,
    relative_pixels,
    source_mbps,
    texts,
)
from training.calibration.regression import (
    Regression,
    SlopeTerm,
    Term,
    regress_with_slope,
)

Floats = NDArray[np.float64]
MIN_TRANSCODES: Final = 12
MIN_CROWDED: Final = 5
TYPICAL_KBPS: Final = 3500.0
"""Stands in for an asked bitrate that is not recorded, kbit/s."""
ONE_VCPU_KEYS: Final = (
    "intercept",
    "duration_exponent",
    "pixels_exponent",
    "fast_factor",
    "source_mbps_exponent",
    "pixels_curvature",
)
"""The keys that describe one vCPU; the others describe several, the bitrate and the crowd."""
SHAPE_KEYS: Final = (
    *(key for key in ONE_VCPU_KEYS if key != "intercept"),
    *("parallel_exponent", "parallel_slope"),
)
"""The keys that a fit of the level alone holds."""
EXISTING_UNIT: Final = "bit"
"""In which the workers of the existing system read the asked bitrate."""
LEVEL_ALONE: Final = "slope_per_core"
"""Among the fixed keys: the crowd is held as well, and what a quota costs is fitted."""
FLOOR_KEYS: Final = ("floor_kbps", "floor_pixels_exponent", "floor_fast_factor")
BITRATE_KEYS: Final = ("bitrate_exponent", *FLOOR_KEYS)


@dataclass(frozen=True)
class TranscodeSample:
    """Finished transcodes with what the law needs of each.

    Attributes:
        run: name of the run, shape (n,).
        seconds: measured transcoding time.
        duration: log of the video's length in seconds.
        pixels: log of the frame size in units of 1920x1080.
        fast: 1 for the speed ``fast``, 0 for ``ultrafast``.
        source: log of the source's bitrate in Mbit/s.
        kbps: log of the asked bitrate in kbit/s.
        unit: in which its worker read the asked bitrate, ``bit`` or ``kbit``.
        written_kbps: bitrate of the result, kbit/s; NaN where its size is not recorded.
        vcpus: log of the worker's vCPUs.
        load: load of the node while the job ran.
        busy: its time average.
    """

    run: NDArray[np.object_]
    seconds: Floats
    duration: Floats
    pixels: Floats
    fast: Floats
    source: Floats
    kbps: Floats
    unit: NDArray[np.object_]
    written_kbps: Floats
    vcpus: Floats
    load: Sequence[Pieces]

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def busy(self) -> Floats:
        """Mean load of the node during each transcode, vCPUs."""
        return np.array([piece.mean_load for piece in self.load])

    def subset(self, chosen: NDArray[np.bool_]) -> TranscodeSample:
        """The transcodes where `chosen`, shape (n,), is true."""
        return TranscodeSample(
            run=self.run[chosen],
            seconds=self.seconds[chosen],
            duration=self.duration[chosen],
            pixels=self.pixels[chosen],
            fast=self.fast[chosen],
            source=self.source[chosen],
            kbps=self.kbps[chosen],
            unit=self.unit[chosen],
            written_kbps=self.written_kbps[chosen],
            vcpus=self.vcpus[chosen],
            load=[piece for piece, keep in zip(self.load, chosen, strict=True) if keep],
        )


@dataclass(frozen=True)
class TranscodeFit:
    """The fitted law.

    Attributes:
        law: the figures of the profile's table ``timing.transcode``.
        contention: those of ``timing.contention``.
        cores: of a node, by which the knee's share is taken.
        regression: coefficients in the logarithmic form above, with their errors.
        knee: how the knee was chosen.
        throttle: how many times longer a transcode took while a quota throttled it (see
            `Crowding.log_throttled`); 1 where that was not sought.
    """

    law: TranscodeTiming
    contention: ContentionTiming
    cores: float
    regression: Regression
    knee: Knee
    throttle: float = 1.0

    def predict(self, sample: TranscodeSample) -> Floats:
        """Fitted median time under the load that was measured, seconds, shape (n,)."""
        return expected_s(sample, self.law, self.contention, self.cores, self.throttle)


def expected_s(
    sample: TranscodeSample,
    law: TranscodeTiming,
    contention: ContentionTiming,
    cores: float,
    throttle: float = 1.0,
) -> Floats:
    """Median time that a law gives under the load that was measured, seconds, shape (n,).

    Args:
        sample: transcodes.
        law: time on an otherwise empty node.
        contention: how a load slows it.
        cores: of a node.
        throttle: by which factor a quota slows workers of the existing system, which start a
            thread for each core of the node; ours start as many as they may use.
    """
    log_alone = (
        law.intercept
        + law.duration_exponent * sample.duration
        + law.pixels_exponent * sample.pixels
        + law.pixels_curvature * sample.pixels**2
        + log(law.fast_factor) * sample.fast
        + law.source_mbps_exponent * sample.source
        + law.bitrate_exponent * log_above_floor(sample, law)
        - parallel_alpha(np.exp(sample.pixels), law) * sample.vcpus
    )
    crowding = Crowding(contention.knee_share * cores, cores)
    slowdown, _ = crowding.log_slowdown(sample.load, contention.slope_per_core)
    if throttle != 1.0:
        crowding = replace(crowding, slope=contention.slope_per_core)
        throttled, _ = crowding.log_throttled(sample.load, log(throttle))
        theirs = np.array([unit == EXISTING_UNIT for unit in sample.unit])
        slowdown = np.where(theirs, throttled, slowdown)
    return np.asarray(np.exp(log_alone + slowdown))


def log_above_floor(sample: TranscodeSample, law: TranscodeTiming) -> Floats:
    """Log of each asked bitrate over the law's floor, 0 below it, shape (n,)."""
    floor = floor_kbps(law, np.exp(sample.pixels) * FULL_HD_MEGAPIXELS, sample.fast)
    return np.asarray(np.maximum(0.0, sample.kbps - np.log(floor)))


def transcode_sample(
    observations: Observations,
    law: TranscodeTiming,
    contention: ContentionTiming,
    *,
    least: int = MIN_TRANSCODES,
) -> TranscodeSample:
    """The finished transcodes on workers of one vCPU or more.

    Args:
        observations: measured runs.
        law: gives the load of transcodes on several vCPUs, and the bitrate that stands
            in for that of sources whose size is unknown.
        contention: gives the load of a boot.
        least: how many there must be.

    Raises:
        CalibrationError: there are fewer.
    """
    tasks = observations.tasks
    seconds = tasks["t_upld_start"] - tasks["t_tc_start"]
    tasks = tasks[(seconds > 0) & has_facts(tasks)]
    if len(tasks) < least:
        raise CalibrationError(
            f"{len(tasks)} finished transcodes on workers of one vCPU or more; at least "
            f"{least} are needed: measure longer, or pass more runs"
        )
    return describe_transcodes(observations, tasks, law, contention)


def has_facts(tasks: pd.DataFrame) -> pd.Series:
    """Which tasks the law can describe: the video is known, the worker has a vCPU or more."""
    known = tasks[["duration_s", "width", "height", "vcpus"]].notna().all(axis=1)
    return known & (tasks["vcpus"] >= 1)


def describe_transcodes(
    observations: Observations,
    tasks: pd.DataFrame,
    law: TranscodeTiming,
    contention: ContentionTiming,
) -> TranscodeSample:
    """What the law needs of some transcodes.

    Args:
        observations: the runs that they are part of; give the load of the nodes.
        tasks: rows of ``observations.tasks`` with all their facts, and with both ends of
            the transcode.
        law: as for `transcode_sample`.
        contention: likewise.
    """
    histories = node_histories(observations, law, contention.boot_load)
    source, asked = source_mbps(tasks), figures(tasks, "bitrate")
    return TranscodeSample(
        run=np.array(texts(tasks, "run"), dtype=object),
        seconds=figures(tasks, "t_upld_start") - figures(tasks, "t_tc_start"),
        duration=np.log(figures(tasks, "duration_s")),
        pixels=np.log(relative_pixels(tasks)),
        fast=np.array([speed == "fast" for speed in texts(tasks, "speed")], dtype=np.float64),
        source=np.log(np.where(np.isnan(source), law.typical_source_mbps, source)),
        kbps=np.log(np.where(asked > 0, asked, TYPICAL_KBPS)),
        unit=np.array(texts(tasks, "bitrate_unit"), dtype=object),
        written_kbps=figures(tasks, "output_bytes") * 8e-3 / figures(tasks, "duration_s"),
        vcpus=np.log(figures(tasks, "vcpus")),
        load=loads(histories, tasks, "t_tc_start", "t_upld_start"),
    )


def fit_transcode(
    sample: TranscodeSample,
    law: TranscodeTiming,
    contention: ContentionTiming,
    cores: float,
    *,
    fixed: Collection[str] = (),
) -> TranscodeFit:
    """Fit the law to a sample.

    Args:
        sample: finished transcodes.
        law: priors, kept where the sample cannot show a figure.
        contention: likewise.
        cores: physical cores of a node.
        fixed: keys of `law` to keep whatever the sample says.
    """
    y = np.log(sample.seconds)
    terms = _terms(sample, law, fixed)
    if LEVEL_ALONE in fixed:
        return _fit_level(sample, law, contention, cores, terms)

    def fit(knee: float, *, robust: bool = False, free: bool = True) -> Regression:
        crowding = Crowding(knee, cores)
        slope = SlopeTerm(
            "slope_per_core",
            lambda at: crowding.log_slowdown(sample.load, at),
            prior=contention.slope_per_core if free else 0.0,
            fixed=not free,
        )
        return regress_with_slope(y, terms, slope, robust=robust)

    prior = contention.knee_share * cores
    knee = choose_knee(
        fit,
        "slope_per_core",
        knees(sample.load, MIN_CROWDED, cores),
        prior=prior,
        aic_without=fit(prior, free=False).aic,
    )
    best = fit(knee.load, robust=True)
    return TranscodeFit(
        law=_law(best, law, sample),
        contention=replace(
            contention, knee_share=knee.load / cores, slope_per_core=best["slope_per_core"]
        ),
        cores=cores,
        regression=best,
        knee=knee,
    )


def _fit_level(
    sample: TranscodeSample,
    law: TranscodeTiming,
    contention: ContentionTiming,
    cores: float,
    terms: list[Term],
) -> TranscodeFit:
    """The level and what a quota costs; the crowd is held."""
    knee = contention.knee_share * cores
    crowding = Crowding(knee, cores, slope=contention.slope_per_core)
    throttle = SlopeTerm(
        "log_throttle", lambda at: crowding.log_throttled(sample.load, at), prior=0.0
    )
    best = regress_with_slope(np.log(sample.seconds), terms, throttle, robust=True)
    return TranscodeFit(
        law=_law(best, law, sample),
        contention=contention,
        cores=cores,
        regression=best,
        knee=Knee(knee, False, []),
        throttle=exp(best["log_throttle"]),
    )


def _terms(sample: TranscodeSample, law: TranscodeTiming, fixed: Collection[str]) -> list[Term]:
    columns = {
        "intercept": (np.ones(len(sample)), law.intercept, -np.inf, np.inf),
        "duration_exponent": (sample.duration, law.duration_exponent, 0.0, np.inf),
        "pixels_exponent": (sample.pixels, law.pixels_exponent, 0.0, np.inf),
        "fast_factor": (sample.fast, log(law.fast_factor), -np.inf, np.inf),
        "source_mbps_exponent": (sample.source, law.source_mbps_exponent, 0.0, np.inf),
        "pixels_curvature": (sample.pixels**2, law.pixels_curvature, -np.inf, np.inf),
        "parallel_exponent": (-sample.vcpus, law.parallel_exponent, 0.0, 1.0),
        "parallel_slope": (-sample.vcpus * sample.pixels, law.parallel_slope, -np.inf, np.inf),
        # Last: with the law of one vCPU held, the exponent of the vCPUs takes the constant.
        "bitrate_exponent": (log_above_floor(sample, law), law.bitrate_exponent, 0.0, 1.0),
    }
    return [
        Term(name, column, prior, low, high, fixed=name in fixed)
        for name, (column, prior, low, high) in columns.items()
    ]


def _law(fit: Regression, prior: TranscodeTiming, sample: TranscodeSample) -> TranscodeTiming:
    known = fit.coefficients["source_mbps_exponent"].origin == "fitted"
    return replace(
        prior,
        intercept=fit["intercept"],
        duration_exponent=fit["duration_exponent"],
        pixels_exponent=fit["pixels_exponent"],
        fast_factor=exp(fit["fast_factor"]),
        source_mbps_exponent=fit["source_mbps_exponent"],
        pixels_curvature=fit["pixels_curvature"],
        typical_source_mbps=float(np.exp(sample.source.mean()))
        if known
        else prior.typical_source_mbps,
        sigma=fit.sigma,
        parallel_exponent=fit["parallel_exponent"],
        parallel_slope=fit["parallel_slope"],
        bitrate_exponent=fit["bitrate_exponent"],
    )


def errors_percent(predicted: Floats, measured: Floats) -> Floats:
    """Absolute percentage error of each prediction."""
    return np.asarray(100 * np.abs(predicted - measured) / measured)
