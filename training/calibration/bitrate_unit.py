"""In which unit workers read the bitrate that a client asks for, and what if the data deny it.

The workers of the existing system hand the number to the encoder as bits per second, so they
write the encoder's minimum whatever is asked; ours read kbit/s, as the contract says. The number
in a log is the same. So each run has a unit: the one that the option names; else the one that the
run records (the start line of our event logs, or a column ``bitrate_unit`` of a table); else bit/s,
the existing system's. Observations hold kbit/s whatever the unit, so that the laws see what the
encoder saw.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from env.config import TranscodeTiming
from training.calibration.errors import CalibrationError
from training.calibration.observations import Observations, figures
from training.calibration.regression import Coefficient, Term, regress
from training.calibration.transcode_law import TranscodeSample, log_above_floor

Floats = NDArray[np.float64]

BitrateUnit = Literal["auto", "bit", "kbit"]
BIT: Final = "bit"
KBIT: Final = "kbit"
_PER_KBIT: Final = 1000.0

MIN_EXPONENT: Final = 0.1
"""An encoder whose time grows less than this with the bitrate is taken not to see it."""
MIN_TRANSCODES: Final = 20
_ERRORS: Final = 4.0
_SPREAD: Final = 0.3
_WRITTEN_SHARE: Final = 0.3


def to_kbps(observations: Observations, unit: BitrateUnit) -> Observations:
    """Observations whose bitrates are kbit/s, from such that hold the numbers as asked.

    Args:
        observations: as read; the column ``bitrate_unit`` is empty where it is not recorded.
        unit: of all runs, or ``auto``: as recorded, else bit/s.

    Raises:
        CalibrationError: a run records a unit that is none.
    """
    tasks = observations.tasks
    recorded = tasks["bitrate_unit"].str.strip().str.lower()
    wrong = sorted(set(recorded) - {"", BIT, KBIT})
    if wrong:
        run = tasks.loc[recorded == wrong[0], "run"].iloc[0]
        raise CalibrationError(
            f"run {run}: bitrate_unit {wrong[0][:40]!r} is neither {BIT!r} nor {KBIT!r}"
        )
    units = recorded.replace("", BIT) if unit == "auto" else pd.Series(unit, index=tasks.index)
    in_kbps = figures(tasks, "bitrate") / np.where(units == BIT, _PER_KBIT, 1.0)
    # What bit/s workers are asked for does not matter; so it does not either if nobody knows.
    in_kbps = np.where((units == BIT) & np.isnan(in_kbps), 1.0, in_kbps)
    return replace(observations, tasks=tasks.assign(bitrate=in_kbps, bitrate_unit=units))


def trend(residuals: Floats, column: Floats, *beside: Floats) -> Coefficient:
    """How residuals change with a column.

    Args:
        residuals: shape (n,).
        column: likewise.
        beside: columns whose effect is none of the trend's; a fit may have taken up part of it.
    """
    terms = [Term("level", np.ones(len(residuals)), 0.0), Term("trend", column, 0.0)]
    terms += [Term(f"beside {i}", one, 0.0) for i, one in enumerate(beside)]
    return regress(residuals, terms, robust=True).coefficients["trend"]


def check_units(
    sample: TranscodeSample, residuals: Floats, law: TranscodeTiming, believed_exponent: float
) -> None:
    """See to it that the transcodes do not deny the unit in which their bitrates are read.

    Args:
        sample: transcodes.
        residuals: log of measured over expected time, shape (n,).
        law: that expected it.
        believed_exponent: of the bitrate, before these transcodes were seen; below
            `MIN_EXPONENT` a time that does not grow with the bitrate denies nothing.

    Raises:
        CalibrationError: they do.
    """
    for unit, other in ((BIT, KBIT), (KBIT, BIT)):
        chosen = np.array([one == unit for one in sample.unit])
        if chosen.sum() < MIN_TRANSCODES:
            continue
        part = sample.subset(chosen)
        runs = ", ".join(sorted(set(part.run)))
        _check_written(part, unit, f"{runs}: pass --bitrate-unit {other}")
        # How far above the floor the asked bitrates are, if their unit is the kbit.
        factor = log(_PER_KBIT) if unit == BIT else 0.0
        column = log_above_floor(replace(part, kbps=part.kbps + factor), law)
        if column.std() < _SPREAD:
            continue
        found = trend(residuals[chosen], column, part.pixels, part.fast)
        if found.origin != "fitted":
            continue
        slope = found.value + (law.bitrate_exponent if unit == KBIT else 0.0)
        reach = _ERRORS * found.standard_error
        if unit == BIT and slope > max(MIN_EXPONENT, reach):
            raise CalibrationError(
                f"{runs}: time grows as the asked bitrate to the power {slope:.2f} (standard "
                f"error {found.standard_error:.2f}), which it cannot where workers read the number "
                f"as bit/s and write the encoder's minimum: pass --bitrate-unit {KBIT}"
            )
        if unit == KBIT and slope + reach < MIN_EXPONENT <= believed_exponent:
            raise CalibrationError(
                f"{runs}: time does not grow with the asked bitrate (power {slope:.2f}, standard "
                f"error {found.standard_error:.2f}), as if workers read the number as bit/s and "
                f"wrote the encoder's minimum: pass --bitrate-unit {BIT}; or, if this encoder "
                "takes as long at any bitrate, a profile with bitrate_exponent = 0"
            )


def _check_written(part: TranscodeSample, unit: str, advice: str) -> None:
    """The results' sizes, where they are recorded, tell the unit at once."""
    known = np.isfinite(part.written_kbps)
    if known.sum() < MIN_TRANSCODES:
        return
    asked = np.exp(part.kbps[known]) * (_PER_KBIT if unit == BIT else 1.0)
    share = float(np.median(part.written_kbps[known] / asked))
    if (share < _WRITTEN_SHARE) == (unit == KBIT):
        raise CalibrationError(
            f"results hold {share:.3f} times the asked number of kbit/s, so workers "
            f"{'did' if unit == BIT else 'did not'} read it as kbit/s in {advice}"
        )
