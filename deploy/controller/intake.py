"""How jobs come in: newly submitted ones, and ended ones that are asked for again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from deploy.controller.admission import Admission, RejectedError
from deploy.controller.conductor import Conductor
from deploy.controller.inputs import Inputs
from deploy.controller.journal import NO_ATTEMPT, Keys, Line
from deploy.controller.wishes import Wishes
from deploy.estimates import Estimates
from deploy.store.records import Change, JobChange, JobRecord, JobState, LabelRecord
from deploy.store.store import Store
from deploy.store.writer import StoreUnavailableError, Writer
from deploy.tasks import Estimate
from deploy.text import clean
from deploy.urgency import urgency, urgency_keys
from deploy.webhooks.sender import Sender
from deploy.webhooks.target import TargetError
from env.event_log import EventCode
from env.jobs import PLAIN, SPEEDS, Request, Urgency

_MOST_NAME: Final = 300
_MOST_SPEED: Final = 20
"""Of a request that cannot be done, as it is stored, characters."""
RETRIABLE: Final = (JobState.ERROR, JobState.CANCELLED)


_PLAIN: Final = Wishes()


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was taken in, or one that had been before with the same idempotency key."""

    job_id: str
    known_before: bool = False


class Intake:
    """Takes jobs in: what it has accepted is durable.

    Args:
        conductor: leads events through.
        store: only read here.
        writer: for what must be durable before an event.
        estimates: what jobs are expected to take.
        admission: whether a request can be done.
        inputs: looks for videos later, where nobody can tell now.

    Attributes:
        webhooks: sends them; none: no job may have one.
    """

    def __init__(
        self,
        conductor: Conductor,
        store: Store,
        writer: Writer,
        estimates: Estimates,
        admission: Admission,
        inputs: Inputs | None,
    ) -> None:
        self._conductor, self._store, self._writer = conductor, store, writer
        self._estimates, self._admission, self._inputs = estimates, admission, inputs
        self.webhooks: Sender | None = None
        self._retrying: set[str] = set()
        self._keys: dict[str, asyncio.Task[Taken]] = {}  # under way, by the key's hash

    async def submit_once(
        self, video: str, output: str, bitrate: int, speed: str, wishes: Wishes
    ) -> Taken:
        """Accept a job with wishes; with an idempotency key only the first time.

        Raises:
            RejectedError: it is not accepted.
        """
        wishes.check(self._conductor.clock.time())
        self._check_webhook(wishes.webhook)
        key = wishes.key_hash
        if key is None:
            return Taken(await self.submit(video, output, bitrate, speed, wishes=wishes))
        while key in self._keys:  # the same client, which has not got an answer
            await asyncio.wait([self._keys[key]])
        task = asyncio.create_task(self._submit_with_key(video, output, bitrate, speed, wishes))
        self._keys[key] = task
        task.add_done_callback(lambda done: self._key_done(key, done))
        return await asyncio.shield(task)

    def _check_webhook(self, url: str) -> None:
        if not url:
            return
        if self.webhooks is None:
            raise RejectedError(
                "invalid",
                "this controller sends no webhooks: its operator gives --webhook-secret-file",
            )
        try:
            self.webhooks.check(url)
        except TargetError as error:
            raise RejectedError("invalid", str(error)) from None

    def _key_done(self, key: str, task: asyncio.Task[Taken]) -> None:
        del self._keys[key]
        if not task.cancelled():
            task.exception()  # it may be that nobody is left to see it

    async def _submit_with_key(
        self, video: str, output: str, bitrate: int, speed: str, wishes: Wishes
    ) -> Taken:
        known = await asyncio.to_thread(self._store.job_of_key, wishes.key_hash or "")
        if known is None:
            return Taken(await self.submit(video, output, bitrate, speed, wishes=wishes))
        if known.fingerprint != wishes.fingerprint(video, output, bitrate, speed):
            raise RejectedError(
                "invalid",
                f"this Idempotency-Key was used for another request, which is job "
                f"{known.request_id}: give each request its own",
            )
        return Taken(known.request_id, known_before=True)

    async def submit(
        self,
        video: str,
        output: str,
        bitrate: int,
        speed: str,
        *,
        strict: bool = True,
        wishes: Wishes = _PLAIN,
    ) -> str:
        """Accept a job; see `Service.submit`."""
        received = self._conductor.clock.time()
        try:
            looked_for = await self._admission.look(video, output, bitrate, speed)
        except RejectedError as error:
            if strict:
                raise
            refused = JobRecord(
                request_id=str(uuid.uuid4()),
                input_video=clean(video, _MOST_NAME),
                output_video=clean(output, _MOST_NAME),
                bitrate=bitrate,
                speed=clean(speed, _MOST_SPEED),
                time_received=received,
                state=JobState.ERROR,
                error_message=str(error),
                time_ended=received,
            )
            return await asyncio.shield(self._store_refused(refused))
        key = wishes.key_hash
        record = JobRecord(
            *(str(uuid.uuid4()), video, output, bitrate, speed, received),
            idempotency_key=key,
            fingerprint=wishes.fingerprint(video, output, bitrate, speed) if key else None,
            priority=wishes.priority,
            deadline=wishes.deadline,
            webhook=wishes.webhook or None,
        )
        with self._admission.place():
            # A client that goes away while the job is written must not leave it in limbo.
            return await asyncio.shield(self._accept(record, wishes, looked_for=looked_for))

    async def retry(self, job_id: str) -> None:
        """Let a job that has failed or was cancelled be done all the same, under its id.

        Raises:
            RejectedError: there is no such job, it has not ended so, or it cannot be done.
        """
        record = await asyncio.to_thread(self._store.job, job_id)
        if record is None:
            raise RejectedError("not-found", "there is no such job")
        # What has just ended is still being told of for a moment.
        under_way = job_id in self._retrying or job_id in self._conductor.jobs
        if record.state not in RETRIABLE or under_way:
            state = "being looked at: try again" if under_way else record.state.lower()
            raise RejectedError(
                "conflict", f"only a job that has failed or was cancelled is retried; it is {state}"
            )
        self._retrying.add(job_id)
        try:
            looked_for = await self._admission.look(
                record.input_video, record.output_video, record.bitrate, record.speed
            )
            with self._admission.place():
                await asyncio.shield(self._accept_again(record, looked_for=looked_for))
        finally:
            self._retrying.discard(job_id)

    async def _accept(self, record: JobRecord, wishes: Wishes, *, looked_for: bool) -> str:
        labels = wishes.labels.items()
        await self._write(
            [record, *(LabelRecord(record.request_id, name, value) for name, value in labels)]
        )
        self._conductor.metrics.submitted()
        self._enter(record, looked_for, (EventCode.REQUEST_RECEIVED, _asked(record)))
        return record.request_id

    async def _accept_again(self, record: JobRecord, *, looked_for: bool) -> None:
        now = self._conductor.clock.time()
        values: dict[str, Any] = NO_ATTEMPT | {
            "state": JobState.WAITING,
            "error_message": None,
            "time_ended": None,
            "time_retried": now,
        }
        await self._write([JobChange(record.request_id, values)])
        self._conductor.metrics.retried()
        keys = _asked(record) | {"attempts": record.attempts}
        self._enter(replace(record, **values), looked_for, (EventCode.JOB_RETRIED, keys))

    def _enter(self, record: JobRecord, looked_for: bool, line: Line) -> None:
        """Let a job that is in the store wait for a worker."""
        conductor, job_id = self._conductor, record.request_id
        conductor.jobs[job_id] = record
        speed = next(speed for speed in SPEEDS if speed == record.speed)
        request = Request(conductor.now, record.input_video, record.bitrate, speed)
        estimate = self._estimates.of(record.input_video, record.bitrate, speed)
        urgent = urgency_of(record, estimate, conductor.start)
        conductor.handle(
            lambda now: conductor.scheduler.submit(
                *(now, job_id, request, estimate),
                held=not looked_for,
                attempts=record.attempts,
                urgency=urgent,
            ),
            lines=[*urgency_lines(record, urgent), line],
        )
        if not looked_for and self._inputs is not None:
            self._inputs.look_later(job_id, record.input_video)

    async def _store_refused(self, record: JobRecord) -> str:
        await self._write([record])
        self._conductor.metrics.submitted()
        self._conductor.metrics.stored_as_error()
        why: Keys = {
            "request_id": record.request_id,
            "attempts": 0,
            "reason": record.error_message or "",
            "refused": "true",
        }
        received = (EventCode.REQUEST_RECEIVED, _asked(record))
        self._conductor.note(received, (EventCode.REQUEST_FAILED, why))
        return record.request_id

    async def _write(self, changes: Sequence[Change]) -> None:
        try:
            await self._writer.write(changes, may_fail=True)
        except StoreUnavailableError:
            raise RejectedError("storage", "the controller cannot store jobs now") from None


def urgency_of(record: JobRecord, estimate: Estimate, start: float) -> Urgency:
    """What dispatch is told of a job; `start` of this life, seconds since the epoch."""
    deadline = None if record.deadline is None else record.deadline - start
    return urgency(record.priority, deadline, estimate.service_s[0])


def urgency_lines(record: JobRecord, urgent: Urgency) -> list[Line]:
    """What the event log tells of it, before it tells of the job; nothing of most jobs."""
    if urgent == PLAIN:
        return []
    keys: Keys = {
        "request_id": record.request_id,
        "priority": record.priority,
        "deadline": "" if record.deadline is None else repr(record.deadline),
        **urgency_keys(urgent),
    }
    return [(EventCode.JOB_URGENCY, keys)]


def _asked(record: JobRecord) -> Keys:
    return {
        "request_id": record.request_id,
        "input_video": record.input_video,
        "bitrate": record.bitrate,
        "speed": record.speed,
    }
