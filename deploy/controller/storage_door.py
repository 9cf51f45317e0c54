"""The controller's dealings with the object storage, and who is told of what it finds there."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from deploy.controller.conductor import Conductor
from deploy.controller.inputs import Inputs
from deploy.controller.results import Results
from deploy.controller.settings import Settings
from deploy.controller.storage_watch import Looking, StorageWatch
from deploy.storage.base import ObjectStorage


class StorageDoor:
    """Looks at the storage, for inputs and for results.

    Args:
        storage: where videos and results are.
        conductor: is told when the storage is away and when it is back.
        settings: how often to look.

    Attributes:
        watch: whether it answers.
        inputs: which videos there are.
        results: looks for results; none for simulated workers, which have none.
    """

    def __init__(self, storage: ObjectStorage, conductor: Conductor, settings: Settings) -> None:
        scheduler, look_s = conductor.scheduler, settings.patience.storage_look_s
        self.watch = StorageWatch(
            storage,
            Looking(interval_s=look_s, first_pause_s=min(1.0, look_s)),
            away=lambda why: conductor.handle(lambda now: scheduler.storage_away(now, why)),
            back=lambda: conductor.handle(scheduler.storage_back),
        )
        self.inputs = Inputs(storage, self.watch, found=self._found, missing=self._missing)
        simulated = settings.runner_type == "simulated"
        self.results = None if simulated else Results(storage, self.watch)
        self._on_found: Callable[[str], None] = lambda _: None
        self._on_missing: Callable[[str, str], None] = lambda _, __: None

    def tell(self, *, found: Callable[[str], None], missing: Callable[[str, str], None]) -> None:
        """Who is told of inputs that were looked for later, by the ids of their jobs."""
        self._on_found, self._on_missing = found, missing

    def work(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        """What has to run beside the controller, by name."""
        return ("storage", self.watch.run()), ("inputs", self.inputs.run())

    def _found(self, job_id: str) -> None:
        self._on_found(job_id)

    def _missing(self, job_id: str, why: str) -> None:
        self._on_missing(job_id, why)
