"""``python -m agents [NAME ...] [--json]``: list the policies and their parameters."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from agents.listing import brief, describe_policy, full
from agents.registry import policy_class, policy_names
from env.command import CommandParser, run_command

NAME: Final = "python -m agents"


def make_parser() -> CommandParser:
    """The command's options."""
    parser = CommandParser(
        prog=NAME,
        description="List the rule-based policies, or show some of them in full.",
        epilog="Use one as NAME:key=value,key=value, e.g. grace-period:max_idle_time=30, or as it "
        "was tuned for each preference, tuned:NAME",
    )
    parser.add_argument("name", nargs="*", help="show these policies in full")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the listing and return the exit code."""

    def work() -> None:
        options = make_parser().parse_args(arguments)
        kinds = [policy_class(name) for name in options.name or policy_names()]
        if options.json:
            print(json.dumps([describe_policy(kind) for kind in kinds], indent=2))
            return
        # Not a terminal: do not fold the tables at a width that nobody has.
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        for kind in kinds:
            console.print(full(kind) if options.name else brief(kind))

    return run_command(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
