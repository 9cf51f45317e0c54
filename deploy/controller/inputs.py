"""Whether there is an input video: now, or as soon as the storage can tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from deploy.controller.storage_watch import StorageWatch
from deploy.storage.base import ObjectStorage, StorageError

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
        missing: as above: its input is not there.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        watch: StorageWatch,
        *,
        found: Callable[[str], None],
        missing: Callable[[str], None],
    ) -> None:
        self._storage, self._watch = storage, watch
        self._found, self._missing = found, missing
        self._later: dict[str, str] = {}
        self._any = asyncio.Event()

    async def there(self, video: str) -> bool | None:
        """Whether there is such a video; none if the storage does not tell at the moment."""
        if self._watch.reason:
            return None
        try:
            return await self._exists(video, _TIMEOUT_S)
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
                    there = await self._exists(video, None)
                except StorageError:
                    await self._watch.look()
                    await asyncio.sleep(_PAUSE_S)
                    break
                del self._later[job_id]
                (self._found if there else self._missing)(job_id)
            if not self._later:
                self._any.clear()

    async def _exists(self, video: str, timeout_s: float | None) -> bool:
        key = f"{INPUT_FOLDER}/{video}"
        return await self._watch.call(lambda: self._storage.exists(key), timeout_s)
