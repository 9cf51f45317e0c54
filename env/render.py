"""What a running simulation looks like now: a few lines of text, or a picture."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.labels import clock, describe_preference, flavor_letters
from env.simulator import Simulator
from env.worker import WorkerState

WINDOW_S: Final = 1800.0
"""A picture shows the latest half hour."""

_SHORTEST_WINDOW_S: Final = 300.0
_MOST_NODES_AS_TEXT: Final = 12
_SIGNS: Final = {
    WorkerState.BUSY: "#",
    WorkerState.IDLE: ".",
    WorkerState.BOOTING: "~",
    WorkerState.DRAINING: "x",
}


def render_ansi(simulator: Simulator) -> str:
    """The present state as text.

    Each node is a bar, two signs for each vCPU; a worker begins with its flavor's letter
    and goes on with the sign of its state. Of many nodes only the first are shown.
    """
    cluster = simulator.cluster
    letters = flavor_letters([flavor.name for flavor in cluster.flavors])
    bars = [""] * len(cluster.nodes)
    for worker in cluster.workers.values():
        width = 2 * cluster.vcpus[worker.flavor]
        bars[worker.node] += letters[worker.flavor] + _SIGNS[worker.state] * (width - 1)
    shown = cluster.nodes[:_MOST_NODES_AS_TEXT]
    hidden = cluster.nodes[_MOST_NODES_AS_TEXT:]
    margin = max(len(node.config.name) for node in shown)
    share = cluster.reserved_cores / cluster.cores
    done = (
        f"reserved {share:.0%} of {cluster.cores:.0f} cores, "
        f"{cluster.completed} jobs completed, {cluster.failed} failed"
    )
    lines = [_headline(simulator), done]
    for node in shown:
        width = 2 * (node.capacity_millicores // 1000)
        lines.append(f"{node.config.name:>{margin}} [{bars[node.index]:<{width}}]")
    if hidden:
        workers = sum(node.n_workers for node in hidden)
        lines.append(f"{'':>{margin}} and {len(hidden)} more nodes with {workers} workers")
    legend = [
        f"{letter} {flavor.name}" for letter, flavor in zip(letters, cluster.flavors, strict=True)
    ]
    legend += [f"{sign} {state.name.lower()}" for state, sign in _SIGNS.items()]
    lines.append("  ".join(legend))
    return "\n".join(lines)


def render_rgb_array(simulator: Simulator) -> NDArray[np.uint8]:
    """The latest half hour as a picture, uint8 of shape (640, 1000, 3).

    Raises:
        ValueError: the simulator was made without a timeline.
    """
    # Drawing needs matplotlib, which takes long to import: training does without.
    from env.timeline_plot import timeline_picture

    if simulator.timeline is None:
        raise ValueError("the simulator was made without a timeline")
    now = simulator.now
    end = max(now, _SHORTEST_WINDOW_S)
    return timeline_picture(
        simulator.timeline,
        simulator.profile.cluster,
        max(0.0, end - WINDOW_S),
        end,
        now_s=now,
        title=_headline(simulator),
    )


def _headline(simulator: Simulator) -> str:
    cluster, epoch = simulator.cluster, simulator.epoch
    due = "under way" if epoch is None else epoch.name.lower().replace("_", " ")
    parts = (
        clock(simulator.now),
        f"decision due: {due}",
        describe_preference(cluster.preference),
        f"{cluster.waiting} waiting, {cluster.in_service} in process",
    )
    return "   ".join(parts)
