"""Worker managers by runner type; what a type needs is imported only for it."""

from __future__ import annotations

from deploy.clock import Clock
from deploy.controller.settings import Settings
from deploy.managers.base import WorkerManager
from deploy.managers.environment import WorkerLink
from env.catalog import Catalog
from env.config import Profile
from env.errors import DaCircoError


def make_manager(
    settings: Settings,
    link: WorkerLink,
    controller_id: str,
    profile: Profile,
    catalog: Catalog,
    clock: Clock,
) -> WorkerManager:
    """The manager of the settings' runner type, not started.

    Args:
        settings: of the controller.
        link: how workers reach the controller and the storage.
        controller_id: marks in the cloud what is ours.
        profile: the data centre that the simulated manager imitates.
        catalog: the movies that its workers "transcode".
        clock: the controller's.

    Raises:
        DaCircoError: the type is not to be had, or its settings are wrong.
    """
    match settings.runner_type:
        case "process":
            from deploy.managers.process import ProcessManager

            return ProcessManager(
                link,
                settings.workers_folder,
                controller_id,
                cores=settings.cores,
                boot_delay_s=settings.boot_delay_s,
            )
        case "simulated":
            from deploy.managers.simulated import SimulatedManager

            return SimulatedManager(link, profile, catalog, clock, seed=settings.seed)
        case "vm" | "pod":
            raise DaCircoError(
                f"runner type {settings.runner_type!r} is not there yet: give process or simulated"
            )
