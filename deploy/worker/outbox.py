"""Reports to the controller, sent in order, each until it is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deploy.worker.controller_link import Answer, ControllerLink, Report

log = logging.getLogger(__name__)


class Outbox:
    """Reports wait here while the controller is away; the work goes on meanwhile.

    Args:
        link: the way to the controller.
        refused: told of each report that the controller refused for good.
    """

    def __init__(self, link: ControllerLink, refused: Callable[[Report, str], None]) -> None:
        self._link = link
        self._refused = refused
        self._queue: asyncio.Queue[tuple[Report, bool, asyncio.Future[Answer]]] = asyncio.Queue()

    def post(self, report: Report, *, again: bool = False) -> asyncio.Future[Answer]:
        """Send a report after those before it.

        Args:
            report: an event or an error.
            again: it may have been accepted already, so its refusal means nothing.

        Returns:
            Done when the controller has answered.
        """
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((report, again, answered))
        return answered

    async def run(self) -> None:
        """Send what is posted, for ever.

        Raises:
            ControllerGoneError: the controller has not answered for too long.
        """
        while True:
            report, again, answered = await self._queue.get()
            try:
                answer = await self._link.tell(report)
            finally:
                self._queue.task_done()
            if answer.refusal is not None:
                log.warning("the controller refused a report: %s", answer.refusal)
                if answer.refused_for_good and not again:
                    self._refused(report, answer.refusal)
            if not answered.done():
                answered.set_result(answer)

    async def flush(self, timeout_s: float) -> None:
        """Wait until all is sent, but not for ever."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            log.warning("ending with %d unsent reports", self._queue.qsize() + 1)
