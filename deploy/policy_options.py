"""Options of every command that starts a controller: who decides, and within which limits."""

from __future__ import annotations

import argparse

from env.command import whole_number
from env.cost import check_preference
from env.errors import DaCircoError


def add_policy_options(
    group: argparse._ActionsContainer,
    *,
    scheduler: str,
    fallback: str,
    max_attempts: int,
    most_workers: str,
) -> None:
    """Add ``--scheduler``, ``--fallback``, ``--preference``, ``--max-workers``, ``--max-attempts``.

    Args:
        group: the parser, or a group of it.
        scheduler: default.
        fallback: default.
        max_attempts: default.
        most_workers: says what holds without ``--max-workers``.
    """
    group.add_argument(
        "--scheduler",
        "--algorithm",
        default=scheduler,
        metavar="POLICY",
        help="who decides: minimize-workers, grace-period, any other rule NAME[:key=value,...] "
        "(python -m agents lists them), models/NAME or the folder of a frozen policy "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--fallback",
        default=fallback,
        metavar="RULE",
        help="the rule that decides where the scheduler fails (default: %(default)s)",
    )
    group.add_argument(
        "--preference",
        type=_preference,
        metavar="W",
        help="from 0.1, lean, to 0.9, fast; can be changed at run time with PUT /preference "
        "(default: as it was last set, at first 0.5)",
    )
    group.add_argument(
        "--max-workers",
        type=whole_number,
        metavar="N",
        help=f"most workers at once (default: {most_workers})",
    )
    group.add_argument(
        "--max-attempts",
        type=whole_number,
        default=max_attempts,
        metavar="N",
        help="workers that may fail with a job before it ends in Error; a worker that fails with "
        "every job is not counted (default: %(default)s)",
    )


def _preference(text: str) -> float:
    try:
        return check_preference(float(text))
    except (ValueError, DaCircoError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
