"""A cloud that takes orders only from the controller that has the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerError,
    SpawnError,
    SpawnOrder,
    WorkerManager,
)
from deploy.store.fence import StoreLostError
from deploy.store.store import Store
from env.config import ClusterConfig


class FencedManager(WorkerManager):
    """Asks the store before each order whether another controller has taken over.

    An order was durable when it was given. But a controller that was frozen in between would carry
    it out after another one has come to its own conclusions.

    Args:
        manager: the cloud.
        store: tells whose it is.
        on_lost: called when it is another's; the order is not carried out.
    """

    def __init__(
        self, manager: WorkerManager, store: Store, on_lost: Callable[[StoreLostError], None]
    ) -> None:
        self._manager, self._store, self._on_lost = manager, store, on_lost
        self.name = manager.name

    async def start(self, listener: Listener) -> ClusterConfig:
        return await self._manager.start(listener)

    async def find(self) -> list[FoundWorker]:
        return await self._manager.find()

    async def spawn(self, order: SpawnOrder) -> None:
        wrong = await self._why_not()
        if wrong is not None:
            raise SpawnError(wrong)
        await self._manager.spawn(order)

    async def stop(self, worker_id: str) -> None:
        wrong = await self._why_not()
        if wrong is not None:
            raise ManagerError(wrong)
        await self._manager.stop(worker_id)

    async def close(self) -> None:
        await self._manager.close()

    async def _why_not(self) -> str | None:
        try:
            await asyncio.to_thread(self._store.confirm)
        except StoreLostError as error:
            self._on_lost(error)
            return str(error)
        except SQLAlchemyError as error:
            return f"the store does not tell whether it is still ours: {error.__class__.__name__}"
        return None
