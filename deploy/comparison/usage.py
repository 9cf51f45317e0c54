"""Sampling what the worker processes of a service really use of CPU and RAM."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from deploy.embedded.commands import SERVICE_VARIABLE
from deploy.managers.process import is_worker
from deploy.managers.tagged import tagged

PERIOD_S: Final = 1.0
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Sample:
    """Use at one moment.

    Attributes:
        time: seconds since the epoch.
        cores: CPU time of all workers since the sample before, by the time since then.
        ram_gib: their proportional set size, GiB.
    """

    time: float
    cores: float
    ram_gib: float


class UsageSampler:
    """Samples in a thread, from entering to leaving it as a context manager.

    What a worker uses between the last sample and its end is missed; at most a period of it.

    Args:
        data: folder of the service.
    """

    def __init__(self, data: Path) -> None:
        self.samples: list[Sample] = []
        self._data = str(data.absolute())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def __enter__(self) -> UsageSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        before: dict[int, float] = {}
        last = time.monotonic()
        while not self._ended.wait(PERIOD_S):
            cpu: dict[int, float] = {}
            ram = 0.0
            for process in tagged(SERVICE_VARIABLE, self._data):
                if is_worker(process):
                    seconds, held = _of_family(process)
                    cpu[process.pid] = seconds
                    ram += held
            now = time.monotonic()
            spent = sum(max(0.0, value - before.get(pid, 0.0)) for pid, value in cpu.items())
            self.samples.append(Sample(time.time(), spent / (now - last), ram / _GIB))
            before, last = cpu, now


def _of_family(worker: psutil.Process) -> tuple[float, float]:
    """CPU seconds of a worker and all that it has started so far, and bytes of RAM held now."""
    seconds = held = 0.0
    try:
        family = [worker, *worker.children(recursive=True)]
    except psutil.Error:
        return 0.0, 0.0
    for process in family:
        try:
            times = process.cpu_times()
            seconds += sum((times.user, times.system, times.children_user, times.children_system))
            held += process.memory_full_info().pss
        except psutil.Error:
            continue
    return seconds, held
