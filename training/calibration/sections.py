"""The tables of a profile from the fits: figures, standard errors, quality and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import exp, isfinite, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.config import BootTiming, ContentionTiming, StopTiming, UsageConfig
from training.calibration.bitrate_unit import BIT, trend
from training.calibration.boot_law import MIN_BOOTS, MIN_COPIES, BootFit, BootSample
from training.calibration.cross_validation import CrossValidation
from training.calibration.estimates import FROM_THE_BENCH, Estimate, SectionFit
from training.calibration.regression import Coefficient
from training.calibration.transcode_law import (
    FLOOR_KEYS,
    LEVEL_ALONE,
    ONE_VCPU_KEYS,
    TranscodeFit,
    TranscodeSample,
    errors_percent,
)

Floats = NDArray[np.float64]
_SHORT_S: Final = 10.0
_LONG_S: Final = 60.0


def estimate_of(
    coefficient: Coefficient, n: int, note: str, value: float | None = None
) -> Estimate:
    """The estimate of a key from its coefficient.

    Args:
        coefficient: of the regression.
        n: observations.
        note: why it is not fitted, should it not be.
        value: of the key, if that is the coefficient's exponential.
    """
    error = coefficient.standard_error
    if value is not None:
        error *= abs(value)  # the delta method for value = exp(coefficient)
    return Estimate(
        value=coefficient.value if value is None else value,
        standard_error=float(error) if isfinite(error) else None,
        n=n,
        origin=coefficient.origin,
        note="" if coefficient.origin == "fitted" else note,
    )


def transcode_section(
    fit: TranscodeFit,
    sample: TranscodeSample,
    validation: CrossValidation,
    fixed: tuple[str, ...],
) -> SectionFit:
    """The table ``timing.transcode``.

    Args:
        fit: the law.
        sample: the transcodes that it was fitted to.
        validation: predictions of runs left out.
        fixed: keys that were not fitted on purpose.
    """
    n = len(sample)
    section = SectionFit("timing.transcode")
    one_size = len(set(sample.vcpus)) == 1
    vcpus = exp(sample.vcpus[0])
    notes = dict.fromkeys(ONE_VCPU_KEYS, "it does not vary enough in these runs")
    notes |= dict.fromkeys(
        fixed,
        "held at the law that was given"
        if LEVEL_ALONE in fixed
        else "held at the law of one vCPU that was given",
    )
    notes |= dict.fromkeys(
        ("parallel_exponent", "parallel_slope"),
        f"every transcode ran on {vcpus:g} vCPU; the encoder bench shows it"
        if one_size
        else "too few sizes of worker",
    )
    notes["bitrate_exponent"] = (
        "workers read the asked bitrate as bit/s, so all wrote the encoder's minimum; "
        + FROM_THE_BENCH
        if set(sample.unit) == {BIT}
        else "asked bitrates do not vary enough above the floor"
    )
    for key, coefficient in fit.regression.coefficients.items():
        if key in notes:
            value = fit.law.fast_factor if key == "fast_factor" else None
            section.estimates[key] = estimate_of(coefficient, n, notes[key], value)
    source = fit.regression.coefficients["source_mbps_exponent"].origin
    section.estimates["typical_source_mbps"] = Estimate(
        fit.law.typical_source_mbps,
        float(sample.source.std(ddof=1) / sqrt(n)) * fit.law.typical_source_mbps
        if source == "fitted"
        else None,
        n,
        "fitted" if source == "fitted" else "prior",
    )
    for key in FLOOR_KEYS:
        section.estimates[key] = Estimate(getattr(fit.law, key), None, 0, "prior", FROM_THE_BENCH)
    residuals = fit.regression.residuals
    section.estimates["sigma"] = Estimate(fit.law.sigma, fit.law.sigma / sqrt(2 * n), n)
    logs = np.log(sample.seconds)
    predicted = fit.predict(sample)
    section.quality |= {
        "n": n,
        "runs": len(set(sample.run)),
        "bitrates_read_as": " and ".join(f"{unit}/s" for unit in sorted(set(sample.unit))),
        "r_squared_log": 1 - float((residuals**2).sum() / ((logs - logs.mean()) ** 2).sum()),
        "mape_of_the_fit": float(errors_percent(predicted, sample.seconds).mean()),
        "sigma_of_the_core": float(1.4826 * np.median(np.abs(residuals - np.median(residuals)))),
        "share_of_spread_between_runs": _between(sample.run, residuals),
        "predicted_over_measured_total": float(
            predicted.sum() * exp(fit.law.sigma**2 / 2) / sample.seconds.sum()
        ),
    }
    section.quality |= {
        f"cross_validation_{key}": value for key, value in validation.summary().items()
    }
    if LEVEL_ALONE in fixed:
        # Not a key of the law: our workers start no more threads than they may use.
        error = fit.regression.coefficients["log_throttle"].standard_error * fit.throttle
        section.quality |= {"throttle": fit.throttle}
        if isfinite(error):
            section.quality |= {"throttle_standard_error": float(error)}
    section.notes += _residual_notes(sample, residuals)
    return section


def _between(group: NDArray[np.object_], residuals: Floats) -> float:
    """Share of the variance of residuals that lies between the means of groups."""
    means = np.zeros_like(residuals)
    for name in set(group):
        chosen = np.asarray(group == name)
        means[chosen] = residuals[chosen].mean()
    total = float(residuals.var())
    return float(means.var()) / total if total > 0 else 0.0


def _residual_notes(sample: TranscodeSample, residuals: Floats) -> list[str]:
    notes = []
    at_floor = np.array([unit == BIT for unit in sample.unit])
    asked = trend(residuals[at_floor], sample.kbps[at_floor]) if at_floor.any() else None
    if asked is not None and asked.origin == "fitted":
        notes.append(
            "where workers read the asked bitrate as bit/s, time grows as "
            f"bitrate**{asked.value:.3f} (standard error {asked.standard_error:.3f}): "
            "it cannot tell what a bitrate costs"
        )
    parts = []
    for what, chosen in (
        (f"below {_SHORT_S:g} s", sample.seconds < _SHORT_S),
        (
            f"{_SHORT_S:g} to {_LONG_S:g} s",
            (sample.seconds >= _SHORT_S) & (sample.seconds < _LONG_S),
        ),
        (f"{_LONG_S:g} s and more", sample.seconds >= _LONG_S),
    ):
        if chosen.sum() > 2:
            spread = float(residuals[chosen].std(ddof=1))
            parts.append(f"{spread:.3f} {what} (n = {int(chosen.sum())})")
    if parts:
        notes.append("spread (sigma of the logarithm) of transcodes that take " + ", ".join(parts))
    return notes


def contention_section(
    fit: TranscodeFit, sample: TranscodeSample, without_boots: TranscodeFit, *, held: bool
) -> SectionFit:
    """The table ``timing.contention``.

    Args:
        fit: the law.
        sample: the transcodes that it was fitted to.
        without_boots: the law fitted with a load that does not count boots.
        held: whether it was not fitted on purpose.
    """
    if held:
        section = kept_section(
            "timing.contention", fit.contention, "held at the law that was given"
        )
        section.quality["highest_load_seen"] = float(max(p.load.max() for p in sample.load))
        return section
    section = SectionFit("timing.contention")
    n = len(sample)
    slope = fit.regression.coefficients["slope_per_core"]
    crowded = slope.origin != "prior"
    unseen = "no transcode shared a node with enough others to slow it"
    faint = "no slow-down on crowded nodes stands out in these runs"
    note = faint if crowded else unseen
    section.estimates = {
        "knee_share": Estimate(
            fit.contention.knee_share, None, n, "fitted" if fit.knee.seen else "prior", note
        ),
        "slope_per_core": estimate_of(slope, n, note),
        "boot_load": Estimate(
            fit.contention.boot_load, None, n, "prior", "an assumption; see its gain in AIC"
        ),
    }
    section.quality = {
        "highest_load_seen": float(max(piece.load.max() for piece in sample.load)),
        "knees_within_2_of_the_best_aic": fit.knee.as_good,
    }
    if fit.knee.seen:
        gain = without_boots.regression.aic - fit.regression.aic
        section.quality["aic_gain_of_counting_boots"] = gain
    elif crowded:
        busy = trend(fit.regression.residuals, sample.busy)
        section.notes.append(
            f"log time changes by {busy.value:.2f} (standard error {busy.standard_error:.2f}) "
            "for each busy vCPU on the node; not part of the law"
        )
    return section


def boot_section(boot: BootFit, sample: BootSample, prior: BootTiming) -> SectionFit:
    """The table ``timing.boot``.

    Args:
        boot: the law.
        sample: the boots that it was fitted to.
        prior: figures kept where the boots show none.
    """
    n = len(sample.seconds)
    if n < MIN_BOOTS:
        return kept_section("timing.boot", prior, f"{n} warm boots were seen, too few to fit")
    section = SectionFit("timing.boot")
    slope = boot.regression.coefficients["crowd_slope"]
    median = boot.regression.coefficients["log_median"]
    warm = exp(median.value)
    calm = "a slow-down by a crowded node does not show in these runs"
    section.estimates = {
        "median_s": Estimate(boot.law.median_s, float(median.standard_error) * warm, n),
        "sigma": Estimate(boot.law.sigma, boot.law.sigma / sqrt(2 * n), n),
        "first_on_node_s": _cold_estimate(sample, boot, prior),
        "crowd_knee_share": Estimate(
            boot.law.crowd_knee_share, None, n, "fitted" if boot.knee.seen else "prior", calm
        ),
        "crowd_slope": estimate_of(slope, n, calm),
        "crowd_limit": Estimate(
            boot.law.crowd_limit, None, 0, "prior", "an assumption beyond the loads seen"
        ),
        "spacing_s": Estimate(
            boot.law.spacing_s, None, 0, "prior", "logs tell when workers were created, not ordered"
        ),
        "first_on_node_sigma": _cold_spread(sample, boot),
    }
    section.quality = {
        "n": n,
        "warm_median_s": warm,
        "order_delay_s": sample.order_delay_s,
        "order_delays": sample.n_order_delays,
        "slowest_s": float(sample.seconds.max()),
        "highest_load_seen": float(max(piece.load.max() for piece in sample.load)),
    }
    if sample.n_stuck:
        section.notes.append(
            f"{sample.n_stuck} workers waited for room before they booted; they are left out"
        )
    return section


def _cold_estimate(sample: BootSample, boot: BootFit, prior: BootTiming) -> Estimate:
    n = len(sample.cold_s)
    if n == 0:
        why = "no boot was slow enough to have copied the image"
        return Estimate(prior.first_on_node_s, None, 0, "prior", why)
    error = float(sample.cold_s.std(ddof=1) / sqrt(n)) if n > 1 else None
    return Estimate(boot.law.first_on_node_s, error, n)


def _cold_spread(sample: BootSample, boot: BootFit) -> Estimate:
    n, sigma = len(sample.cold_s), boot.law.first_on_node_sigma
    if n < MIN_COPIES:
        return Estimate(sigma, None, n, "prior", f"first boots seen: {n}, too few for a spread")
    return Estimate(sigma, sigma / sqrt(2 * (n - 1)), n)


def kept_section(
    section: str, table: BootTiming | ContentionTiming | StopTiming | UsageConfig, why: str
) -> SectionFit:
    """A table that these measurements do not show."""
    values: Mapping[str, float] = {
        field.name: getattr(table, field.name) for field in fields(table)
    }
    return SectionFit(
        section,
        {key: Estimate(value, None, 0, "prior", why) for key, value in values.items()},
    )
