"""What thousands of data centres take, each with a day of arrivals of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psutil

from env.engine.layout import N_JOBS
from env.engine.vector_env import DaCircoVectorEnv
from training.benchmarks.decisions import LOAD
from training.benchmarks.simulation import DAY_S

CENTRES: Final = 4096


@dataclass(frozen=True, slots=True)
class DayMemory:
    """What was measured.

    Attributes:
        days: data centres, each with a day of its own.
        requests: of all of them.
        bytes: by which the process has grown.
    """

    days: int
    requests: int
    bytes: int

    @property
    def request_bytes(self) -> float:
        """What a request takes, with all that its data centre takes."""
        return self.bytes / self.requests

    @property
    def gib(self) -> float:
        """Of `CENTRES` whole days as busy as these."""
        return self.bytes / self.days * CENTRES / 2**30

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "days": self.days,
            "requests": self.requests,
            "bytes": self.bytes,
            "request_bytes": self.request_bytes,
            "gib": self.gib,
        }


def day_memory(days: int) -> DayMemory:
    """Start so many different days of Poisson arrivals at half load, and look how the process grew.

    Args:
        days: the fewer, the more what does not grow with them counts.
    """
    _begun(2, 600.0).close()  # compiles, and loads what is loaded once
    process = psutil.Process()
    before = process.memory_info().rss
    envs = _begun(days, DAY_S)
    grown = process.memory_info().rss - before
    requests = sum(int(envs.engine.centre(d).ei[N_JOBS]) for d in range(days))
    envs.close()
    return DayMemory(days, requests, grown)


def _begun(n: int, episode_s: float) -> DaCircoVectorEnv:
    envs = DaCircoVectorEnv(n, family="poisson", load=LOAD, episode_s=episode_s, threads=1)
    envs.reset(seed=0)
    return envs
