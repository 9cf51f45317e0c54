"""The fit of download and upload: ``median = base_s + per_megabyte_s * size``, lognormal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from env.config import TransferTiming, UploadTiming
from env.timing import FULL_HD_MEGAPIXELS, written_kbps
from training.calibration.estimates import FROM_THE_BENCH, Estimate, SectionFit
from training.calibration.observations import Observations, figures, relative_pixels, texts

Floats = NDArray[np.float64]
MIN_TRANSFERS = 8
_SMALLEST_S = 1e-4


@dataclass(frozen=True)
class TransferSample:
    """Finished transfers: megabytes (10^6 bytes) and seconds, each of shape (n,)."""

    megabytes: Floats
    seconds: Floats


def download_sample(observations: Observations) -> TransferSample:
    """Downloads of the source files of known size."""
    tasks = observations.tasks
    return _sample(tasks["size_bytes"] / 1e6, tasks["t_tc_start"] - tasks["t_dwnld_start"])


def upload_sample(observations: Observations, law: UploadTiming) -> TransferSample:
    """Uploads of the results.

    Where a result's size is not recorded, it is the duration times the asked bitrate, or
    times the least that the encoder can write; unknown where workers wrote that least and the
    law does not tell it.

    Args:
        observations: measured runs.
        law: tells the least that the encoder can write.
    """
    tasks = observations.tasks
    fast = np.array([speed == "fast" for speed in texts(tasks, "speed")], dtype=np.float64)
    megapixels = relative_pixels(tasks) * FULL_HD_MEGAPIXELS
    kbps = written_kbps(law, figures(tasks, "bitrate"), megapixels, fast)
    if law.least_kbps == 0.0:
        kbps = np.where(tasks["bitrate_unit"] == "bit", np.nan, kbps)
    size = tasks["output_bytes"].fillna(
        pd.Series(kbps * figures(tasks, "duration_s") * 125, index=tasks.index)
    )
    return _sample(size / 1e6, tasks["t_completed"] - tasks["t_upld_start"])


def fit_upload(sample: TransferSample, prior: UploadTiming) -> SectionFit:
    """Fit the upload's law; what the encoder writes at least is the prior's."""
    fit = fit_transfer("timing.upload", sample, prior)
    for key in ("least_kbps", "least_pixels_exponent", "least_fast_factor"):
        fit.estimates[key] = Estimate(getattr(prior, key), None, 0, "prior", FROM_THE_BENCH)
    return fit


def fit_transfer(section: str, sample: TransferSample, prior: TransferTiming) -> SectionFit:
    """Fit one transfer law by least squares on the logarithm of the time.

    Args:
        section: table of the profile, ``timing.download`` or ``timing.upload``.
        sample: finished transfers.
        prior: kept where there are fewer than `MIN_TRANSFERS`.
    """
    n = len(sample.seconds)
    fit = SectionFit(section, quality={"n": n})
    if n < MIN_TRANSFERS:
        note = f"{n} transfers of known size were seen"
        for key in ("base_s", "per_megabyte_s", "sigma"):
            fit.estimates[key] = Estimate(getattr(prior, key), None, n, "prior", note)
        return fit
    y = np.log(sample.seconds)

    def log_median(size: Floats, base: float, slope: float) -> Floats:
        return np.log(np.maximum(base + slope * size, _SMALLEST_S))

    start = (0.5 * float(np.median(sample.seconds)), 0.0)
    slope_start = start[0] / max(float(np.median(sample.megabytes)), 1e-9)
    values, covariance = curve_fit(
        log_median,
        sample.megabytes,
        y,
        p0=(start[0], slope_start),
        bounds=([0.0, 0.0], [np.inf, np.inf]),
    )
    errors = np.sqrt(np.diag(covariance))
    residuals = y - log_median(sample.megabytes, *values)
    sigma = float(residuals.std(ddof=2))
    for key, value, error in zip(("base_s", "per_megabyte_s"), values, errors, strict=True):
        at_bound = value < 1e-9
        fit.estimates[key] = Estimate(
            float(value) if not at_bound else 0.0,
            float(error) if np.isfinite(error) and not at_bound else None,
            n,
            "bound" if at_bound else "fitted",
        )
    fit.estimates["sigma"] = Estimate(sigma, sigma / float(np.sqrt(2 * (n - 2))), n)
    fit.quality["r_squared_log"] = 1 - float(residuals.var() / y.var()) if y.var() > 0 else 0.0
    fit.quality["median_s"] = float(np.median(sample.seconds))
    return fit


def _sample(megabytes: pd.Series, seconds: pd.Series) -> TransferSample:
    known = megabytes.notna() & (seconds > 0)
    return TransferSample(megabytes[known].to_numpy(), seconds[known].to_numpy())
