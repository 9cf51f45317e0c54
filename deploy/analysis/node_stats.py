"""``dacirco_get_node_stats``: load and memory of each request's node while it was transcoded."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.analysis.prometheus import PORT, Extent, Prometheus
from deploy.analysis.tables import (
    NODE_STATS_ENDING,
    REQUESTS_ENDING,
    WORKERS_ENDING,
    read_table,
    write_table,
)
from env.command import CommandParser, run_command
from env.errors import DaCircoError
from env.moments import parse_moment

_KINDS: Final = ("min", "avg", "max")
LOAD, MEMORY = "load1", "used_mem"
ADDED_COLUMNS: Final = (
    "name",
    "node",
    *(f"{quantity}_{kind}" for quantity in (LOAD, MEMORY) for kind in _KINDS),
)
_START, _END = "time_file_downloaded", "time_transcoding_done"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, write the table, and return the exit code."""
    return run_command("dacirco_get_node_stats", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    with Prometheus(options.prometheus_server) as prometheus:
        memory = not options.disable_memory_stats
        print(add_node_stats(options.file, prometheus, memory=memory))


def add_node_stats(path: Path, prometheus: Prometheus, *, memory: bool = True) -> Path:
    """Write the table of requests with load and memory of their nodes; return its path.

    The cells of a request stay empty where its worker or node is not known or Prometheus has
    no sample; how many these are is told on standard error.

    Args:
        path: ``...-ok-requests.csv``; ``...-workers.csv`` must lie beside it.
        prometheus: has the figures of the nodes' exporters.
        memory: ask for the memory, too.

    Raises:
        DaCircoError: a table cannot be read or written, or Prometheus cannot be asked.
    """
    if not path.name.endswith(REQUESTS_ENDING):
        raise DaCircoError(f"{path} is no ...{REQUESTS_ENDING}: make it with dacirco_process_logs")
    run = path.name.removesuffix(REQUESTS_ENDING)
    columns, requests = read_table(path, ("worker_id", _START, _END))
    needed = ("worker_id", "name", "node")
    _, workers = read_table(path.with_name(run + WORKERS_ENDING), needed)
    by_id = {worker["worker_id"]: worker for worker in workers}
    asked = {LOAD: prometheus.load} | ({MEMORY: prometheus.used_memory} if memory else {})
    without: dict[tuple[str, str], int] = {}
    for number, request in enumerate(requests, start=1):
        worker = by_id.get(request["worker_id"], {})
        node = worker.get("node", "")
        request.update(name=worker.get("name", ""), node=node)
        start, end = (_moment(request[column], path, number) for column in (_START, _END))
        known = node and not math.isnan(end - start)
        for quantity, ask in asked.items():
            extent = ask(node, start, end) if known else None
            if extent is None:
                without[quantity, node] = without.get((quantity, node), 0) + 1
            else:
                request.update(_cells(quantity, extent))
    _warn(without, prometheus.url)
    out = path.with_name(run + NODE_STATS_ENDING)
    kept = [column for column in columns if column not in ADDED_COLUMNS]
    added = [name for name in ADDED_COLUMNS if memory or not name.startswith(MEMORY)]
    write_table(out, (*kept, *added), requests)
    return out


def _cells(quantity: str, extent: Extent) -> dict[str, str]:
    return {
        f"{quantity}_{kind}": f"{value:.6g}" for kind, value in zip(_KINDS, extent, strict=True)
    }


def _moment(text: str, path: Path, row: int) -> float:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise DaCircoError(f"{path}, row {row}: {text!r} is not a time") from error


def _warn(without: Mapping[tuple[str, str], int], url: str) -> None:
    for quantity in (LOAD, MEMORY):
        nodes = ", ".join(
            f"{count} on {node or 'a node that is not known'}"
            for (lacking, node), count in without.items()
            if lacking == quantity
        )
        if nodes:
            print(f"no {quantity} at {url} for some requests: {nodes}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_get_node_stats",
        description="Add to a table of finished requests the name and node of the worker and "
        "the minimum, average and maximum of node_load1 and of the used memory (GB) on that node "
        "while the video was transcoded; written as ...-ok-requests-node-stats.csv.",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="...-ok-requests.csv of dacirco_process_logs"
    )
    parser.add_argument(
        "-s",
        "--prometheus-server",
        default="controller",
        metavar="SERVER",
        help=f"HOST, HOST:PORT or URL of Prometheus; the port is {PORT} by default (%(default)s)",
    )
    parser.add_argument(
        "--disable-memory-stats", action="store_true", help="do not ask for the memory"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
