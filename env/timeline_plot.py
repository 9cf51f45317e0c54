"""Pictures of a `Timeline`: workers by node, jobs, and reserved cores over time.

Colours are from Okabe and Ito's palette, which colour-blind people can tell apart, and
differ in brightness too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from env.config import ClusterConfig
from env.labels import clock, flavor_letters
from env.timeline import Lane, Timeline
from env.worker import WorkerState

STATE_COLORS: Final = {
    WorkerState.BUSY: "#0072B2",
    WorkerState.IDLE: "#A6D8F5",
    WorkerState.BOOTING: "#E69F00",
    WorkerState.DRAINING: "#8C8C8C",
}
WAITING_COLOR: Final = "#D55E00"
RESERVED_COLOR: Final = "#009E73"

PICTURE_INCHES: Final = (10.0, 6.4)
PICTURE_DPI: Final = 100

Floats = NDArray[np.float64]

_SMALL: Final = 8.0
"""Font size of all but the title, points."""
_LETTER_PX: Final = 9.0
"""A flavor's letter is left out where there is less room than this."""
_LEFT: Final = 0.09
_RIGHT: Final = 0.965
_FREE_COLOR: Final = "#F0F0F0"
_JOB_EDGE_COLOR: Final = "#003A5C"
_MOST_EDGES: Final = 1200
"""With more bars than this their edges would hide their colours."""
_DARK: Final = (WorkerState.BUSY, WorkerState.DRAINING)
_NODE_GAP: Final = 0.4
"""Blank between two nodes, in rows of one vCPU."""
_INSET: Final = 0.05
_MOST_ROWS: Final = 96
"""More rows than this cannot be told apart: the states are then shown in sum."""
_MOST_TICKS: Final = 10
_TICK_STEPS_S: Final = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)


class Window(NamedTuple):
    """What is shown, seconds: from `start` to `end`, of which things are known up to `now`."""

    start: float
    end: float
    now: float


def timeline_picture(
    timeline: Timeline,
    cluster: ClusterConfig,
    start_s: float,
    end_s: float,
    *,
    now_s: float | None = None,
    title: str = "",
) -> NDArray[np.uint8]:
    """The picture that `draw_timeline` draws, uint8 of shape (640, 1000, 3)."""
    figure = Figure(figsize=PICTURE_INCHES, dpi=PICTURE_DPI)
    canvas = FigureCanvasAgg(figure)
    draw_timeline(figure, timeline, cluster, start_s, end_s, now_s=now_s, title=title)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return pixels[:, :, :3].copy()


def draw_timeline(
    figure: Figure | SubFigure,
    timeline: Timeline,
    cluster: ClusterConfig,
    start_s: float,
    end_s: float,
    *,
    now_s: float | None = None,
    title: str = "",
) -> None:
    """Draw a run into an empty figure: workers by node, jobs, and reserved cores.

    Args:
        figure: where to draw; made for about 10 by 6 inches.
        timeline: what happened.
        cluster: its nodes and flavors.
        start_s: left edge of the picture, seconds.
        end_s: right edge, seconds.
        now_s: how far the run has come; by default to the right edge.
        title: headline.
    """
    window = Window(start_s, end_s, end_s if now_s is None else min(now_s, end_s))
    workers, jobs, reserved = figure.subplots(3, 1, sharex=True, height_ratios=(3.4, 1.2, 1.0))
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=0.885, bottom=0.05, hspace=0.12)
    if sum(_rows(cluster)) <= _MOST_ROWS:
        draw_workers(workers, timeline, cluster, window)
    else:
        draw_states(workers, timeline, cluster, window)
    draw_jobs(jobs, timeline, window)
    draw_reserved(reserved, timeline, cluster, window)
    length = end_s - start_s
    step = next((s for s in _TICK_STEPS_S if length / s <= _MOST_TICKS), length / _MOST_TICKS)
    reserved.set_xlim(start_s, end_s)
    reserved.set_xticks(np.arange(np.ceil(start_s / step), end_s / step + 1e-9) * step)
    reserved.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    for axes in (workers, jobs, reserved):
        axes.tick_params(labelsize=_SMALL)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels((jobs, reserved))
    _write_head(figure, cluster, title)


