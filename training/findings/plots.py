"""The study's pictures of the naive algorithms, capacity, knobs and first boots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.findings.boots import ColdStart
from training.findings.capacity import Capacity
from training.findings.duel import Duel
from training.findings.knobs import KnobMap
from training.findings.naive import NATIVE, Sweep
from training.findings.world import GRACE, MINIMIZE

COLOURS: Final = {MINIMIZE: "#0072B2", GRACE: "#E69F00"}
FLAVOR_COLOURS: Final = ("#56B4E9", "#009E73", "#CC79A7", "#D55E00")
SMALL: Final = 8.0


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that draws without a window, inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sweep_plot(found: Sweep) -> Figure:
    """Delay, reserved CPU and boots of both algorithms over the load."""
    figure = new_figure(10, 6.4)
    panels = figure.subplots(2, 2).ravel()
    loads = [workload for workload in found.workloads if workload.name != NATIVE]
    wanted = (
        ("delay_mean_s", "mean delay, s", 1.0),
        ("delay_p95_s", "95th percentile of the delay, s", 1.0),
        ("cpu_reserved_mean", "reserved vCPUs, % of all (mean over time)", 100.0),
        ("boots", "boots for 100 jobs", 100.0),
    )
    for axes, (name, label, scale) in zip(panels, wanted, strict=True):
        for policy in (MINIMIZE, GRACE):
            rows = [found.figures(workload, policy) for workload in loads]
            mean = np.array([row[name].mean for row in rows]) * scale
            spread = np.array([row[name].deviation for row in rows]) * scale
            if name == "boots":
                jobs = np.array([row["jobs"].mean for row in rows])
                mean, spread = mean / jobs, spread / jobs
            axes.errorbar(
                [workload.load for workload in loads],
                mean,
                spread,
                color=COLOURS[policy],
                marker="o",
                markersize=4,
                capsize=2,
                label=policy,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("offered load (1: all cores busy)", fontsize=SMALL)
        axes.set_ylabel(label, fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        if name.startswith("delay"):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set_ylim(bottom=0)
    panels[0].legend(frameon=False, fontsize=SMALL)
    return figure


def duel_plot(found: Duel) -> Figure:
    """Cost of minimize-workers relative to grace-period over load and burstiness, for each w."""
    figure = new_figure(3.6 * len(found.preferences), 2.6)
    panels = np.atleast_1d(figure.subplots(1, len(found.preferences), sharey=True))
    limit = float(np.log(2.0))
    for axes, w, ratios in zip(panels, found.preferences, found.ratios, strict=True):
        axes.imshow(
            np.log(ratios), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", origin="lower"
        )
        _cells(axes, ratios, np.abs(np.log(ratios)) > 0.6 * limit, "{:.2f}")
        _ticks(axes, [f"{load:g}" for load in found.loads], [row.name for row in found.rows])
        axes.set_title(f"w = {w:g}", fontsize=SMALL + 1)
        axes.set_xlabel("offered load", fontsize=SMALL)
    return figure


def capacity_plot(rows: Sequence[Capacity]) -> Figure:
    """Requests an hour over the number of workers, measured and from theory."""
    figure = new_figure(7.6, 4.2)
    axes = figure.subplots()
    flavors = list(dict.fromkeys(row.flavor for row in rows))
    for flavor, colour in zip(flavors, FLAVOR_COLOURS, strict=False):
        mine = [row for row in rows if row.flavor == flavor]
        count = [row.workers for row in mine]
        axes.errorbar(
            count,
            [row.measured.mean for row in mine],
            [row.measured.deviation for row in mine],
            color=colour,
            marker="o",
            linestyle="none",
            capsize=3,
            label=f"{flavor}, measured",
        )
        axes.plot(count, [row.theory for row in mine], color=colour, label=f"{flavor}, theory")
        axes.plot(
            count, [row.alone for row in mine], color=colour, linestyle=":", label="no contention"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("max workers")
    axes.set_ylabel("requests an hour")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=SMALL)
    return figure


def knob_plot(maps: Sequence[KnobMap]) -> Figure:
    """Heat maps of delay, reserved core-seconds and cost, a row for each flavor."""
    figure = new_figure(11, 2.9 * len(maps))
    panels = np.atleast_2d(figure.subplots(len(maps), 3))
    titles = ("mean delay, s", "reserved core-seconds a job", "cost a job at w = 0.5")
    for column, (title, name) in enumerate(zip(titles, ("delay_s", "core_s", "cost"), strict=True)):
        every: list[NDArray[np.float64]] = [getattr(one, name) for one in maps]
        norm = LogNorm(min(a.min() for a in every), max(a.max() for a in every))
        for axes, one, values in zip(panels[:, column], maps, every, strict=True):
            axes.imshow(values, norm=norm, cmap="viridis", aspect="auto", origin="lower")
            _cells(axes, values, _dark(values, norm), "{:.0f}")
            _ticks(axes, [f"{g:g}" for g in one.graces_s], [str(n) for n in one.workers])
            axes.set_title(f"{one.flavor}: {title}", fontsize=SMALL + 1)
            axes.set_xlabel("grace period, s", fontsize=SMALL)
            axes.set_ylabel("max workers", fontsize=SMALL)
    return figure


def cold_start_plot(found: ColdStart) -> Figure:
    """Delay of the first jobs with the image on no node and on all."""
    figure = new_figure(7.6, 3.6)
    axes = figure.subplots()
    jobs = np.arange(1, len(found.cold_s) + 1)
    axes.plot(jobs, found.cold_s, "o-", color="#D55E00", label="no node holds the image")
    axes.plot(jobs, found.cached_s, "o-", color="#009E73", label="all nodes hold it")
    axes.fill_between(jobs, found.cached_s, found.cold_s, color="#D55E00", alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("job, in order of arrival")
    axes.set_ylabel("mean delay, s")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=SMALL)
    return figure


def _cells(axes: Axes, values: NDArray[np.float64], white: NDArray[np.bool_], form: str) -> None:
    for row, column in np.ndindex(values.shape):
        axes.text(
            column,
            row,
            form.format(values[row, column]),
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if white[row, column] else "black",
        )


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, fontsize=SMALL)
    axes.set_yticks(range(len(rows)), rows, fontsize=SMALL)
    axes.tick_params(length=0)


def _dark(values: NDArray[np.float64], norm: Normalize) -> NDArray[np.bool_]:
    """Where viridis is dark."""
    colours = colormaps["viridis"](norm(values))[..., :3]
    dark: NDArray[np.bool_] = colours.mean(axis=-1) < 0.5
    return dark
