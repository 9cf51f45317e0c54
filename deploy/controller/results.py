"""A result is what it claims to be: it is looked for in the storage before its job is Completed.

Our workers put a result under the job's own key and tell its size and checksum. Workers of the
existing system tell nothing, and write to one name for all jobs of a video: whether what is there
is new is seen by what was there when they were sent the task. It is copied to the job's own key.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from typing import Final

from deploy.controller.storage_watch import StorageWatch
from deploy.names import result_key
from deploy.storage.base import (
    ObjectMissingError,
    ObjectStorage,
    StorageError,
    StorageKeyError,
    StoredObject,
)
from deploy.store.records import JobRecord

OUTPUT_FOLDER: Final = "output-videos"
LEAST_BYTES: Final = 64
"""A file with less in it holds no picture; only asked of workers that tell no size."""
CLOCK_SKEW_S: Final = 300.0
"""How far the storage's clock may be behind ours, where nothing else tells old from new."""

_TRIES: Final = 3
_MOST_REMEMBERED: Final = 10_000
_CLIENT_TIMEOUT_S: Final = 8.0
"""A client waits for the answer."""
_READ_TIMEOUT_S: Final = 600.0
"""A folder reads the whole file for its checksum."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker tells of its result; nothing, if it is one of the existing system."""

    size: int = 0
    sha256: str = ""


class Unknown(Enum):
    """What was there before is not known."""

    UNKNOWN = 0


