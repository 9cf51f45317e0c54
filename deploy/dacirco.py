"""``dacirco``: one command for the programs of the service, each a subcommand.

A subcommand's module is imported when it is asked for: ``dacirco --help`` loads none of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from env.command import CommandParser, run_command

COMMAND: Final = "dacirco"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a subcommand starts.

    Attributes:
        module: that has its ``main``, which takes the arguments and returns the exit code.
        help: what it does, in a line.
    """

    module: str
    help: str


PROGRAMS: Final = {
    "up": Program("deploy.up", "run the whole service on this machine"),
    "controller": Program("deploy.controller.command", "schedule jobs on workers"),
    "api": Program("deploy.rest.command", "serve the Job API"),
    "worker": Program("deploy.worker.command", "transcode for a controller"),
    "submit": Program("deploy.clients.one_job", "submit one job; wait for it, fetch its result"),
    "monitor": Program("deploy.clients.monitor", "show workers, jobs and nodes"),
    "replay": Program("deploy.replay.__main__", "explain the decisions of an event log"),
    "logs": Program("deploy.analysis.process_logs", "make tables of event logs"),
    "node-stats": Program("deploy.analysis.node_stats", "add the nodes' load to a run's tables"),
    "generate-scenario": Program("deploy.clients.generate_scenario", "draw a scenario of jobs"),
    "scenario": Program("deploy.clients.scenario", "submit a scenario's jobs at their times"),
    "wait-scenario": Program("deploy.clients.wait_scenario", "submit jobs one after the other"),
}
"""The subcommands by name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Start the program that the first argument names; return its exit code."""
    chosen: list[argparse.Namespace] = []
    code = run_command(COMMAND, lambda: chosen.append(_parser().parse_args(argv)))
    if not chosen:
        return code
    program: Callable[[Sequence[str]], int] = import_module(PROGRAMS[chosen[0].program].module).main
    return program(chosen[0].arguments)


def _parser() -> CommandParser:
    width = max(map(len, PROGRAMS))
    parser = CommandParser(
        prog=COMMAND,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run a program of the transcoding service.",
        epilog="programs (dacirco PROGRAM --help tells more):\n"
        + "\n".join(f"  {name:{width}}  {program.help}" for name, program in PROGRAMS.items()),
    )
    parser.add_argument("program", choices=PROGRAMS, metavar="PROGRAM", help="one of those below")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="the program's own options"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
