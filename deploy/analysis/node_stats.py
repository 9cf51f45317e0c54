"""``dacirco_get_node_stats``: the load of each request's node while it was transcoded."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.analysis.prometheus import PORT, NodeLoad, Prometheus
from deploy.analysis.tables import (
    NODE_STATS_ENDING,
    REQUESTS_ENDING,
    WORKERS_ENDING,
    read_table,
    write_table,
)
from env.command import CommandParser, run_command
from env.errors import DaCircoError
from env.event_log import parse_moment

ADDED_COLUMNS: Final = ("name", "node", "min_node_load1", "avg_node_load1", "max_node_load1")
_START, _END = "time_file_downloaded", "time_transcoding_done"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, write the table, and return the exit code."""
    return run_command("dacirco_get_node_stats", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    with Prometheus(options.prometheus_server) as prometheus:
        print(add_node_stats(options.file, prometheus))


def add_node_stats(path: Path, prometheus: Prometheus) -> Path:
    """Write the table of requests with the load of their nodes; return its path.

    The cells of a request stay empty where its worker or node is not known or Prometheus has
    no sample; how many these are is told on standard error.

    Args:
        path: ``...-ok-requests.csv``; ``...-workers.csv`` must lie beside it.
        prometheus: has `node_load1` of the nodes.

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
    without: dict[str, int] = {}
    for number, request in enumerate(requests, start=1):
        worker = by_id.get(request["worker_id"], {})
        node = worker.get("node", "")
        request.update(name=worker.get("name", ""), node=node)
        start, end = (_moment(request[column], path, number) for column in (_START, _END))
        load = prometheus.load(node, start, end) if node and not math.isnan(end - start) else None
        if load is None:
            without[node] = without.get(node, 0) + 1
        else:
            request.update(_cells(load))
    _warn(without, prometheus.url)
    out = path.with_name(run + NODE_STATS_ENDING)
    kept = [column for column in columns if column not in ADDED_COLUMNS]
    write_table(out, (*kept, *ADDED_COLUMNS), requests)
    return out


def _cells(load: NodeLoad) -> dict[str, str]:
    return {
        "min_node_load1": f"{load.minimum:.6g}",
        "avg_node_load1": f"{load.average:.6g}",
        "max_node_load1": f"{load.maximum:.6g}",
    }


def _moment(text: str, path: Path, row: int) -> float:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise DaCircoError(f"{path}, row {row}: {text!r} is not a time") from error


def _warn(without: dict[str, int], url: str) -> None:
    if without:
        nodes = ", ".join(
            f"{count} on {node or 'a node that is not known'}" for node, count in without.items()
        )
        print(f"no node_load1 at {url} for some requests: {nodes}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_get_node_stats",
        description="Add to a table of finished requests the name and node of the worker and "
        "the minimum, average and maximum of node_load1 on that node while the video was "
        "transcoded; written as ...-ok-requests-node-stats.csv.",
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
