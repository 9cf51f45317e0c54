"""How long lists take, by the number of jobs that there are: ``python -m deploy.bench_lists``.

A store is filled with jobs that are done and workers that are gone; then the controller and the
Job API are started on it as programs, and asked as clients ask. All times are the wall's, at the
client; each call is made several times, and the median told.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
import requests
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, insert

from deploy.embedded.commands import CONTROLLER_MODULE, REST_MODULE
from deploy.embedded.ports import claim
from deploy.embedded.settings import LOOPBACK
from deploy.store.schema import jobs, workers
from deploy.store.store import Store
from env.command import CommandParser, run_command, whole_number
from env.errors import DaCircoError

COMMAND: Final = "python -m deploy.bench_lists"
_BATCH: Final = 20_000
_PATIENCE_S: Final = 300.0
_JOB: Final = {
    "input_video": "bbb_0.mp4",
    "output_video": "out-bbb_0.mp4",
    "bitrate": 2000,
    "speed": "fast",
    "state": "Completed",
    "attempts": 1,
    "time_received": 1.7e9,
}
_WORKER: Final = {
    "name": "tc-worker",
    "flavor": "s10.small",
    "node": "compute1",
    "cpus": 2,
    "memory": 4.0,
    "state": "Stopped",
    "time_created": 1.7e9,
}


def fill(url: str, rows: int) -> None:
    """Make a store with so many jobs, and as many workers, that have ended."""
    Store(url).close()
    engine = create_engine(url)
    for first in range(0, rows, _BATCH):
        ids = [_id(number) for number in range(first, min(rows, first + _BATCH))]
        with engine.begin() as connection:
            connection.execute(insert(jobs), [_JOB | {"request_id": each} for each in ids])
            connection.execute(insert(workers), [_WORKER | {"worker_id": each} for each in ids])
    engine.dispose()


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def measure(folder: Path, rows: int, tries: int) -> dict[str, float]:
    """Seconds of each call, and the memory of the programs afterwards in MiB.

    Args:
        folder: for the store and the logs; empty.
        rows: how many jobs and workers there are.
        tries: of each short call.

    Raises:
        DaCircoError: a program does not start.
    """
    store = f"sqlite:///{folder / 'store.db'}"
    fill(store, rows)
    ports = {name: claim(0, name, "") for name in ("grpc", "http", "rest")}
    controller = [sys.executable, "-m", CONTROLLER_MODULE, "-r", "simulated", "--store", store]
    controller += ["--port", str(ports["grpc"]), "--http-port", str(ports["http"])]
    controller += ["--event-log-file", str(folder / "events.txt")]
    rest = [sys.executable, "-m", REST_MODULE, "--port", str(ports["rest"])]
    rest += ["--grpc-server", LOOPBACK, "--grpc-port", str(ports["grpc"]), "--grpc-timeout", "300"]
    url = f"http://{LOOPBACK}:{ports['rest']}"
    with ExitStack() as stack:
        began = time.perf_counter()
        programs = [stack.enter_context(_program(each, folder)) for each in (controller, rest)]
        for program in programs:
            stack.callback(program.terminate)
        _await_ready(f"{url}/ready", programs)
        found = {"start": time.perf_counter() - began}
        middle, last = _id(rows // 2), _id(rows - 2)
        for name, query, times in (
            ("first page", "/jobs?limit=1", tries),
            ("page by key, middle", f"/jobs?limit=1&after={middle}", tries),
            ("page by key, end", f"/jobs?limit=1&after={last}", tries),
            ("page of workers, end", f"/workers?limit=1&after={last}", tries),
            ("page of 1000, end", f"/jobs?limit=1000&after={_id(max(0, rows - 1001))}", tries),
            ("page by offset, end", f"/jobs?limit=1&offset={rows - 1}", min(tries, 3)),
            ("whole list", "/jobs", 1),
        ):
            found[name] = median(_timed(lambda path=query: _read(url + path), times))  # type: ignore[misc]
        for name, program in zip(("controller", "Job API"), programs, strict=True):
            found[f"{name}, MiB"] = psutil.Process(program.pid).memory_info().rss / 2**20
    return found


def _program(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _await_ready(url: str, programs: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
        if any(program.poll() is not None for program in programs):
            break
    raise DaCircoError("the controller or the Job API does not start: see its log")


def _read(url: str) -> None:
    with requests.get(url, timeout=_PATIENCE_S, stream=True) as reply:
        reply.raise_for_status()
        for _ in reply.iter_content(2**20):
            pass


def _timed(call: Callable[[], Any], times: int) -> Iterator[float]:
    for _ in range(times):
        began = time.perf_counter()
        call()
        yield time.perf_counter() - began


def run(arguments: Sequence[str], console: Console) -> None:
    """Parse the options, measure, and print a table."""
    parser = CommandParser(prog=COMMAND, description="How long the Job API's lists take.")
    parser.add_argument(
        "--rows",
        type=whole_number,
        nargs="+",
        default=[20_000, 100_000, 2_000_000],
        metavar="N",
        help="how many jobs and workers there are (20000 100000 2000000)",
    )
    parser.add_argument(
        "--tries", type=whole_number, default=20, metavar="N", help="of each call (%(default)s)"
    )
    options = parser.parse_args(arguments)
    columns: list[dict[str, float]] = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="dacirco-lists-") as folder:
            columns.append(measure(Path(folder), rows, options.tries))
    table = Table("call", *[f"{rows} jobs" for rows in options.rows])
    for name in columns[0]:
        unit = "{:.0f} MiB" if name.endswith("MiB") else "{:.4f} s"
        table.add_row(name.removesuffix(", MiB"), *[unit.format(each[name]) for each in columns])
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(COMMAND, lambda: run(given, Console(highlight=False)))


if __name__ == "__main__":
    sys.exit(main())
