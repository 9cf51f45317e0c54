"""The pictures of the competition's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

from training.competition.entrants import tuned_rules
from training.competition.front import Point, pareto_front
from training.competition.results import Away, Home
from training.evaluation.plots import png

_OURS: Final = "#D55E00"
_RIVAL: Final = "#0072B2"
_SEED: Final = "#E69F00"
_TICKS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5)


def pictures(home: Home, shares: Mapping[str, float], worlds: Sequence[Away]) -> dict[str, bytes]:
    """PNG files by name."""
    figures = {
        "competition-preferences": preference_plot(home),
        "competition-scenarios": scenario_plot(home),
        "competition-dial": dial_plot(home),
    }
    if shares:
        figures["competition-bound"] = share_plot(home, shares)
    if worlds:
        figures["competition-worlds"] = world_plot(worlds)
    return {f"{name}.png": png(figure) for name, figure in figures.items()}


def preference_plot(home: Home) -> Figure:
    """Cost relative to the best tuned rule, over the preference."""
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    axes = figure.subplots()
    preferences = home.entry.preferences
    best = home.of_best_tuned()
    for policy in home.entry.learned:
        matches = [home.match(home.costs(policy), best, w) for w in range(len(preferences))]
        shipped = policy == home.entry.shipped
        colour = _OURS if shipped else _SEED
        axes.plot(
            preferences,
            [m.ratio.value for m in matches],
            "o-",
            color=colour,
            linewidth=2.4 if shipped else 1.0,
            label=policy,
        )
        if shipped:
            low = [m.ratio.value if m.ratio.low is None else m.ratio.low for m in matches]
            high = [m.ratio.value if m.ratio.high is None else m.ratio.high for m in matches]
            axes.fill_between(preferences, low, high, color=colour, alpha=0.18, linewidth=0)
    named = False
    for rule in tuned_rules(home.entry.rivals):
        tuned = home.of_tuned(rule)
        ratios = [home.match(tuned, best, w).ratio.value for w in range(len(preferences))]
        label = None if named else "every rule, tuned for each preference"
        named = True
        axes.plot(preferences, ratios, "-", color=_RIVAL, linewidth=0.8, alpha=0.6, label=label)
    _ratio_axis(axes)
    axes.axhline(1, color="0.4", linewidth=0.8)
    axes.set_xlabel("preference w (lean to fast)")
    axes.set_ylabel("cost relative to the best tuned rule")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def scenario_plot(home: Home) -> Figure:
    """Cost relative to the best tuned rule on each scenario at each preference."""
    entry = home.entry
    logs = np.log(home.costs(entry.shipped) / home.of_best_tuned()).mean(axis=2)
    figure = Figure(figsize=(8.6, 0.9 + 0.27 * len(entry.scenarios)), layout="constrained")
    axes = figure.subplots()
    limit = np.log(1.3)
    image = axes.imshow(logs.T, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for s in range(len(entry.scenarios)):
        for w in range(len(entry.preferences)):
            strong = abs(logs[w, s]) > 0.65 * limit
            axes.text(
                w,
                s,
                f"{np.exp(logs[w, s]):.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if strong else "black",
            )
    names = [name.rpartition("/")[2] for name in entry.scenarios]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xticks(range(len(entry.preferences)), [f"w = {w:g}" for w in entry.preferences])
    bar = figure.colorbar(image, ticks=np.log([0.8, 0.9, 1.0, 1.1, 1.25]))
    bar.ax.set_yticklabels(["0.8", "0.9", "1", "1.1", "1.25"])
    bar.set_label("cost relative to the best tuned rule")
    return figure


def dial_plot(home: Home) -> Figure:
    """Delay against reserved resources: the dial's curve and all rivals."""
    figure = Figure(figsize=(8.6, 5.0), layout="constrained")
    axes = figure.subplots()
    points = [point for _, point in home.rival_points()]
    axes.scatter(*_columns(points), s=10, color=_RIVAL, alpha=0.35, label="rules, every setting")
    axes.plot(
        *_columns(pareto_front(points)),
        "-",
        color=_RIVAL,
        linewidth=1.4,
        label="their joint Pareto front",
    )
    curve = home.curve()
    axes.plot(*_columns(curve), "o-", color=_OURS, linewidth=2.4, label=home.entry.shipped)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)))
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_formatter(NullFormatter())
    shown = [*pareto_front(points), *curve]
    delays, cores = _columns(shown)
    axes.set_xlim(0.9 * min(delays), 1.6 * max(delays))
    axes.set_ylim(0.9 * min(cores), 1.6 * max(cores))
    axes.set_xlabel("delay of a job, seconds (geometric mean)")
    axes.set_ylabel("reserved core-seconds for each job (geometric mean)")
    axes.legend(frameon=False)
    return figure


def share_plot(home: Home, shares: Mapping[str, float]) -> Figure:
    """Share of the distance from grace-period to the bound that each policy closes."""
    figure = Figure(figsize=(8.6, 0.8 + 0.27 * len(shares)), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(shares.items(), key=lambda item: item[1])
    colours = [_OURS if name in home.entry.learned else _RIVAL for name, _ in ordered]
    axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=colours)
    for row, (_, share) in enumerate(ordered):
        axes.annotate(
            f"{share:.0%}",
            (max(share, 0.0), row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("share of the distance from grace-period to the clairvoyant bound")
    axes.set_xlim(min(0.0, ordered[0][1]), 1.0)
    return figure


def world_plot(worlds: Sequence[Away]) -> Figure:
    """Cost relative to the best tuned rule in each world."""
    figure = Figure(figsize=(8.6, 0.9 + 0.3 * len(worlds)), layout="constrained")
    axes = figure.subplots()
    for row, world in enumerate(worlds):
        ratio = world.overall.ratio
        if ratio.low is not None and ratio.high is not None:
            axes.plot([ratio.low, ratio.high], [row, row], color=_OURS, linewidth=2.4)
        axes.plot(ratio.value, row, "o", color=_OURS)
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(worlds)), [world.condition.name for world in worlds])
    axes.set_ylim(len(worlds) - 0.5, -0.5)
    axes.set_xlabel("cost relative to the best tuned rule of that world")
    return figure


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.delay_s for p in points], [p.core_s for p in points]


def _ratio_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(list(_TICKS)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
