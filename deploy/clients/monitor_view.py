"""A snapshot of the service as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.clients.job_api import ENDED_JOB, STOPPED
from deploy.clients.printable import printable
from deploy.clients.snapshot import JobView, Snapshot, WorkerView

_STYLES: Final = {
    "Waiting": "yellow",
    "Started": "cyan",
    "Completed": "green",
    "Error": "bold red",
    "Booting": "yellow",
    "Idle": "green",
    "Stopped": "dim",
}
_FRAME_ROWS: Final = 15
"""Lines that are taken by titles, heads and frames of three tables."""

_Item = TypeVar("_Item", JobView, WorkerView)


def view(snapshot: Snapshot, *, height: int, trouble: str = "") -> Group:
    """The service on one screen: nodes, workers, jobs.

    Args:
        snapshot: what is known.
        height: lines of the screen; what does not fit is counted instead of shown.
        trouble: why the snapshot is an old one; empty if it is not.
    """
    nodes = _nodes(snapshot)
    rows = max(6, height - _FRAME_ROWS - nodes.row_count - bool(trouble))
    workers = _latest(snapshot.workers, rows // 2, STOPPED)
    jobs = _latest(snapshot.jobs, rows - len(workers), *ENDED_JOB)
    parts: list[Table | Text] = [nodes, _workers(workers, snapshot), _jobs(jobs, snapshot)]
    if trouble:
        line = Text(printable(trouble), style="bold red", no_wrap=True, overflow="ellipsis")
        parts.insert(0, line)
    return Group(*parts)


def _latest(items: Sequence[_Item], rows: int, *ended: str) -> list[_Item]:
    """As many as fit, in their order: first those that live, then the latest of those that ended.

    Of those that live, the earliest: they are the ones that are worked on.
    """
    living = [index for index, item in enumerate(items) if item.state not in ended]
    over = [index for index, item in enumerate(items) if item.state in ended]
    return [items[index] for index in sorted((living + over[::-1])[:rows])]


def _nodes(snapshot: Snapshot) -> Table:
    table = _table("Nodes", ("node", "workers", "busy", "states"))
    for name, node in snapshot.nodes.items():
        table.add_row(
            _text(name or "(not known yet)"),
            str(node.workers),
            str(node.busy),
            _counts(node.states),
        )
    return table


def _workers(shown: Sequence[WorkerView], snapshot: Snapshot) -> Table:
    title = _title("Workers", (worker.state for worker in snapshot.workers), len(shown))
    table = _table(title, ("id", "name", "cpus", "memory", "node", "state"))
    for each in shown:
        cells = (each.id, each.name, each.cpus, each.memory, each.node)
        table.add_row(*map(_text, cells), _state(each.state))
    return table


def _jobs(shown: Sequence[JobView], snapshot: Snapshot) -> Table:
    title = _title("Jobs", (job.state for job in snapshot.jobs), len(shown))
    table = _table(title, ("id", "video", "kbit/s", "speed", "state"))
    for each in shown:
        cells = (each.id, each.id_video, str(each.bitrate), each.speed)
        table.add_row(*map(_text, cells), _state(each.state))
    return table


def _title(what: str, states: Iterable[str], shown: int) -> str:
    counts = Counter(states)
    hidden = counts.total() - shown
    title = f"{what}: {counts.total()}"
    if counts:
        title += f" ({_counts(counts)})"
    return f"{title}, {hidden} not shown" if hidden else title


def _counts(states: dict[str, int]) -> str:
    return printable(", ".join(f"{count} {state}" for state, count in sorted(states.items())))


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=Text(title), title_justify="left", expand=True)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


def _text(value: str) -> Text:
    return Text(printable(value))


def _state(state: str) -> Text:
    return Text(printable(state), style=_STYLES.get(state, "cyan"))
