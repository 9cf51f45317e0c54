"""The study's pictures of the frozen policy: action maps, trees, the same half hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from env.config import ClusterConfig
from env.timeline_plot import draw_timeline
from training.findings.action_map import ActionMap
from training.findings.half_hour import LENGTH_S, HalfHour
from training.findings.plots import SMALL, new_figure
from training.findings.surrogate import Surrogate

_IMPOSSIBLE: Final = "#FFFFFF"
_KEEP: Final = "#DDDDDD"
_SPAWN: Final = ("#A6D8F5", "#4EA3D8", "#005A96")
_KILL: Final = ("#F7C873", "#E69F00", "#A65E00")


def action_colours(n_flavors: int) -> list[str]:
    """A colour for a state that cannot be, and one for each action in the network's order."""

    def shades(of: Sequence[str]) -> list[str]:
        return [of[min(i, len(of) - 1)] for i in range(n_flavors)]

    return [_IMPOSSIBLE, _KEEP, *shades(_SPAWN), *shades(_KILL)]


def queue_plot(maps: Sequence[ActionMap], actions: Sequence[str]) -> Figure:
    """First order and number of orders over waiting jobs and busy workers."""
    return _grid(maps, actions, "jobs waiting", "busy workers", counted=True)


def idle_plot(maps: Sequence[ActionMap], actions: Sequence[str]) -> Figure:
    """The order over the load and how long the one idle worker has idled."""
    return _grid(maps, actions, "offered load", "idle for, s", counted=False)


def _grid(
    maps: Sequence[ActionMap], actions: Sequence[str], x: str, y: str, *, counted: bool
) -> Figure:
    figure = new_figure(2.6 * len(maps), 3.3)
    panels: Sequence[Axes] = np.atleast_1d(figure.subplots(1, len(maps), sharey=True)).tolist()
    colours = action_colours((len(actions) - 1) // 2)
    for axes, one in zip(panels, maps, strict=True):
        axes.imshow(
            one.first + 1,
            cmap=ListedColormap(colours),
            vmin=-0.5,
            vmax=len(colours) - 0.5,
            aspect="auto",
            origin="lower",
        )
        if counted:
            for row, column in np.ndindex(one.orders.shape):
                if one.orders[row, column]:
                    axes.text(
                        column,
                        row,
                        str(one.orders[row, column]),
                        ha="center",
                        va="center",
                        fontsize=SMALL,
                    )
        axes.set_xticks(range(len(one.columns)), [f"{c:g}" for c in one.columns], fontsize=7)
        axes.set_yticks(range(len(one.rows)), [f"{r:g}" for r in one.rows], fontsize=7)
        axes.tick_params(length=0)
        axes.set_title(f"w = {one.preference:g}, workers {one.flavor}", fontsize=SMALL)
        axes.set_xlabel(x, fontsize=SMALL)
    panels[0].set_ylabel(y, fontsize=SMALL)
    present = sorted({int(value) for one in maps for value in one.first.ravel() if value >= 0})
    figure.legend(
        handles=[Patch(color=colours[index + 1], label=actions[index]) for index in present],
        loc="outside lower center",
        ncols=max(1, len(present)),
        frameon=False,
        fontsize=SMALL,
    )
    return figure


def tree_plot(found: Surrogate) -> Figure:
    """Accuracy and cost of the trees over their size."""
    figure = new_figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    leaves = [one.leaves for one in found.sizes]
    left.plot(leaves, [one.accuracy for one in found.sizes], "o-", label="all decisions")
    left.plot(leaves, [one.balanced for one in found.sizes], "s--", label="mean over actions")
    left.axhline(found.baseline, color="0.5", linewidth=0.8, linestyle=":")
    left.set_ylim(0, 1.02)
    left.set_ylabel("agrees with the network", fontsize=SMALL)
    right.plot(leaves, [one.cost_ratio for one in found.sizes], "o-", label="geometric mean")
    right.plot(leaves, [one.worst for one in found.sizes], "s--", label="worst episode")
    right.axhline(1, color="0.5", linewidth=0.8, linestyle=":")
    right.set_yscale("log", base=2)
    right.yaxis.set_major_formatter("{x:g}")
    right.set_ylabel("cost relative to the network", fontsize=SMALL)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("leaves of the tree", fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        axes.legend(frameon=False, fontsize=SMALL)
    return figure


def half_hour_plot(found: Sequence[HalfHour], cluster: ClusterConfig) -> Figure:
    """The policies one above the other, on the same jobs."""
    figure = Figure(figsize=(10.0, 6.0 * len(found)), dpi=80)
    parts = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    end = max(LENGTH_S, *(one.end_s for one in found))
    for part, one in zip(parts, found, strict=True):
        title = (
            f"{one.policy}: cost a job {one.metrics.cost_per_job:.1f}, "
            f"delay {one.metrics.delay_mean_s:.0f} s, {one.metrics.boots} boots"
        )
        draw_timeline(part, one.timeline, cluster, 0.0, end, now_s=one.end_s, title=title)
    return figure
