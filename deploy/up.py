"""The whole service on this machine: ``python -m deploy.up``, and Ctrl-C to end it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.clips import StoppedError, render_missing
from deploy.embedded.service import EmbeddedService
from deploy.embedded.settings import EmbeddedSettings
from deploy.managers.confinement import choose_confinement
from deploy.policy_options import add_policy_options
from env.catalog import load_catalog
from env.command import CommandParser, port_number, positive_seconds, run_command, whole_number
from env.config import load_profile


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, run the service until it is stopped, and return the exit code."""
    return run_command("deploy.up", lambda: run(settings(argv)))


def run(chosen: EmbeddedSettings) -> None:
    """Start everything, keep it running until SIGINT, SIGTERM or SIGHUP, end everything.

    Raises:
        DaCircoError: it cannot be started.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup the end of the terminal is not meant to end the service.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    load_profile(chosen.profile)
    catalog = load_catalog(chosen.catalog)
    service = EmbeddedService(chosen, _say)
    try:
        render_missing(catalog, service.data.storage_url, stop.is_set)
        service.start(stop.is_set)
        if not stop.is_set():
            _greet(service)
            service.keep_running(stop.is_set)
    except StoppedError:
        pass
    finally:
        _say("stopping")
        service.stop()
    _say(f"stopped; start it again with the same folder {service.data.path} to go on")


def settings(argv: Sequence[str] | None = None) -> EmbeddedSettings:
    """The settings that a command line asks for.

    Raises:
        UsageError: it is wrong.
    """
    options = vars(_parser().parse_args(argv))
    return EmbeddedSettings(**options)


def _say(text: str) -> None:
    # A full disk or a reader that has gone does not end a service that works.
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _greet(service: EmbeddedService) -> None:
    chosen = service.settings
    _say(f"Job API       {service.rest_url}  (documentation: {service.rest_url}/docs)")
    _say(f"controller    {service.controller_url}/metrics, /health, /preference")
    _say(f"scheduler     {chosen.scheduler}, fallback {chosen.fallback}")
    _say(f"workers       {choose_confinement(f'look-{os.getpid()}').description}")
    _say(f"data and logs {service.data.path}")
    _say(f"try it:       dacirco_scenario -n 10 --port {chosen.rest_port}")
    _say(f"watch it:     dacirco_rest_monitor --port {chosen.rest_port}")
    _say("Ctrl-C ends it all")


def _parser() -> argparse.ArgumentParser:
    given = EmbeddedSettings(data=Path("dacirco-data"))
    parser = CommandParser(
        prog="python -m deploy.up",
        description="Run the whole transcoding service on this machine: controller with the "
        "learned policy, Job API, workers as confined processes, videos in a folder. Ctrl-C ends "
        "all of it; the next start in the same folder goes on with the jobs that had not ended.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=given.data,
        metavar="FOLDER",
        help="for videos, jobs, event logs and logs (%(default)s)",
    )
    for name, value, what in (
        ("rest", given.rest_port, "the Job API"),
        ("grpc", given.grpc_port, "the controller, which workers call"),
        ("http", given.http_port, "the controller's metrics, health and preference"),
    ):
        parser.add_argument(
            f"--{name}-port",
            type=port_number,
            default=value,
            metavar="PORT",
            help=f"of {what}; 0 takes a free one (%(default)s)",
        )
    add_policy_options(
        parser,
        scheduler=given.scheduler,
        fallback=given.fallback,
        max_attempts=given.max_attempts,
        most_workers="as many as fit",
    )
    parser.add_argument(
        "--catalog",
        default=given.catalog,
        metavar="NAME|FILE",
        help="movies that are rendered at the first start: a shipped catalog or a CSV file "
        "(%(default)s)",
    )
    parser.add_argument(
        "--profile",
        default=given.profile,
        metavar="NAME|FILE",
        help="how long boots and jobs are expected to take (%(default)s)",
    )
    parser.add_argument(
        "--cores",
        type=whole_number,
        metavar="N",
        help="cores of this machine to offer; by default all that may be used",
    )
    parser.add_argument(
        "--boot-delay",
        dest="boot_delay_s",
        type=positive_seconds,
        default=given.boot_delay_s,
        metavar="SECONDS",
        help="start workers this much later, to imitate the boot of a VM (%(default)s)",
    )
    parser.add_argument(
        "--most-restarts",
        type=whole_number,
        default=given.most_restarts,
        metavar="N",
        help="a program that dies more often within a minute is started again after growing "
        "pauses, up to 15 s; the rest goes on (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