def draw_workers(axes: Axes, timeline: Timeline, cluster: ClusterConfig, window: Window) -> None:
    """Draw the life of each worker as a bar, as high as its vCPUs, in the band of its node."""
    rows = _rows(cluster)
    tops = [0.0, *accumulate(count + _NODE_GAP for count in rows)]
    axes.set_ylim(tops[-1] - _NODE_GAP, 0)
    for top, count in zip(tops, rows, strict=False):
        axes.axhspan(top, top + count, color=_FREE_COLOR, linewidth=0)
    box = axes.get_window_extent()
    row_px = box.height / (tops[-1] - _NODE_GAP)
    second_px = box.width / (window.end - window.start)
    letters = flavor_letters([flavor.name for flavor in cluster.flavors])
    vcpus = [flavor.vcpus for flavor in cluster.flavors]
    boxes: dict[WorkerState, list[list[tuple[float, float]]]] = {s: [] for s in STATE_COLORS}
    for lane, runs in _place(timeline.lanes, rows, vcpus):
        spans = _visible(lane, window)
        if not spans:
            continue
        for first, last in runs:
            low, high = tops[lane.node] + first + _INSET, tops[lane.node] + last - _INSET
            for state, left, right in spans:
                boxes[state].append([(left, low), (right, low), (right, high), (left, high)])
        first, last = max(runs, key=lambda run: run[1] - run[0])
        wide = (span for span in spans if (span[2] - span[1]) * second_px >= _LETTER_PX)
        label = next(wide, None) if (last - first) * row_px >= _LETTER_PX else None
        if label is not None:
            axes.text(
                label[1] + 3 / second_px,
                tops[lane.node] + (first + last) / 2,
                letters[lane.flavor],
                fontsize=_SMALL,
                va="center_baseline",
                color="white" if label[0] in _DARK else "black",
            )
    edges = sum(map(len, boxes.values())) < _MOST_EDGES
    for state, polygons in boxes.items():
        axes.add_collection(
            PolyCollection(
                polygons,
                facecolors=STATE_COLORS[state],
                edgecolors=_JOB_EDGE_COLOR if state is WorkerState.BUSY else "none",
                linewidths=0.6 if edges else 0.0,
            )
        )
    two_lines = min(rows) * row_px >= 2 * _LETTER_PX + 6
    axes.set_yticks(
        [top + count / 2 for top, count in zip(tops, rows, strict=False)],
        [
            f"{node.name}\n{count} vCPUs" if two_lines else node.name
            for node, count in zip(cluster.nodes, rows, strict=True)
        ],
    )
    axes.tick_params(axis="y", length=0)


def draw_states(axes: Axes, timeline: Timeline, cluster: ClusterConfig, window: Window) -> None:
    """Draw the vCPUs in each state, stacked, over time: for clusters too large for bars."""
    vcpus = [flavor.vcpus for flavor in cluster.flavors]
    changes: dict[WorkerState, list[tuple[float, int]]] = {s: [] for s in STATE_COLORS}
    for lane in timeline.lanes:
        for state, left, right in _visible(lane, window):
            changes[state] += [(left, vcpus[lane.flavor]), (right, -vcpus[lane.flavor])]
    moments = [moment for pairs in changes.values() for moment, _ in pairs]
    times = np.unique([window.start, window.now, *moments])
    levels = np.zeros((len(changes), len(times)))
    for level, pairs in zip(levels, changes.values(), strict=True):
        if pairs:
            moment, change = np.array(pairs).T
            np.add.at(level, np.searchsorted(times, moment), change)
    levels = levels.cumsum(axis=1)
    capacity = sum(_rows(cluster))
    axes.axhspan(0, capacity, color=_FREE_COLOR, linewidth=0)
    axes.stackplot(times, levels, colors=list(STATE_COLORS.values()), step="post", linewidth=0)
    axes.set_ylim(0, capacity)
    axes.set_ylabel(f"vCPUs of {len(cluster.nodes)} nodes", fontsize=_SMALL)


