"""Pictures of what was measured beside the fitted law."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from deploy.bench_encoder.clips import BenchError
from deploy.bench_encoder.fit import QUIET_CORES, BenchFit
from deploy.bench_encoder.grid import SIZES
from deploy.bench_encoder.rows import Row
from env.config import TranscodeTiming
from env.timing import FULL_HD_MEGAPIXELS, bitrate_factor, floor_kbps

NAME: Final = "encoder.png"
_COLOURS: Final = ("#1f77b4", "#2ca02c", "#ff7f0e", "#d62728", "#9467bd", "#8c564b")


def write_plot(folder: Path, rows: Sequence[Row], fit: BenchFit, base: TranscodeTiming) -> Path:
    """Time over bitrate for each speed, and the gain of several threads; returns the file.

    Args:
        folder: to write to.
        rows: measured.
        fit: of them.
        base: that it was fitted beside.

    Raises:
        BenchError: it cannot be written.
    """
    law = fit.law(base)
    picture = Picture(figsize=(13, 4.2), layout="constrained")
    axes = picture.subplots(1, 3)
    for place, speed in zip(axes[:2], ("ultrafast", "fast"), strict=True):
        _bitrates(place, [row for row in rows if row.speed == speed and row.threads == 1], law)
        place.set_title(f"{speed}, one thread: processor time at the floor = 1", fontsize=10)
    _threads(axes[2], rows, law)
    path = folder / NAME
    try:
        with mpl.rc_context({"font.size": 9}):
            picture.savefig(path, dpi=110)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from error
    return path


def _bitrates(axes: Axes, rows: Sequence[Row], law: TranscodeTiming) -> None:
    axes.set(xscale="log", yscale="log", xlabel="asked bitrate (kbit/s)", ylabel="times as long")
    for colour, lines in zip(_COLOURS, sorted({row.lines for row in rows}), strict=False):
        here = [row for row in rows if row.lines == lines]
        asked = np.array([row.kbps for row in here], dtype=float)
        pixels = np.full(len(here), SIZES[lines][0] * SIZES[lines][1] / 1e6)
        fast = np.array([row.speed == "fast" for row in here], dtype=float)
        # Of each scene and length, relative to the law's level of that scene and length.
        time = np.array([row.cpu_s for row in here])
        factor = bitrate_factor(law, asked, pixels, fast)
        kinds = [(row.scene, row.seconds) for row in here]
        level = np.array(
            [
                np.median([t / f for t, f, k in zip(time, factor, kinds, strict=True) if k == kind])
                for kind in kinds
            ]
        )
        axes.scatter(asked, time / level, s=9, color=colour, alpha=0.6)
        smooth = np.geomspace(asked.min(), asked.max(), 200)
        shape = bitrate_factor(law, smooth, pixels[:1], fast[:1])
        axes.plot(smooth, shape, color=colour, label=f"{lines} lines")
        axes.axvline(
            float(floor_kbps(law, pixels[:1], fast[:1])[0]), color=colour, alpha=0.3, linewidth=0.8
        )
    if rows:
        axes.legend(fontsize=8)


def _threads(axes: Axes, rows: Sequence[Row], law: TranscodeTiming) -> None:
    quiet = [row for row in rows if row.others_cores <= QUIET_CORES and row.threads <= row.cores]
    axes.set(xlabel="threads", ylabel="cores kept busy")
    axes.set_title("cores kept busy, rows that nothing disturbed", fontsize=10)
    for colour, lines in zip(_COLOURS, sorted({row.lines for row in quiet}), strict=False):
        here = [row for row in quiet if row.lines == lines]
        axes.scatter(
            [row.threads for row in here],
            [row.cpu_s / row.wall_s for row in here],
            s=9,
            color=colour,
            alpha=0.6,
            label=f"{lines} lines",
        )
        megapixels = SIZES[lines][0] * SIZES[lines][1] / 1e6
        alpha = law.parallel_exponent + law.parallel_slope * np.log(megapixels / FULL_HD_MEGAPIXELS)
        threads = np.linspace(1, max(row.threads for row in here), 50)
        axes.plot(threads, threads ** np.clip(alpha, 0.1, 0.9), color=colour)
    if quiet:
        axes.legend(fontsize=8, title="lines: the law's speed-up", title_fontsize=8)
