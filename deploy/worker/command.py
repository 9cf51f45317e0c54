"""``dacirco_tc_worker``: the transcoding worker as a program."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from deploy.log_file import log_handler, quiet_libraries
from deploy.media.ffmpeg import find_ffmpeg
from deploy.storage.factory import make_storage
from deploy.worker.settings import WorkerSettings, read_settings
from env.command import run_command
from env.errors import DaCircoError

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, work until told to stop, and return the exit code."""
    return run_command("dacirco_tc_worker", lambda: _run(read_settings(argv, os.environ)))


def _run(settings: WorkerSettings) -> None:
    # Takes long to import, and an error in the options is to be told at once.
    from deploy.worker.worker import Worker

    _log_to(settings)
    storage = make_storage(
        settings.storage_url, access_key=settings.access_key, secret_key=settings.secret_key
    )
    for warning in settings.warnings:
        log.warning("%s", warning)
    log.info("ffmpeg: %s, %d threads; storage: %s", find_ffmpeg(), settings.cpus, storage.url)

    async def work() -> None:
        await Worker(settings, storage).run()

    try:
        asyncio.run(work())
    except DaCircoError as error:
        log.error("%s", error)
        raise


def _log_to(settings: WorkerSettings) -> None:
    handler: logging.Handler = logging.StreamHandler()
    wrong = ""
    try:
        handler = log_handler(settings.log_file)
    except DaCircoError as error:
        # Controllers name a file of the image's user, whom other images do not have.
        wrong = f"{error}; the log goes here"
    logging.basicConfig(
        level=logging.DEBUG if settings.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=[handler],
    )
    if wrong:
        log.warning("%s", wrong)
    quiet_libraries()


if __name__ == "__main__":
    sys.exit(main())