def draw_jobs(axes: Axes, timeline: Timeline, window: Window) -> None:
    """Draw the jobs in process and, on top of them, those that wait."""
    times, waiting, serving, _ = _samples(timeline, window)
    total = serving + waiting
    busy = STATE_COLORS[WorkerState.BUSY]
    axes.fill_between(times, serving, step="post", color=busy, linewidth=0)
    axes.fill_between(times, serving, total, step="post", color=WAITING_COLOR, linewidth=0)
    axes.set_ylim(0, max(4.0, 1.05 * float(total.max())))
    axes.set_ylabel("jobs", fontsize=_SMALL)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def draw_reserved(axes: Axes, timeline: Timeline, cluster: ClusterConfig, window: Window) -> None:
    """Draw the reserved equivalent cores (see `env.cost`) under the line of all cores."""
    times, _, _, reserved = _samples(timeline, window)
    cores = sum(node.cores for node in cluster.nodes)
    axes.fill_between(times, reserved, step="post", color=RESERVED_COLOR, linewidth=0)
    axes.axhline(cores, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.05 * cores)
    axes.set_yticks([0, cores / 2, cores])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("reserved\ncores", fontsize=_SMALL)


def _write_head(figure: Figure | SubFigure, cluster: ClusterConfig, title: str) -> None:
    figure.suptitle(title, x=_LEFT, y=0.985, ha="left", va="top", fontsize=11, weight="bold")
    names = {state: state.name.lower() for state in STATE_COLORS}
    names[WorkerState.BUSY] = "busy, job in process"
    handles = [Patch(color=color, label=names[state]) for state, color in STATE_COLORS.items()]
    handles.append(Patch(color=WAITING_COLOR, label="job waiting"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_LEFT, 0.945),
        borderpad=0,
        borderaxespad=0,
        ncols=len(handles),
        frameon=False,
        fontsize=_SMALL,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.4,
    )
    letters = flavor_letters([flavor.name for flavor in cluster.flavors])
    flavors = "   ".join(
        f"{letter}: {flavor.name}" for letter, flavor in zip(letters, cluster.flavors, strict=True)
    )
    figure.text(_RIGHT, 0.945, flavors, ha="right", va="top", fontsize=_SMALL)


def _rows(cluster: ClusterConfig) -> list[int]:
    """Schedulable whole vCPUs of each node."""
    return [int(node.cores * cluster.vcpu_overcommit + 1e-9) for node in cluster.nodes]


def _visible(lane: Lane, window: Window) -> list[tuple[WorkerState, float, float]]:
    """What the window shows of a worker's life: state, from, to."""
    start, end, now = window
    clipped = (
        (span.state, max(span.start_s, start), min(now if span.end_s is None else span.end_s, end))
        for span in lane.spans
    )
    return [span for span in clipped if span[2] > span[1]]


def _place(
    lanes: Iterable[Lane], rows: Sequence[int], vcpus: Sequence[int]
) -> Iterator[tuple[Lane, list[tuple[int, int]]]]:
    """Give each worker as many free rows of its node as it has vCPUs.

    Yields:
        The lane and its rows as (first, last + 1): one run where there is room for one,
        otherwise pieces of what is free (a node's vCPUs need not be adjacent).
    """
    free_at = [[-inf] * count for count in rows]
    for lane in lanes:
        start = lane.spans[0].start_s
        node, size = free_at[lane.node], vcpus[lane.flavor]
        free = [row for row, since in enumerate(node) if since <= start]
        adjacent = (
            free[i : i + size]
            for i in range(len(free) - size + 1)
            if free[i + size - 1] - free[i] == size - 1
        )
        end = inf if lane.end_s is None else lane.end_s
        runs: list[tuple[int, int]] = []
        for row in next(adjacent, free[:size]):
            node[row] = end
            if runs and runs[-1][1] == row:
                runs[-1] = (runs[-1][0], row + 1)
            else:
                runs.append((row, row + 1))
        yield lane, runs


def _samples(timeline: Timeline, window: Window) -> tuple[Floats, Floats, Floats, Floats]:
    """Times, jobs waiting, jobs in process and reserved cores, held from one edge to the other."""
    samples = timeline.samples
    first = bisect_right(samples, window.start, key=lambda sample: sample[0])
    last = bisect_right(samples, window.now, key=lambda sample: sample[0])
    before = samples[first - 1][1:] if first else (0, 0, 0.0)
    table = np.array([(window.start, *before), *samples[first:last]], dtype=float)
    times, waiting, serving, reserved = np.vstack([table, [window.now, *table[-1, 1:]]]).T
    return times, waiting, serving, reserved
