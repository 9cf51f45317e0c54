"""What a campaign does: how many jobs, how many faults of which kinds, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from env.errors import DaCircoError


class FaultKind(StrEnum):
    """What is done to the service."""

    KILL = "kill"
    """``kill -9`` of a part."""
    FREEZE = "freeze"
    """A part stands still for a while, and then goes on."""
    SICK_WORKER = "sick-worker"
    """A worker's ffmpeg does not start, finds no space, or leaves half a file, until it ends."""
    FULL_DISK = "full-disk"
    """The workers' disk, or the disk of the whole service, is full for a while."""


SHARES: Final = MappingProxyType(
    {
        FaultKind.KILL: 0.4,
        FaultKind.FREEZE: 0.25,
        FaultKind.SICK_WORKER: 0.2,
        FaultKind.FULL_DISK: 0.15,
    }
)
"""How often each kind is drawn, relative to the others that the campaign has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign does.

    Attributes:
        jobs: how many are submitted.
        bad_jobs: how many of them have a file that is no video.
        faults: how many faults happen while jobs come and run.
        kinds: the kinds that are drawn from.
        seed: of everything random.
        mean_gap_s: mean time between the beginnings of two faults, seconds (exponential).
        mean_length_s: mean time that a freeze or a full disk lasts, seconds (exponential).
        patience_s: after the last fault, how long until every job must have ended, seconds.
        service_share: share of kills and freezes that hit the program that keeps the others
            running.
        options: further options of ``python -m deploy.up``.

    Raises:
        DaCircoError: it cannot be carried out.
    """

    jobs: int = 8
    bad_jobs: int = 2
    faults: int = 6
    kinds: tuple[FaultKind, ...] = tuple(FaultKind)
    seed: int = 0
    mean_gap_s: float = 3.0
    mean_length_s: float = 3.0
    patience_s: float = 180.0
    service_share: float = 0.1
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.bad_jobs <= self.jobs:
            raise DaCircoError(f"{self.bad_jobs} of {self.jobs} jobs cannot be bad")
        if self.faults and not self.kinds:
            raise DaCircoError(f"{self.faults} faults of no kind cannot be: name a kind")
