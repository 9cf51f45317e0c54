"""What runs beside the controller as long as it lives; where one of it breaks, all must end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_LOGGER = logging.getLogger(__name__)


class Background:
    """Tasks that are not expected to end by themselves.

    Half a controller would accept jobs and never run them: when a task breaks, `broken` tells
    whoever runs the controller to end it, so that a supervisor can start a whole one.

    Attributes:
        broken: set when a task has ended by an error.
    """

    def __init__(self) -> None:
        self.broken = asyncio.Event()

    @asynccontextmanager
    async def running(self, name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Let the work run until the context is left."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _LOGGER.critical(
                "the controller's %s broke", task.get_name(), exc_info=task.exception()
            )
            self.broken.set()
