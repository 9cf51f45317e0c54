"""Where the result of a job is, and what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from deploy.controller.admission import RejectedError
from deploy.controller.results import OUTPUT_FOLDER, Results
from deploy.names import result_key
from deploy.storage.base import ObjectMissingError, StorageError, StoredObject
from deploy.store.records import JobRecord, JobState

PART_BYTES: Final = 256 * 1024
URL_VALID_S: Final = 900
"""How long an address that a client is given leads to the result, seconds."""


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """A result.

    Attributes:
        name: under which to save it.
        size: bytes.
        etag: another one where the content is another.
        modified: when it was stored, seconds since the epoch.
        url: where the storage itself gives it away for a while; empty: nowhere.
    """

    name: str
    size: int
    etag: str
    modified: float
    url: str


class ResultDesk:
    """Finds and reads results.

    Args:
        results: where they are; none if there are none (simulated workers).
    """

    def __init__(self, results: Results | None) -> None:
        self._results = results

    async def find(self, record: JobRecord, state: JobState) -> ResultPlace:
        """Where the result of a job is.

        Raises:
            RejectedError: it has none (yet), or nobody can tell now.
        """
        results = self._have(state)
        key, found = await self._look(results, record)
        try:
            url = await results.signed_url(key, record.output_video, URL_VALID_S)
        except StorageError as error:
            raise RejectedError("storage", f"the storage gives no address: {error}") from None
        etag = f"{record.request_id}-{found.size:x}-{int(found.modified * 1e6):x}"
        return ResultPlace(record.output_video, found.size, etag, found.modified, url)

    async def read(
        self, record: JobRecord, state: JobState, first: int, length: int
    ) -> AsyncIterator[bytes]:
        """A part of the result of a job, in pieces.

        Raises:
            RejectedError: see `find`; or it has become another one meanwhile.
        """
        results = self._have(state)
        key, found = await self._look(results, record)
        place, end = max(0, first), min(found.size, max(0, first) + max(0, length))
        while place < end:
            try:
                part = await results.read(key, place, min(PART_BYTES, end - place))
            except ObjectMissingError:
                part = b""
            except StorageError as error:
                raise RejectedError("storage", f"the result cannot be read: {error}") from None
            if not part:
                raise RejectedError("storage", "the result has changed while it was read")
            place += len(part)
            yield part

    def _have(self, state: JobState) -> Results:
        if state is not JobState.COMPLETED:
            raise RejectedError("conflict", f"the job has no result: it is {state.lower()}")
        if self._results is None:
            raise RejectedError("not-found", "simulated workers make no results")
        return self._results

    async def _look(self, results: Results, record: JobRecord) -> tuple[str, StoredObject]:
        """The job's own result; of a job from before these were kept, the video's latest."""
        own = result_key(record.request_id, record.output_video)
        for key in (own, f"{OUTPUT_FOLDER}/{record.output_video}"):
            try:
                return key, await results.place(key)
            except ObjectMissingError:
                continue
            except StorageError as error:
                raise RejectedError("storage", f"the storage does not answer: {error}") from None
        raise RejectedError("not-found", "the result is not in the storage any more")