class Results:
    """Looks for results.

    Args:
        storage: where they are.
        watch: makes the calls, and knows whether it answers.
    """

    def __init__(self, storage: ObjectStorage, watch: StorageWatch) -> None:
        self._storage, self._watch = storage, watch
        self._before: dict[str, asyncio.Task[StoredObject | Unknown | None]] = {}  # by task
        self._outputs: dict[str, str] = {}  # of each task: the name that jobs of a video share
        self._overtaken: set[str] = set()  # tasks whose shared name another job has written to

    def remember(self, task_id: str, job: JobRecord) -> None:
        """A worker is sent a task: note, in the background, what is under the old name now."""
        while len(self._before) >= _MOST_REMEMBERED:  # of workers that were lost meanwhile
            self.forget(next(iter(self._before)))
        self._before[task_id] = asyncio.create_task(self._look_before(job))
        self._outputs[task_id] = job.output_video

    def forget(self, task_id: str) -> None:
        """A task has ended."""
        look = self._before.pop(task_id, None)
        self._outputs.pop(task_id, None)
        self._overtaken.discard(task_id)
        if look is not None:
            look.cancel()

    async def _look_before(self, job: JobRecord) -> StoredObject | Unknown | None:
        key = f"{OUTPUT_FOLDER}/{job.output_video}"
        try:
            return await self._watch.call(lambda: self._storage.stat(key))
        except ObjectMissingError:
            return None
        except StorageError as error:
            _LOGGER.warning(
                "the result of job %s cannot be compared later: %s", job.request_id, error
            )
            return Unknown.UNKNOWN

    async def fault(self, task_id: str, job: JobRecord, told: Told, assigned: float) -> str:
        """What is wrong with a result that a worker says it has uploaded; empty if nothing is.

        While the storage does not answer this waits.

        Args:
            task_id: the attempt.
            job: of which it is.
            told: by the worker.
            assigned: when the worker was given the task, seconds since the epoch.
        """
        tries = 0
        while True:
            try:
                wrong = await self._look(task_id, job, told, assigned)
                if not wrong:
                    self._overtake(task_id, job.output_video)
                return wrong
            except StorageError as error:
                reason = str(error)
            if await self._watch.look():
                await self._watch.wait_until_well()
                continue
            tries += 1
            if tries == _TRIES:
                return f"its result cannot be looked at: {reason}"

    def _overtake(self, task_id: str, output: str) -> None:
        self._overtaken |= {
            other for other, its in self._outputs.items() if its == output and other != task_id
        }

    async def discard(self, task_id: str, job: JobRecord, *, with_latest: bool) -> None:
        """Remove what a cancelled task may have put into the storage.

        Args:
            task_id: the attempt.
            job: of which it is.
            with_latest: also what is under the name that all jobs of a video share, if nothing
                was there when the task was sent: nobody else has put it there.

        Raises:
            StorageError: it cannot be removed.
        """
        keys = [result_key(job.request_id, job.output_video)]
        look = self._before.get(task_id)
        alone = with_latest and task_id not in self._overtaken
        if alone and look is not None and await asyncio.shield(look) is None:
            keys.append(f"{OUTPUT_FOLDER}/{job.output_video}")

        def remove() -> None:
            for key in keys:
                self._storage.delete(key)

        await self._watch.call(remove, _READ_TIMEOUT_S)

    async def place(self, key: str) -> StoredObject:
        """Size and age of an object, without its checksum.

        Raises:
            ObjectMissingError: there is none.
            StorageError: nobody can tell.
        """
        return await self._watch.call(lambda: self._storage.place(key), _CLIENT_TIMEOUT_S)

    async def read(self, key: str, first: int, length: int) -> bytes:
        """A part of an object; see `ObjectStorage.read`."""
        return await self._watch.call(
            lambda: self._storage.read(key, first, length), _READ_TIMEOUT_S
        )

    async def signed_url(self, key: str, name: str, valid_s: int) -> str:
        """Where a client may fetch an object itself; see `ObjectStorage.signed_url`."""
        return await self._watch.call(
            lambda: self._storage.signed_url(key, name, valid_s), _CLIENT_TIMEOUT_S
        )

    async def has_place(self, job: JobRecord) -> bool:
        """Whether a result of the job could be stored, as far as it depends on its names."""
        keys = result_key(job.request_id, job.output_video), f"{OUTPUT_FOLDER}/{job.output_video}"

        def check() -> None:
            for key in keys:
                self._storage.check_place(key)

        try:
            await self._watch.call(check, _READ_TIMEOUT_S)
        except StorageKeyError:
            return False
        except StorageError:  # nobody can tell now
            pass
        return True

    async def _look(self, task_id: str, job: JobRecord, told: Told, assigned: float) -> str:
        own, shared = (
            result_key(job.request_id, job.output_video),
            f"{OUTPUT_FOLDER}/{job.output_video}",
        )
        if told.size:
            found = await self._stat(own)
            if found is not None:
                return _difference(found, told)
        found = await self._stat(shared)
        if found is None:
            return f"there is no {own if told.size else shared} in the storage"
        if told.size:
            wrong = _difference(found, told)
        else:
            wrong = await self._is_old(task_id, found, assigned)
        if not wrong:
            await self._keep(shared, own)
        return wrong

    async def _stat(self, key: str) -> StoredObject | None:
        try:
            return await self._watch.call(lambda: self._storage.stat(key), _READ_TIMEOUT_S)
        except ObjectMissingError:
            return None

    async def _is_old(self, task_id: str, found: StoredObject, assigned: float) -> str:
        if found.size < LEAST_BYTES:
            return f"its result has only {found.size} bytes"
        look = self._before.get(task_id)
        before = Unknown.UNKNOWN if look is None else await asyncio.shield(look)
        if before is not Unknown.UNKNOWN:
            return "its result is the one that was there before" if found == before else ""
        return (
            "its result is older than the task" if found.modified < assigned - CLOCK_SKEW_S else ""
        )

    async def _keep(self, shared: str, own: str) -> None:
        """Copy a result to its job's own key; that the old name has it is enough for the job."""
        try:
            await self._watch.call(lambda: self._storage.copy(shared, own), _READ_TIMEOUT_S)
        except ObjectMissingError:
            raise
        except StorageError as error:
            if await self._watch.look():
                raise
            _LOGGER.warning("%s cannot be copied to %s: %s", shared, own, error)


def _difference(found: StoredObject, told: Told) -> str:
    if found.size != told.size:
        return f"its result has {found.size} bytes in the storage, not {told.size}"
    if told.sha256 and found.sha256 and found.sha256.lower() != told.sha256.lower():
        return "its result has another checksum in the storage than the worker told"
    return ""
