"""The worker's side of the contract: what it asks and tells the controller.

The controller may be restarted at any moment. A call that got no answer is made again, so the
controller may see it twice; a call that it answers with a refusal is not. A refusal names its
reason: an empty reply, as a server makes that fills in no field, is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.grpc_api.tls import ClientTls, open_channel
from deploy.worker.backoff import Backoff
from deploy.worker.task_progress import INTERVAL_S, TaskProgress, sign_of_life
from env.errors import DaCircoError

Report = pb.GrpcEvent | pb.GrpcErrorEvent

_CALL_TIMEOUT_S: Final = 10.0
_STEADY_S: Final = 5.0
"""A stream that was open for so long was a good one."""
_END_PAUSE_S: Final = 1.0
_FINAL: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)
"""Asking again would not help."""

log = logging.getLogger(__name__)


class RefusedError(DaCircoError):
    """The controller does not want this worker: it does not know it, or has given it up.

    Args:
        message: for people.
        released: it had ended the stream of tasks in good order before, so this is the end of a
            worker that was stopped.
    """

    def __init__(self, message: str, *, released: bool = False) -> None:
        super().__init__(message)
        self.released = released


class ControllerGoneError(DaCircoError):
    """The controller has not answered for too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The controller's answer to a report.

    Attributes:
        refusal: why it was refused, none if it was accepted.
        tries: how many calls it took. After the first, a refusal may only mean that an earlier
            call was accepted and its answer was lost.
    """

    refusal: str | None
    tries: int

    @property
    def refused_for_good(self) -> bool:
        """Whether this was refused, without a doubt."""
        return self.refusal is not None and self.tries == 1


class _Reply(Protocol):
    success: bool
    error_message: str


class ControllerLink:
    """One connection to the controller, opened and closed as a context.

    Args:
        target: ``HOST:PORT``.
        name: of the worker.
        worker_id: as the controller chose it.
        keepalive_interval_s: between two signs of life, seconds.
        timeout_s: how long the controller may not answer before the worker gives up, seconds.
        tls: how to check the controller; none: it speaks no TLS.
    """

    def __init__(
        self,
        target: str,
        name: str,
        worker_id: str,
        *,
        keepalive_interval_s: float,
        timeout_s: float,
        tls: ClientTls | None = None,
    ) -> None:
        self._target, self._tls = target, tls
        self._worker = pb.WorkerDesc(name=name, id=worker_id, takes_cancels=True)
        self._interval_s = keepalive_interval_s
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel
        self._stub: Any
        self._answered_at = 0.0

    async def __aenter__(self) -> ControllerLink:
        # A connection that is dead without a word is found by pings. They are rarer than our
        # signs of life: a server cuts off who pings more often than it talks.
        ping_ms = int(1000 * max(20.0, 2 * self._interval_s))
        self._channel = open_channel(
            self._target,
            self._tls,
            options=[
                ("grpc.keepalive_time_ms", ping_ms),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.min_reconnect_backoff_ms", 1000),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._stub = DaCircogRPCServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._answered_at = self._now()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def register(self) -> None:
        """Tell the controller that the worker has booted; waits until it answers.

        Raises:
            RefusedError: it does not want the worker.
            ControllerGoneError: no answer for too long.
        """
        answer = await self._persist("register", self._register)
        # A second try may find the first one done; whether we are known, the stream will show.
        if answer.refused_for_good:
            raise RefusedError(f"the controller at {self._target} refuses us: {answer.refusal}")

    async def tasks(self, doing: Callable[[], str] = lambda: "") -> AsyncIterator[pb.TCTask]:
        """The tasks for this worker; opened anew when the stream breaks.

        Args:
            doing: the task at hand, empty if there is none: the controller may want it no more.

        It ends when the controller has ended it in good order, and again when asked once more: a
        controller that is only being restarted may end its streams in good order, too.

        Raises:
            RefusedError: the controller does not know the worker (any more).
            ControllerGoneError: no answer for too long.
        """
        backoff, ended = Backoff(), False
        while True:
            opened_at = self._now()
            try:
                worker = pb.WorkerDesc()
                worker.CopyFrom(self._worker)
                worker.task_id = doing()
                async for task in self._stub.get_tasks(worker):
                    ended = False
                    self._answered()
                    yield task
                if ended:
                    return
                ended = True
                self._answered()
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    raise RefusedError(
                        f"the controller at {self._target} does not want this worker: "
                        f"{_words(error)}",
                        released=ended,
                    ) from error
                ended = False
                log.warning("no tasks from the controller: %s", _words(error))
                self._check_patience()
            if self._now() - opened_at > _STEADY_S:
                backoff.reset()
            # A controller that ends may answer a moment longer.
            await asyncio.sleep(max(backoff.pause_s(), _END_PAUSE_S if ended else 0.0))

    async def tell(self, report: Report) -> Answer:
        """Report an event or an error; waits until the controller answers.

        Raises:
            ControllerGoneError: no answer for too long.
        """
        if isinstance(report, pb.GrpcEvent):
            return await self._persist(
                "report", lambda: self._stub.submit_event(report, timeout=_CALL_TIMEOUT_S)
            )
        return await self._persist(
            "report", lambda: self._stub.submit_error(report, timeout=_CALL_TIMEOUT_S)
        )

    async def keep_alive(self, at_hand: Callable[[], TaskProgress | None] = lambda: None) -> None:
        """Send signs of life for ever, and more often while a transcode gets on.

        Args:
            at_hand: how far the task at hand is; none if nothing is being transcoded.

        Raises:
            RefusedError: the controller does not know the worker (any more).
        """
        told, next_sign = None, self._now() + self._interval_s
        while True:
            await asyncio.sleep(min(INTERVAL_S, max(0.0, next_sign - self._now())))
            progress = at_hand()
            if self._now() < next_sign and (progress is None or progress == told):
                continue
            told, next_sign = progress, self._now() + self._interval_s
            sign = sign_of_life(self._worker.id, progress)
            try:
                refusal = _refusal(await self._stub.submit_event(sign, timeout=_CALL_TIMEOUT_S))
                self._answered()
            except grpc.aio.AioRpcError as error:
                refusal = _words(error) if error.code() in _FINAL else None
                log.info("the sign of life got no answer: %s", _words(error))
            if refusal is not None:
                raise RefusedError(f"the controller at {self._target} gave us up: {refusal}")

    async def _register(self) -> _Reply:
        reply: _Reply = await self._stub.register_worker(self._worker, timeout=_CALL_TIMEOUT_S)
        return reply

    async def _persist(self, what: str, call: Callable[[], Awaitable[_Reply]]) -> Answer:
        """Make a call until it is answered."""
        backoff, tries = Backoff(), 0
        while True:
            tries += 1
            try:
                refusal = _refusal(await call())
                self._answered()
                return Answer(refusal, tries)
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    return Answer(_words(error), tries)
                log.warning("cannot %s, trying again: %s", what, _words(error))
                self._check_patience()
            await asyncio.sleep(backoff.pause_s())

    def _answered(self) -> None:
        self._answered_at = self._now()

    def _check_patience(self) -> None:
        if self._now() - self._answered_at > self._timeout_s:
            raise ControllerGoneError(
                f"the controller at {self._target} has not answered for {self._timeout_s:g} s"
            )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _refusal(reply: _Reply) -> str | None:
    return None if reply.success else (reply.error_message or None)


def _words(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {(error.details() or '')[:200]}"
