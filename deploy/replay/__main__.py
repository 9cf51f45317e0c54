"""Replay an event log with any policy: ``python -m deploy.replay tc-events-XY.txt``."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from agents.loading import DEFAULT_FALLBACK
from deploy.replay.compare import Comparison, Report, Verdict, replay
from deploy.replay.history import History, read_history
from env.command import CommandParser, run_command, whole_number
from env.errors import DaCircoError, PolicyError
from env.labels import clock, describe_preference

COMMAND: Final = "python -m deploy.replay"
_SHOWN: Final = 20


class NotExactError(DaCircoError):
    """With --verify: the log is not reproduced."""


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Rebuild the cluster event by event from a controller's event log, ask a "
        "policy at each decision that was recorded, and show where it decides otherwise.",
        epilog="Logs of the existing system hold no decisions: of those only spawns and stops "
        "are compared.",
    )
    parser.add_argument("log", type=Path, metavar="FILE", help="tc-events-XY.txt")
    parser.add_argument(
        "--policy",
        metavar="SPEC",
        help="NAME[:key=value,...], models/NAME or a folder (default: the one that decided)",
    )
    parser.add_argument(
        "--fallback",
        metavar="SPEC",
        help="the rule that decides where the policy fails (default: as recorded, else "
        f"{DEFAULT_FALLBACK})",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME_OR_PATH",
        help="rebuild with this data centre instead of the one that the log describes",
    )
    parser.add_argument(
        "--preference",
        type=float,
        metavar="W",
        help="ask at this preference, 0.1 lean to 0.9 fast, instead of the recorded one",
    )
    parser.add_argument(
        "--limit",
        type=whole_number,
        default=_SHOWN,
        metavar="N",
        help="show at most N decisions that differ (default: %(default)s); --json has all",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="exit with code 2 unless every state, decision, source and reason is as recorded",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: Sequence[str], console: Console) -> None:
    """The command.

    Raises:
        DaCircoError: bad input, or with ``--verify`` a log that is not reproduced.
    """
    options = make_parser().parse_args(arguments)
    history = read_history(options.log, profile=options.profile, preference=options.preference)
    policy = options.policy or history.policy
    if not policy:
        raise PolicyError(f"{options.log} does not tell which policy decided: give --policy")
    report = replay(history, policy, options.fallback or history.fallback or DEFAULT_FALLBACK)
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        _print(report, history, console, options.limit)
    if options.verify and not report.exact:
        raise NotExactError(f"{options.log} is not reproduced by {policy}")


def _print(report: Report, history: History, console: Console, limit: int) -> None:
    for line in (*report.warnings, *report.doubts):
        console.print(f"note: {line}", markup=False, style="yellow")
    decisions, differing = report.total, report.differing
    rebuilt, wrong, unknown = report.states()
    console.print(
        f"{history.path}: {decisions} decisions, replayed with {report.policy}", markup=False
    )
    if report.folded:
        console.print(
            f"{report.folded} of them stand in lines that tell of several: decisions to keep that "
            "the clock asked for; each was rebuilt and asked again"
        )
    console.print(
        f"states rebuilt exactly: {rebuilt}; not: {wrong}; without a recorded hash: {unknown}"
    )
    if decisions:
        same = decisions - sum(c.times for c in differing)
        console.print(f"decided the same: {same} of {decisions} ({same / decisions:.1%})")
    if report.exact:
        console.print("the log is reproduced exactly", style="green")
    for skipped in report.skipped[:limit]:
        console.print(
            f"line {skipped.line} ({skipped.code}) not taken in: {skipped.why}", markup=False
        )
    if differing:
        console.print(_counts(report))
        console.print(_differences(differing[:limit], history))
        if len(differing) > limit:
            console.print(f"... and {len(differing) - limit} more (--limit, --json)")


def _counts(report: Report) -> Table:
    table = Table("recorded", "replayed", "decisions", title="actions")
    table.columns[2].justify = "right"
    for (recorded, replayed), count in report.by_action().most_common():
        table.add_row(recorded, replayed, str(count))
    return table


def _differences(differing: Sequence[Comparison], history: History) -> Table:
    names = "/".join(flavor.name for flavor in history.world.profile.cluster.flavors)
    table = Table("line", "time", "state", "recorded", "replayed", title="decided otherwise")
    table.caption = f"workers by flavor: {names}"
    for c in differing:
        s = c.state
        state = f"{s.waiting} waiting"
        if s.waiting:
            state += f" (for {s.oldest_wait_s:.0f} s)"
        for what, counts in (("booting", s.booting), ("idle", s.idle), ("busy", s.busy)):
            if any(counts):
                state += f", {what} {'/'.join(map(str, counts))}"
        if s.draining:
            state += f", {s.draining} draining"
        state += f", {describe_preference(s.preference)}"
        if c.times > 1:
            state += f", and at {c.times - 1} ticks after it"
        table.add_row(
            str(c.line), clock(s.at), state, _explained(c.recorded), _explained(c.replayed)
        )
    return table


def _explained(verdict: Verdict) -> str:
    why = ", ".join(part for part in (verdict.source, verdict.reason) if part)
    text = f"{verdict.action} ({why})" if why else verdict.action
    return f"{text}: {verdict.detail}" if verdict.detail else text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.ERROR)  # warnings are part of what is printed
    return run_command(COMMAND, lambda: run(given, Console(highlight=False)))


if __name__ == "__main__":
    sys.exit(main())
