"""The pictures of a report. Each is a matplotlib figure; `png` turns it into bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from agents.registry import NAIVE
from training.evaluation.statistics import Floats
from training.evaluation.summary import Standing, Summary

_DPI: Final = 130
_SMALL: Final = 8.0
_FOCUS_COLOUR: Final = "#D55E00"
_NAIVE_COLOURS: Final = (
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#6A3D9A",
    "#8C6D1F",
    "#882255",
)
_COLOURS: Final = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#8C6D1F")
_MARKERS: Final = "sDv^<>pPX*hdH8"
_RATIO_TICKS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 3, 5, 10)
_COST_COLOURS: Final = colormaps["RdBu_r"]
_FULL_COLOUR_AT: Final = np.log(2.0)
"""A heat map's colours are full where the cost is doubled or halved."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a policy is drawn, the same in every picture."""

    colour: str
    marker: str
    line: str
    width: float
    order: int

    def plot(self) -> dict[str, Any]:
        """Arguments for a line."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": self.width,
            "zorder": self.order,
        }


def looks(summary: Summary) -> dict[str, Look]:
    """A look for each policy: the one in focus stands out, the naive ones are black and grey."""
    found: dict[str, Look] = {}
    rivals = 0
    for standing in summary.overall:
        policy = standing.policy
        if policy == summary.focus:
            found[policy] = Look(_FOCUS_COLOUR, "o", "-", 2.6, 5)
        elif policy in NAIVE:
            found[policy] = Look(_NAIVE_COLOURS[NAIVE.index(policy)], "X", "--", 1.8, 4)
        else:
            colour = _COLOURS[rivals % len(_COLOURS)]
            line = ("-", ":", "-.")[rivals // len(_COLOURS) % 3]
            found[policy] = Look(colour, _MARKERS[rivals % len(_MARKERS)], line, 1.2, 3)
            rivals += 1
    return found


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def cost_plot(summary: Summary) -> Figure:
    """Cost ratio and interval of each policy, the cheapest on top."""
    figure, axes = _figure(8.6, 1.1 + 0.32 * len(summary.overall))
    style = looks(summary)
    for row, standing in enumerate(summary.overall):
        estimate, colour = standing.cost_ratio, style[standing.policy].colour
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2.4)
        axes.plot(estimate.value, row, "o", color=colour, markersize=7)
        axes.annotate(
            f"{estimate.value:.3f}",
            (estimate.value, row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=_SMALL,
        )
    _mark_baseline(axes, summary)
    axes.set_yticks(range(len(summary.overall)), [s.policy for s in summary.overall])
    axes.set_ylim(len(summary.overall) - 0.4, -0.7)
    axes.set_xlabel(f"cost per job relative to {summary.plan.baseline} (left is better)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def preference_plot(summary: Summary) -> Figure:
    """Cost ratio of each policy over the preference, with the interval of the one in focus."""
    figure, axes = _figure(8.6, 4.6)
    preferences = summary.plan.preferences
    order = np.argsort(preferences)
    x = np.array(preferences)[order]
    style = looks(summary)
    for standings in zip(*summary.by_preference, strict=True):
        policy = standings[0].policy
        ratios = [standings[i].cost_ratio for i in order]
        look = style[policy]
        axes.plot(x, [r.value for r in ratios], marker=look.marker, label=policy, **look.plot())
        if policy == summary.focus:
            low = [r.value if r.low is None else r.low for r in ratios]
            high = [r.value if r.high is None else r.high for r in ratios]
            axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axes.axhline(1, color="0.4", linewidth=0.8)
    axes.set_yscale("log")
    _ratio_ticks(axes)
    axes.set_xticks(x, [f"{w:g}" for w in x])
    axes.set_xlabel("preference w (0.1 lean, 0.9 fast)")
    axes.set_ylabel(f"cost relative to {summary.plan.baseline}")
    _legend(axes)
    return figure


def trade_off_plot(summary: Summary) -> Figure | None:
    """Delay against reserved resources, both relative to the baseline; below and left is better.

    A policy that follows the preference is a curve over w, any other a point. None if no
    policy has both figures.
    """
    figure, axes = _figure(8.6, 5.4)
    style = looks(summary)
    order = np.argsort(summary.plan.preferences)
    for standings in zip(*summary.by_preference, strict=True):
        points = [
            (standing.reserved_ratio.value, standing.delay_ratio.value, standing)
            for standing in (standings[i] for i in order)
            if standing.reserved_ratio is not None and standing.delay_ratio is not None
        ]
        if not points:
            continue
        policy = standings[0].policy
        look = style[policy]
        x, y = [point[0] for point in points], [point[1] for point in points]
        axes.plot(x, y, marker=look.marker, markersize=8, label=policy, **look.plot())
        if policy == summary.focus and len(points) > 1:
            _label_preferences(axes, points, look)
    if not axes.lines:
        return None
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.axhline(1, color="0.4", linewidth=0.8)
    left, bottom = min(axes.get_xlim()[0], 0.95), min(axes.get_ylim()[0], 0.95)
    axes.fill_between([left, 1], bottom, 1, color="#009E73", alpha=0.08, linewidth=0, zorder=0)
    axes.set_xlim(left)
    axes.set_ylim(bottom)
    axes.text(
        0.01, 0.01, "leaner and faster", transform=axes.transAxes, fontsize=_SMALL, color="#00604A"
    )
    axes.set_xlabel(f"reserved core-seconds relative to {summary.plan.baseline}")
    axes.set_ylabel(f"mean delay relative to {summary.plan.baseline}")
    axes.grid(alpha=0.3)
    _legend(axes)
    return figure


def _label_preferences(
    axes: Axes, points: Sequence[tuple[float, float, Standing]], look: Look
) -> None:
    for x, y, standing in points:
        axes.annotate(
            f"w = {standing.preference:g}",
            (x, y),
            xytext=(7, 5),
            textcoords="offset points",
            fontsize=_SMALL,
            color=look.colour,
        )


def heat_map(summary: Summary, preference: int | None = None) -> Figure:
    """Cost ratio of each policy (columns) on each scenario (rows).

    Args:
        summary: the figures.
        preference: index of the preference; none: geometric mean over all.
    """
    scenarios = [scenario.name for scenario in summary.plan.scenarios]
    policies = [standing.policy for standing in summary.overall]
    logs = np.log(summary.ratios)
    values = (logs.mean(axis=1) if preference is None else logs[:, preference]).T
    figure, axes = _figure(3.0 + 0.72 * len(policies), 1.7 + 0.27 * len(scenarios))
    # Linear near 1 and logarithmic beyond: a loss of 5 % is seen, one of 300 % does not glare.
    norm = SymLogNorm(0.2, vmin=-_FULL_COLOUR_AT, vmax=_FULL_COLOUR_AT)
    axes.imshow(values, cmap=_COST_COLOURS, norm=norm, aspect="auto")
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        axes.text(
            column,
            row,
            f"{np.exp(value):.2f}",
            ha="center",
            va="center",
            fontsize=_SMALL,
            weight="bold" if value > 0 else "normal",
            color="white" if _is_dark(float(norm(value))) else "black",
        )
    axes.set_xticks(range(len(policies)), policies, rotation=35, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(scenarios)), scenarios)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _is_dark(place: float) -> bool:
    """Whether a colour of the heat map, from 0 to 1, wants white letters on it."""
    red, green, blue, _ = _COST_COLOURS(place)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # ITU-R BT.601 luma


def delay_plot(summary: Summary, delays_s: Mapping[str, Floats]) -> Figure | None:
    """Distribution of the jobs' delays under each policy: all of it, and its tail.

    Args:
        summary: the figures.
        delays_s: delays of all jobs by policy, seconds.

    Returns:
        None if no job was completed.
    """
    if not any(delays.size for delays in delays_s.values()):
        return None
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    whole, tail = figure.subplots(1, 2)
    style = looks(summary)
    for standing in summary.overall:
        delays = np.sort(delays_s[standing.policy])
        if not delays.size:
            continue
        share = np.arange(1, delays.size + 1) / delays.size
        look = style[standing.policy]
        # A thousand points draw as well as a hundred thousand; the tail needs them all.
        thin = slice(None, None, max(1, delays.size // 1000))
        whole.plot(delays[thin], share[thin], label=standing.policy, **look.plot())
        last = share >= 0.5
        tail.plot(delays[last], 1 - share[last] + 1 / delays.size, **look.plot())
    whole.set_ylabel("jobs done within that time")
    tail.set_ylabel("jobs that take longer")
    tail.set_yscale("log")
    whole.set_ylim(0, 1.01)
    whole.yaxis.set_major_formatter(PercentFormatter(1.0))
    tail.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    for axes in (whole, tail):
        axes.set_xscale("log")
        axes.set_xlabel("delay, seconds")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=_SMALL)
        axes.spines[["top", "right"]].set_visible(False)
    whole.legend(fontsize=_SMALL, frameon=False, loc="upper left")
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=_SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _mark_baseline(axes: Axes, summary: Summary) -> None:
    axes.axvline(1, color="0.4", linewidth=0.8)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.95), max(high, 1.05))


def _ratio_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic axis of ratios as plain numbers."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator([c for c in _RATIO_TICKS if low <= c <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
