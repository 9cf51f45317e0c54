"""Delivers what the store holds, again and again until it is taken or given up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from deploy.clock import Clock
from deploy.metrics import Metrics
from deploy.store.records import WebhookChange, WebhookRecord, WebhookState
from deploy.store.store import Store
from deploy.store.writer import Writer
from deploy.system.in_background import in_background
from deploy.webhooks.sender import DeliveryError, Sender

MOST_TRIES: Final = 12
"""With the pauses below about ten hours."""
FIRST_PAUSE_S: Final = 10.0
LONGEST_PAUSE_S: Final = 3600.0 * 2
TRY_S: Final = 30.0
"""The longest that one try is waited for, seconds."""
_AT_ONCE: Final = 32
_IDLE_S: Final = 60.0
_STORE_PAUSE_S: Final = 5.0
_MOST_ERROR: Final = 200

_LOGGER = logging.getLogger(__name__)


class WebhookDesk:
    """Delivers webhooks.

    Args:
        store: where they are kept; only read here.
        writer: of the store.
        sender: makes one try.
        metrics: counts.
        clock: the controller's.
        first_pause_s: after the first try that failed; doubles each time.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        sender: Sender,
        metrics: Metrics,
        clock: Clock,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._store, self._writer, self._sender = store, writer, sender
        self._metrics, self._clock, self._first_pause_s = metrics, clock, first_pause_s
        self._wake = asyncio.Event()
        # A receiver that drips its answer holds a thread for longer than it is waited for.
        self._threads = threading.BoundedSemaphore(2 * _AT_ONCE)

    def wake(self) -> None:
        """There is a new one in the store."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            self._wake.clear()
            try:
                due, next_at = await asyncio.to_thread(
                    self._store.due_webhooks, self._clock.time(), _AT_ONCE
                )
            except SQLAlchemyError as error:
                _LOGGER.warning("webhooks cannot be read: %s", type(error).__name__)
                await asyncio.sleep(_STORE_PAUSE_S)
                continue
            if due:
                await asyncio.gather(*(self._deliver(each) for each in due))
                continue
            pause = _IDLE_S
            if next_at is not None:
                pause = min(pause, max(0.0, next_at - self._clock.time()) / self._clock.speed_up)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _deliver(self, webhook: WebhookRecord) -> None:
        wrong: DeliveryError | None = None
        try:
            async with asyncio.timeout(TRY_S):
                await in_background(lambda: self._try(webhook))
        except DeliveryError as error:
            wrong = error
        except TimeoutError:
            wrong = DeliveryError(f"no answer within {TRY_S:g} s")
        except Exception as error:
            _LOGGER.exception("a webhook cannot be sent")
            wrong = DeliveryError(type(error).__name__)
        values, outcome = self._verdict(webhook, wrong)
        self._metrics.webhook(outcome)
        with contextlib.suppress(Exception):  # the writer has told why; it is tried once more
            await self._writer.write([WebhookChange(webhook.event_id, values)])

    def _try(self, webhook: WebhookRecord) -> None:
        if not self._threads.acquire(blocking=False):
            raise DeliveryError("too many receivers hold their answers back")
        try:
            self._sender.send(webhook.url, webhook.body, webhook.event_id, self._clock.time())
        finally:
            self._threads.release()

    def _verdict(
        self, webhook: WebhookRecord, wrong: DeliveryError | None
    ) -> tuple[dict[str, object], str]:
        tries = webhook.tries + 1
        if wrong is None:
            return {"tries": tries, "state": WebhookState.DELIVERED, "error": None}, "delivered"
        values: dict[str, object] = {"tries": tries, "error": str(wrong)[:_MOST_ERROR]}
        if wrong.final or tries >= MOST_TRIES:
            _LOGGER.warning(
                "the webhook of job %s is given up after %d tries: %s",
                webhook.request_id,
                tries,
                wrong,
            )
            return values | {"state": WebhookState.GIVEN_UP}, "given-up"
        pause = min(LONGEST_PAUSE_S, self._first_pause_s * 2.0 ** (tries - 1))
        # By lot, so that what failed together does not come back together.
        return values | {
            "next_at": self._clock.time() + pause * random.uniform(0.75, 1.25)
        }, "failed"
