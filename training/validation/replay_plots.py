"""Pictures of a replay: distributions, each request, and workers over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.validation.comparison import RANGE, Comparison
from training.validation.errors import ValidationError
from training.validation.run_trace import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
MEASURED: Final = "#D55E00"
SIMULATED: Final = "#0072B2"
"""From Okabe and Ito's palette, which colour-blind people can tell apart."""


def write_replay_plot(comparison: Comparison, path: Path) -> None:
    """Draw one run: the distribution of each part, each request's delay, the workers.

    Raises:
        ValidationError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 4)
    for axes, name in zip(grid.flat, PARTS, strict=False):
        _distribution(axes, comparison, name)
    _requests(grid[1][2], comparison)
    _workers(grid[1][3], comparison)
    handles, labels = grid[1][3].get_legend_handles_labels()
    grid[0][0].legend(handles, labels, fontsize=8, loc="lower right")
    run = comparison.replay.run
    stop = "" if run.complete else f", to its stop at {run.until:.0f} s"
    figure.suptitle(f"{run.name}{stop}: replayed with {comparison.replay.policy}", fontsize=11)
    try:
        figure.savefig(path, dpi=100)
    except OSError as error:
        raise ValidationError(f"cannot write {path}: {error.strerror}") from error


def _distribution(axes: Axes, comparison: Comparison, name: str) -> None:
    replay = comparison.replay
    until = replay.run.until
    measured = _known(replay.run.trace.part(name, until))
    samples = [_known(trace.part(name, until)) for trace in replay.simulated]
    samples = [sample for sample in samples if len(sample)]
    axes.set(title=name, xlabel="seconds", ylim=(0, 1.02))
    axes.title.set_fontsize(10)
    shown = [*samples, measured] if len(measured) else samples
    if not shown:
        axes.text(0.5, 0.5, "none ended", ha="center", transform=axes.transAxes)
        return
    every = np.concatenate(shown)
    if every.min() > 0 and every.max() > 20 * max(float(np.median(every)), 1e-9):
        axes.set_xscale("log")
        x = np.geomspace(every.min(), every.max(), 300)
    else:
        x = np.linspace(every.min(), every.max(), 300)
    if samples:
        steps = np.array([np.searchsorted(np.sort(s), x, side="right") / len(s) for s in samples])
        low, high = np.quantile(steps, RANGE, axis=0)
        axes.fill_between(x, low, high, color=SIMULATED, alpha=0.25, linewidth=0)
        axes.plot(x, steps.mean(axis=0), color=SIMULATED)
    if len(measured):
        share = np.arange(1, len(measured) + 1) / len(measured)
        axes.step(np.sort(measured), share, where="post", color=MEASURED)


def _requests(axes: Axes, comparison: Comparison) -> None:
    replay = comparison.replay
    until = replay.run.until
    measured = replay.run.trace.part("delay", until)
    simulated = np.array([trace.part("delay", until) for trace in replay.simulated])
    known = np.isfinite(measured) & np.isfinite(simulated).all(axis=0)
    axes.set(title="delay of each request", xlabel="simulated (s)", ylabel="measured (s)")
    axes.title.set_fontsize(10)
    if not known.any():
        return
    low, high = np.quantile(simulated[:, known], RANGE, axis=0)
    middle = simulated[:, known].mean(axis=0)
    axes.hlines(measured[known], low, high, color=SIMULATED, alpha=0.35, linewidth=1)
    axes.scatter(middle, measured[known], color=MEASURED, s=12, zorder=3)
    top = 1.05 * float(max(high.max(), measured[known].max()))
    axes.plot([0, top], [0, top], color="0.6", linewidth=1)


def _workers(axes: Axes, comparison: Comparison) -> None:
    workers = comparison.workers
    axes.fill_between(
        workers.times,
        workers.low,
        workers.high,
        step="post",
        color=SIMULATED,
        alpha=0.25,
        linewidth=0,
        label="95 % of simulations",
    )
    axes.step(workers.times, workers.simulated, where="post", color=SIMULATED, label="simulated")
    axes.step(workers.times, workers.measured, where="post", color=MEASURED, label="measured")
    axes.set(title="workers", xlabel="seconds since the first request", ylim=(0, None))
    axes.title.set_fontsize(10)
    axes.set_xlim(0, comparison.replay.run.end)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]
