"""``dacirco_rest_monitor``: a live view of workers, jobs and nodes in the terminal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live

from deploy.clients.job_api import KEY_VARIABLE, ApiAwayError, ApiError, JobApi
from deploy.clients.monitor_view import view
from deploy.clients.snapshot import Snapshot, Watcher
from env.command import CommandParser, port_number, positive_seconds, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, watch until Ctrl-C, and return the exit code."""
    return run_command("dacirco_rest_monitor", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    console = Console()
    with JobApi(options.rest_server, options.port) as api:
        watcher = Watcher(api)
        if options.once:
            snapshot = watcher.look()
            if options.json:
                _print_json(snapshot)
            else:
                console.print(view(snapshot, height=sys.maxsize))
            return
        try:
            if options.json:
                _watch_as_json(watcher, options.refresh_interval)
            elif console.is_terminal:
                _watch_live(watcher, options.refresh_interval, console)
            else:
                _watch_as_text(watcher, options.refresh_interval, console)
        except KeyboardInterrupt:
            return  # the way to end it


def _watch_live(watcher: Watcher, interval_s: float, console: Console) -> None:
    snapshot, trouble = Snapshot(), ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                snapshot, trouble = watcher.look(), ""
            except (ApiAwayError, ApiError) as error:
                trouble = f"{error}; trying again"
            live.update(view(snapshot, height=console.height, trouble=trouble), refresh=True)
            time.sleep(interval_s)


def _watch_as_text(watcher: Watcher, interval_s: float, console: Console) -> None:
    while True:
        try:
            console.print(view(watcher.look(), height=sys.maxsize))
            sys.stdout.flush()
        except (ApiAwayError, ApiError) as error:
            print(f"{error}; trying again", file=sys.stderr)
        time.sleep(interval_s)


def _watch_as_json(watcher: Watcher, interval_s: float) -> None:
    while True:
        try:
            _print_json(watcher.look())
        except (ApiAwayError, ApiError) as error:
            print(f"{error}; trying again", file=sys.stderr)
        time.sleep(interval_s)


def _print_json(snapshot: Snapshot) -> None:
    print(json.dumps({"time": time.time()} | snapshot.as_json()), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dacirco_rest_monitor",
        description="Show workers, jobs and nodes with their states until Ctrl-C.",
        epilog=f"The API key, where one is needed, is read from the variable {KEY_VARIABLE}.",
    )
    parser.add_argument(
        "-p", "--port", type=port_number, default=8000, help="of the Job API (%(default)s)"
    )
    parser.add_argument(
        "--rest-server", default="localhost", metavar="HOST", help="of the Job API (%(default)s)"
    )
    parser.add_argument(
        "--refresh-interval",
        type=positive_seconds,
        default=3.0,
        metavar="SECONDS",
        help="time between two looks (%(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a look (a line): jobs, workers, nodes, and counts by state",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
