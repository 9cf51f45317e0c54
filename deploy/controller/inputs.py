"""Whether there is an input video: now, or as soon as the storage can tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from deploy.controller.storage_watch import StorageWatch
from deploy.storage.base import MisleadingLinkError, ObjectMissingError, ObjectStorage, StorageError

INPUT_FOLDER: Final = "input-videos"
_TIMEOUT_S: Final = 3.0
"""A client waits for the answer."""
_PAUSE_S: Final = 1.0

_LOGGER = logging.getLogger(__name__)


class Inputs:
    """Looks for input videos.

    Args:
        storage: where they are.
        watch: makes the calls, and knows whether it answers.
        found: called with the id of a job that was to be looked at later: its input is there.
        missing: as above, with the reason: its input is not there.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        watch: StorageWatch,
        *,
        found: Callable[[str], None],
        missing: Callable[[str, str], None],
    ) -> None:
        self._storage, self._watch = storage, watch
        self._found, self._missing = found, missing
        self._later: dict[str, str] = {}
        self._any = asyncio.Event()

    async def why_missing(self, video: str) -> str | None:
        """Why there is no such video, empty if there is one; none if nobody can tell now."""
        if self._watch.reason:
            return None
        try:
            return await self._look(video, _TIMEOUT_S)
        except StorageError as error:
            _LOGGER.warning("whether there is an input is looked for later: %s", error)
            self._watch.suspect()
            return None

    def look_later(self, job_id: str, video: str) -> None:
        """Look for the input of a job that has been accepted, when the storage answers."""
        self._later[job_id] = video
        self._any.set()

    async def run(self) -> None:
        """Look for what was to be looked for later, until cancelled."""
        while True:
            await self._any.wait()
            await self._watch.wait_until_well()
            for job_id, video in list(self._later.items()):
                try:
                    why = await self._look(video, None)
                except StorageError:
                    await self._watch.look()
                    await asyncio.sleep(_PAUSE_S)
                    break
                del self._later[job_id]
                if why:
                    self._missing(job_id, why)
                else:
                    self._found(job_id)
            if not self._later:
                self._any.clear()

    async def _look(self, video: str, timeout_s: float | None) -> str:
        def why() -> str:
            try:
                self._storage.size(f"{INPUT_FOLDER}/{video}")
            except MisleadingLinkError as error:
                return f"input video {video!r}: {error}"
            except ObjectMissingError:
                return f"there is no input video {video!r}"
            return ""

        return await self._watch.call(why, timeout_s)
