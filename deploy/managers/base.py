"""What every worker manager is: the one door between the scheduler and a cloud.

A cloud takes seconds to answer, fails late, or never answers; a worker may vanish, and the
controller may be killed and started again at any moment. So a manager never blocks the
controller's loop, every order is named by the worker id that the controller chose, `stop` may be
asked twice, and `find` tells after a restart what of ours is still there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from env.config import ClusterConfig, FlavorConfig
from env.errors import DaCircoError


class ManagerError(DaCircoError):
    """The cloud refused or cannot be reached; the message tells people why."""


class SpawnError(ManagerError):
    """A worker could not be ordered, or will never come."""


@dataclass(frozen=True, slots=True)
class SpawnOrder:
    """One worker to start.

    Attributes:
        worker_id: UUID chosen by the controller, by which everyone may know the worker.
        name: for people and for the cloud, e.g. ``tc-worker-3f2a``.
        flavor: its vCPUs and RAM (GiB).
        node: where the placement would put it; a wish that a cloud may ignore.
        secret: the id that the worker registers with. It goes into the worker's environment, and
            nowhere else that others can read; kept out of `repr`. Empty: the same as `worker_id`.
    """

    worker_id: str
    name: str
    flavor: FlavorConfig
    node: str | None = None
    secret: str = field(default="", repr=False)

    @property
    def presented_id(self) -> str:
        """What the worker shows as its id."""
        return self.secret or self.worker_id


@dataclass(frozen=True, slots=True)
class FoundWorker:
    """A worker of this controller that exists in the cloud now, registered or not.

    Attributes:
        worker_id: as in its order.
        name: as in its order.
        flavor: name of its flavor.
        node: where it runs, none if the cloud does not tell.
    """

    worker_id: str
    name: str
    flavor: str
    node: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerPlaced:
    """The cloud told on which node a worker runs."""

    worker_id: str
    node: str


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """An ordered worker will never register; nothing of it is left in the cloud."""

    worker_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker that nobody stopped is gone (crashed, evicted, deleted by others)."""

    worker_id: str
    reason: str


ManagerEvent = WorkerPlaced | SpawnFailed | WorkerGone

Listener = Callable[[ManagerEvent], None]
"""Called in the controller's event loop; returns at once."""


class WorkerManager(ABC):
    """Starts, finds and stops workers. All methods run in the controller's event loop."""

    name: str
    """As ``--runner-type`` calls it."""

    @abstractmethod
    async def start(self, listener: Listener) -> ClusterConfig:
        """Connect, check everything that spawning needs, and begin to report events.

        Returns:
            Nodes, flavors and limits as the cloud has them.

        Raises:
            ManagerError: something is missing; names it and what exists instead.
        """

    @abstractmethod
    async def find(self) -> list[FoundWorker]:
        """The workers of this controller that exist now, also those of an earlier life.

        Raises:
            ManagerError: the cloud does not answer.
        """

    @abstractmethod
    async def spawn(self, order: SpawnOrder) -> None:
        """Order a worker; returns when the order is accepted, not when the worker is there.

        Raises:
            SpawnError: it was refused (quota, no room, API down); nothing of it is left.
        """

    @abstractmethod
    async def stop(self, worker_id: str) -> None:
        """End a worker and wait until its resources are free; one that is gone is no error.

        Raises:
            ManagerError: the cloud does not answer; ask again later.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the reports and the connections. Workers live on: the next `start` finds them."""
