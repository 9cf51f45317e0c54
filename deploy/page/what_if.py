"""What the last hour would have cost at other settings of the dial, and under the naive rules.

The requests of the event log are served again in the simulator, in a child process: the controller
never waits for it. ``python -m deploy.page.what_if tc-events-XY.txt`` prints the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from agents.loading import DEFAULT_FALLBACK
from deploy.replay.history import read_history
from deploy.shadow_cost import LOW_PRIORITY, known_requests, simulated_costs
from deploy.system.child import json_of_child
from env.command import CommandParser, run_command
from env.errors import DaCircoError, EventLogError
from env.event_log import EventCode

COMMAND: Final = "python -m deploy.page.what_if"
HOUR_S: Final = 3600.0
DIALS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
NAIVE: Final = ("minimize-workers", "grace-period")
MOST_REQUESTS: Final = 1000
FEWEST_REQUESTS: Final = 5
KEPT_S: Final = 120.0
FAILURE_KEPT_S: Final = 10.0
"""For how long an answer is good, and that there is none, seconds."""
PATIENCE_S: Final = 180.0
_SEED: Final = 1


class WhatIf:
    """Makes the comparison at most once in a while, in a child process; one at a time.

    Args:
        log: the event log that is being written.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._answer: dict[str, Any] = {"state": "none", "why": "not asked for yet"}
        self._made = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def answer(self) -> dict[str, Any]:
        """The latest comparison at once; a new one is begun if that is old."""
        running = self._task is not None and not self._task.done()
        if not running and time.monotonic() - self._made > self._kept_s:
            self._task = asyncio.create_task(self._make(), name="what-if")
            running = True
        return {**self._answer, "running": running}

    @property
    def _kept_s(self) -> float:
        return KEPT_S if self._answer["state"] == "made" else FAILURE_KEPT_S

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _make(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._answer = await json_of_child(
                    "deploy.page.what_if", str(self._log), "--nice", str(LOW_PRIORITY)
                )
        except TimeoutError:
            self._answer = {"state": "none", "why": f"it took longer than {PATIENCE_S:.0f} s"}
        except (DaCircoError, OSError, ValueError) as error:
            self._answer = {"state": "none", "why": str(error)}
        self._made = time.monotonic()


def compare(log: Path) -> dict[str, Any]:
    """Simulate the last hour of a log at each setting, and under the naive rules.

    Returns:
        Mean delay (seconds) and reserved cores (core-hours) of each, as JSON takes them.

    Raises:
        DaCircoError: the log cannot be read, or tells of too few requests.
    """
    history = read_history(log)
    if not history.policy:
        raise EventLogError(f"{log} does not tell which policy decided")
    preference = history.preference
    for entry in history.entries:
        if entry.code is EventCode.PREFERENCE_CHANGED:
            preference = float(entry.keys["preference"])
    requests = history.requests()
    latest = requests[-1].arrival_s if requests else 0.0
    requests = [r for r in requests if r.arrival_s > latest - HOUR_S][-MOST_REQUESTS:]
    if len(requests) < FEWEST_REQUESTS:
        raise EventLogError(
            f"{len(requests)} jobs in the last hour say nothing about cost: "
            f"{FEWEST_REQUESTS} are needed"
        )
    world = history.world
    known, substituted = known_requests(requests, world.profile, world.catalog)
    fallback = history.fallback or DEFAULT_FALLBACK
    cases = [(history.policy, w) for w in DIALS] + [(name, preference) for name in NAIVE]
    rows = []
    for spec, w in cases:
        cost = simulated_costs(
            spec, fallback, known, world.profile, world.catalog, preference=w, seed=_SEED
        )
        rows.append(
            {
                "policy": spec,
                "naive": spec in NAIVE,
                "preference": w,
                "delay_s": cost.job_seconds / len(known),
                "core_hours": cost.core_seconds / 3600.0,
                "cost": cost.weighed(preference),
            }
        )
    return {
        "state": "made",
        "requests": len(known),
        "substituted": substituted,
        "preference": preference,
        "time": time.time(),
        "rows": rows,
    }


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Tell as JSON what the last hour of an event log would have cost at other "
        "settings of the dial and under the naive algorithms.",
    )
    parser.add_argument("log", type=Path, metavar="FILE", help="tc-events-XY.txt")
    parser.add_argument(
        "--nice", type=int, default=0, metavar="N", help="give way to other programs (%(default)s)"
    )
    return parser


def _run(arguments: Sequence[str]) -> None:
    options = make_parser().parse_args(arguments)
    if options.nice > 0:
        os.nice(min(options.nice, 19))
    print(json.dumps(compare(options.log)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.ERROR)
    return run_command(COMMAND, lambda: _run(given))


if __name__ == "__main__":
    sys.exit(main())
