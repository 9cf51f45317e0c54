"""The processes of a service that a fault can hit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

import psutil

from deploy.embedded.commands import CONTROLLER_MODULE, REST_MODULE, SERVICE_VARIABLE
from deploy.embedded.data_folder import DataFolder
from deploy.managers.process import is_worker
from deploy.managers.tagged import command_line, tagged


class Victim(StrEnum):
    """A part of the service."""

    CONTROLLER = "controller"
    REST_API = "REST API"
    WORKER = "worker"
    SERVICE = "service"


PARTS: Final = (Victim.CONTROLLER, Victim.REST_API, Victim.WORKER, Victim.WORKER)
"""Which part a fault hits, equally likely each; the service has a share of its own."""


def processes_of(data: Path) -> list[psutil.Process]:
    """All living processes of the service of a data folder, but for the one that started them."""
    return tagged(SERVICE_VARIABLE, str(data.absolute()))


def find_one(data: DataFolder, victim: Victim, rng: Random) -> psutil.Process | None:
    """A process of a kind, drawn if there are several; none if there is none."""
    if victim is Victim.SERVICE:
        try:
            return psutil.Process(int(data.read_state()["service"]))
        except (KeyError, psutil.NoSuchProcess):
            return None
    candidates = [process for process in processes_of(data.path) if _fits(process, victim)]
    return rng.choice(sorted(candidates, key=lambda found: found.pid)) if candidates else None


def _fits(process: psutil.Process, victim: Victim) -> bool:
    if victim is Victim.WORKER:
        return is_worker(process)
    module = CONTROLLER_MODULE if victim is Victim.CONTROLLER else REST_MODULE
    return module in command_line(process)
