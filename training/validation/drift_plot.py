"""A picture of drift: the ratio of each observation, and the centre of each step."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.validation.drift import Drift, StepDrift, Verdict
from training.validation.errors import ValidationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
_COLORS: Final = {
    Verdict.DESCRIBES: "#0072B2",
    Verdict.DRIFTED: "#D55E00",
    Verdict.TOO_LITTLE_DATA: "0.5",
}


def write_drift_plot(drift: Drift, ratios: Mapping[str, Floats], path: Path) -> None:
    """Draw measured over expected time of each observation in the order of the log.

    Args:
        drift: the verdicts.
        ratios: logarithms, by step.
        path: of the picture.

    Raises:
        ValidationError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, step in zip(figure.subplots(2, 2).flat, drift.steps, strict=True):
        _step(axes, step, np.exp(ratios[step.step]))
    figure.suptitle(f"{drift.profile}: {drift.verdict.value}", fontsize=11)
    try:
        figure.savefig(path, dpi=100)
    except OSError as error:
        raise ValidationError(f"cannot write {path}: {error.strerror}") from error


def _step(axes: Axes, step: StepDrift, ratios: Floats) -> None:
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    color = _COLORS[step.verdict]
    axes.axhline(1.0, color="0.6", linewidth=1)
    axes.scatter(np.arange(1, len(ratios) + 1), ratios, s=12, color=color, alpha=0.7)
    if isfinite(step.low):
        axes.axhspan(step.low, step.high, color=color, alpha=0.2, linewidth=0)
        axes.axhline(step.ratio, color=color)
    axes.set(xlabel="observation", ylabel="measured / expected", yscale="log")
    axes.set_title(f"{step.step}: {step.verdict.value} (n = {step.n})", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(FormatStrFormatter("%g"))
