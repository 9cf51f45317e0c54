"""The processes of a service that can be killed."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from random import Random

import psutil

from deploy.embedded.commands import CONTROLLER_MODULE, REST_MODULE, SERVICE_VARIABLE
from deploy.managers.process import is_worker
from deploy.managers.tagged import tagged


class Victim(StrEnum):
    """A part of the service."""

    CONTROLLER = "controller"
    REST_API = "REST API"
    WORKER = "worker"
    SERVICE = "service"


def processes_of(data: Path) -> list[psutil.Process]:
    """All living processes of the service of a data folder, but for the one that started them."""
    return tagged(SERVICE_VARIABLE, str(data.absolute()))


def kill_one(data: Path, victim: Victim, rng: Random) -> bool:
    """``kill -9`` one process of a kind other than `SERVICE`; false if there is none."""
    modules = {Victim.CONTROLLER: CONTROLLER_MODULE, Victim.REST_API: REST_MODULE}
    candidates = []
    for process in processes_of(data):
        try:
            if victim is Victim.WORKER:
                fits = is_worker(process)
            else:
                fits = modules[victim] in process.cmdline()
        except psutil.Error:
            continue
        if fits:
            candidates.append(process)
    if not candidates:
        return False
    try:
        rng.choice(sorted(candidates, key=lambda process: process.pid)).send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True
