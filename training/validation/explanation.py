"""Why a replay missed: which part of the delay, on what, and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.validation.run_trace import JOB_PARTS

if TYPE_CHECKING:
    from training.validation.comparison import Comparison

Floats = NDArray[np.float64]

_PARTS: Final = tuple(part for part in JOB_PARTS if part != "delay")
_FEWEST: Final = 3
_OFF: Final = 0.05
"""A group of transcodes is named if it is off by more than this share."""


def explanation(comparison: Comparison) -> str:
    """One sentence for a run that missed its limits; empty for any other."""
    if comparison.passed is not False:
        return ""
    delay = comparison.parts["delay"].mean
    gaps = {
        part: figures.mean.measured - figures.mean.simulated
        for part in _PARTS
        if (figures := comparison.parts[part]).n
    }
    worst = max(gaps, key=lambda part: abs(gaps[part]))
    whole = delay.measured - delay.simulated
    text = (
        f"the mean delay is off by {whole:+.1f} s, the {worst} by {gaps[worst]:+.1f} s of it "
        f"({comparison.parts[worst].mean.ratio:.2f} times the simulated)"
    )
    if worst == "wait":
        made = comparison.created
        text += (
            f"; {made.measured:.0f} workers were created, {made.simulated:.1f} simulated, and "
            f"transcodes took {comparison.parts['transcode'].mean.ratio:.2f} times the simulated"
        )
    return text + _by_size(comparison)


def _by_size(comparison: Comparison) -> str:
    """Transcodes by frame height: which are off."""
    replay = comparison.replay
    run = replay.run
    measured = run.trace.part("transcode")
    simulated = np.nanmean(np.array([one.part("transcode") for one in replay.simulated]), axis=0)
    heights = np.array([run.catalog[request.movie].height for request in run.requests])
    off = []
    for height in sorted(set(heights.tolist())):
        these = (heights == height) & np.isfinite(measured) & np.isfinite(simulated)
        if these.sum() >= _FEWEST:
            ratio = float(np.exp(np.log(measured[these] / simulated[these]).mean()))
            if abs(ratio - 1.0) > _OFF:
                off.append(f"{height}p {ratio:.2f} (n = {int(these.sum())})")
    return f"; transcodes by height: {', '.join(off)}" if off else ""
