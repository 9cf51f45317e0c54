"""The options by which every client of the Job API finds it."""

from __future__ import annotations

import argparse

from env.command import port_number


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add ``-t/--target`` and ``-p/--port``, the existing system's names for the Job API."""
    parser.add_argument(
        "-t", "--target", default="127.0.0.1", metavar="HOST", help="of the Job API (%(default)s)"
    )
    parser.add_argument(
        "-p", "--port", type=port_number, default=8000, help="of the Job API (%(default)s)"
    )
