"""``dacirco_tc_worker``: the transcoding worker as a program."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from typing import Final

from deploy.media.ffmpeg import find_ffmpeg
from deploy.storage.factory import make_storage
from deploy.worker.settings import WorkerSettings, read_settings
from env.command import run_command
from env.errors import DaCircoError

_LOG_BYTES: Final = 10_000_000
_OLD_LOGS: Final = 2

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
    if settings.log_file is not None:
        try:
            handler = logging.handlers.RotatingFileHandler(
                settings.log_file, maxBytes=_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8"
            )
        except OSError as error:
            raise DaCircoError(f"cannot write {settings.log_file}: {error.strerror}") from error
    logging.basicConfig(
        level=logging.DEBUG if settings.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=[handler],
    )
    # At DEBUG it prints the headers of requests, with their signatures.
    logging.getLogger("urllib3").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
