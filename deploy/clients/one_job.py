"""``dacirco_client``: submits one job, and waits for its end if asked to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.clients.job_api import KEY_VARIABLE
from deploy.clients.job_client import JobClient
from deploy.clients.printable import printable
from deploy.clients.server_options import add_server_options
from deploy.clients.wait_scenario import follow
from deploy.names import VideoNameError, check_video_name
from deploy.urgency import NORMAL, PRIORITIES
from env.command import CommandParser, positive_seconds, run_command
from env.errors import DaCircoError
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS, Request

COMMAND: Final = "dacirco_client"
DEFAULT_BITRATE_KBPS: Final = 2000
DEFAULT_SPEED: Final = "fast"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, submit the job, and return the exit code."""
    return run_command(COMMAND, lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> None:
    job = Request(0.0, options.input_video, options.bitrate, options.speed)
    with JobClient(options.target, options.port) as api:
        if options.label or options.priority != NORMAL:
            job_id = api.submit_once(job, labels=dict(options.label), priority=options.priority)
        else:  # any Job API of the contract takes it
            job_id = api.submit(job)
        print(printable(job_id), flush=True)
        if not (options.wait or options.output):
            return
        state = follow(api, job_id, options.poll_interval, options.patience)
        print(printable(state))
        if state != "Completed":
            raise DaCircoError(f"job {job_id} ended in {state}")
        if options.output:
            api.download(job_id, options.output)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not NAME=VALUE")
    return name, value


def _video(text: str) -> str:
    try:
        return check_video_name(text)
    except VideoNameError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bitrate(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not MIN_BITRATE_KBPS <= number <= MAX_BITRATE_KBPS:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number from {MIN_BITRATE_KBPS} to {MAX_BITRATE_KBPS}"
        )
    return number


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=COMMAND,
        description="Submit one job to the Job API and print its id.",
        epilog=f"The API key, where one is needed, is read from the variable {KEY_VARIABLE}.",
    )
    parser.add_argument(
        "--input-video", type=_video, required=True, metavar="NAME", help="the video to transcode"
    )
    parser.add_argument(
        "--bitrate",
        type=_bitrate,
        default=DEFAULT_BITRATE_KBPS,
        metavar="KBPS",
        help=f"from {MIN_BITRATE_KBPS} to {MAX_BITRATE_KBPS} kbit/s (%(default)s)",
    )
    parser.add_argument(
        "--speed", choices=SPEEDS, default=DEFAULT_SPEED, help="preset (%(default)s)"
    )
    parser.add_argument(
        "--label",
        type=_label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="by which the job is found; give it again for more",
    )
    parser.add_argument(
        "--priority", choices=PRIORITIES, default=NORMAL, help="class (%(default)s)"
    )
    add_server_options(parser)
    parser.add_argument(
        "--wait", action="store_true", help="wait for the job's end; exit code 2 if it fails"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="wait, and fetch the result to this file"
    )
    parser.add_argument(
        "--poll-interval",
        type=positive_seconds,
        default=1.0,
        metavar="SECONDS",
        help="between two looks with --wait (%(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=positive_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long the server may be away with --wait (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
