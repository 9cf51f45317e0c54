"""What a client asks for (`Request`) and what the cluster works on (`Job`)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, get_args

Speed = Literal["ultrafast", "fast"]
SPEEDS: Final[tuple[Speed, ...]] = get_args(Speed)
MIN_BITRATE_KBPS: Final = 500
MAX_BITRATE_KBPS: Final = 8000


@dataclass(frozen=True, slots=True)
class Request:
    """One row of a scenario, with its arrival in absolute time.

    Attributes:
        arrival_s: seconds since the scenario's start.
        movie: file name in the catalog, e.g. ``bbb_3.mp4``.
        bitrate_kbps: asked video bitrate, 500..8000 kbit/s.
        speed: x265 preset, ``ultrafast`` or ``fast``.
    """

    arrival_s: float
    movie: str
    bitrate_kbps: int
    speed: Speed


@dataclass(frozen=True, slots=True)
class Urgency:
    """What puts a job before or behind those that wait as long as it.

    Attributes:
        head_start_s: it counts as if it had waited so much longer (less, if below 0).
        urgent_at_s: from this moment on no job that arrives then goes before it, seconds.
    """

    head_start_s: float = 0.0
    urgent_at_s: float = inf


PLAIN: Final = Urgency()
"""As all jobs in training are."""


@dataclass(slots=True, eq=False)
class Job:
    """A request inside the cluster, with what the profile expects of it.

    Attributes:
        job_id: the controller's or simulator's id.
        request: what was asked.
        service_s: expected sojourn on a worker (download, transcode alone on
            its node, upload) in seconds, one figure for each flavor.
        arrival_s: when the cluster learned of the job, seconds.
        attempts: how many workers have been given the job so far.
        size_mb: of the source file, 10^6 bytes; 0 where nobody knows.
        urgency: heeded by dispatch, not observed by policies.
    """

    job_id: Hashable
    request: Request
    service_s: tuple[float, ...]
    arrival_s: float = 0.0
    attempts: int = 0
    size_mb: float = 0.0
    urgency: Urgency = PLAIN
