"""An event log as a history: what happened when, in which data centre, under which policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Final

from deploy.eventlog.world import World, read_world
from env.catalog import load_catalog
from env.config import load_profile
from env.cost import check_preference
from env.errors import EventLogError
from env.event_log import Event, EventCode, event_moment, place_of, read_events
from env.jobs import SPEEDS, Request
from env.log_parts import first_of
from env.moments import microseconds
from env.timing import TimingModel

OLD_PROFILE: Final = "openstack"
"""Where the existing system ran; its logs do not tell."""
OLD_CATALOG: Final = "bbb"
OLD_PREFERENCE: Final = 0.5

_BEFORE_S: Final = 5e-6
"""A time that was rounded to microseconds is put this much earlier, so that it never lies after
the exact time that follows it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        line: its number, from 1.
        at: the cluster's time, seconds; exact where the log tells it, see `env.event_log`.
        code: what happened.
        keys: the line.
        epoch: of a line that stands for several decisions (EV45), which one this is, from 1.
    """

    line: int
    at: float
    code: EventCode
    keys: Mapping[str, str]
    epoch: int = 0


@dataclass(frozen=True)
class History:
    """One life of a controller.

    Attributes:
        path: the log.
        entries: the lines of codes that are known.
        world: the data centre.
        preference: w at the start.
        policy: text of the policy in charge, empty if the log does not tell.
        fallback: of its fallback, likewise.
        records_decisions: whether the log tells of each decision (logs of the existing system
            do not).
        inherited: jobs and workers of an earlier life that the log does not describe.
        doubts: what cannot be told from this log, one line each.
    """

    path: Path
    entries: Sequence[Entry]
    world: World
    preference: float
    policy: str
    fallback: str
    records_decisions: bool
    inherited: tuple[int, int] = (0, 0)
    doubts: list[str] = field(default_factory=list)

    def requests(self) -> list[Request]:
        """The requests that arrived, in order; arrival in the cluster's time."""
        return [
            request_of(entry)
            for entry in self.entries
            if entry.code is EventCode.JOB_RETRIED
            or (
                entry.code is EventCode.REQUEST_RECEIVED
                and entry.keys.get("request_id") not in self.refused
            )
        ]

    def flavor_of(self, worker_id: str) -> int:
        """Index of the flavor of a worker whose creation does not tell it, by its vCPUs.

        That of the smallest if it never registered.
        """
        sizes = [flavor.vcpus for flavor in self.world.profile.cluster.flavors]
        cpus = self._cpus.get(worker_id, 0.0)
        return min(range(len(sizes)), key=lambda flavor: abs(sizes[flavor] - cpus))

    @cached_property
    def refused(self) -> frozenset[str]:
        """Ids of requests that could not be done: they were stored, and nobody decided on them."""
        return frozenset(
            entry.keys["request_id"]
            for entry in self.entries
            if entry.code is EventCode.REQUEST_FAILED and entry.keys.get("refused") == "true"
        )

    @cached_property
    def _cpus(self) -> dict[str, float]:
        """VCPUs of the workers that registered."""
        found = {}
        for entry in self.entries:
            if entry.code is EventCode.WORKER_REGISTERED:
                with suppress(ValueError, KeyError):
                    found[entry.keys["worker_id"]] = float(entry.keys["cpus"])
        return found


def request_of(entry: Entry) -> Request:
    """The request of an EV1 line.

    Raises:
        EventLogError: it is none that can be.
    """
    keys = entry.keys
    speed = next((speed for speed in SPEEDS if speed == keys.get("speed")), None)
    try:
        bitrate = int(keys["bitrate"])
        video = keys["input_video"]
    except (KeyError, ValueError) as error:
        raise EventLogError(f"line {entry.line}: not a request: {error!r}") from None
    if speed is None:
        raise EventLogError(f"line {entry.line}: speed {keys.get('speed')!r} is not one")
    return Request(entry.at, video, bitrate, speed)


def read_history(
    path: Path, *, profile: str | None = None, preference: float | None = None
) -> History:
    """Read a log.

    Args:
        path: ``tc-events-XY.txt``, which its parts follow. Of a log to which several lives have
            written, the last.
        profile: name or path of the profile to rebuild with, instead of what the log tells.
        preference: w to ask at from start to end, instead of what the log tells.

    Raises:
        DaCircoError: the log, the profile, the catalog or the preference cannot be used.
    """
    continued = first_of(path)
    if continued is not None and continued.exists():
        raise EventLogError(f"{path} continues {continued}: give that")
    lines = [(number, event) for number, event in read_events(path) if event["code"] in _KNOWN]
    if not lines:
        raise EventLogError(f"{path} holds no event")
    starts = [
        i for i, (_, event) in enumerate(lines) if event["code"] == EventCode.CONTROLLER_STARTED
    ]
    if starts:
        lines = lines[starts[-1] :]
    head = lines[0][1] if starts else {}
    doubts: list[str] = []
    told = read_world(head, place_of(path, lines[0][0])) if profile is None else None
    if told is None:
        told = _assumed(profile or OLD_PROFILE)
        if profile is None:
            doubts.append(
                f"the log does not describe the data centre: profile {OLD_PROFILE} and catalog "
                f"{OLD_CATALOG} are assumed (--profile chooses another)"
            )
    if preference is not None:
        w = check_preference(preference)
        lines = [line for line in lines if line[1]["code"] != EventCode.PREFERENCE_CHANGED]
        doubts.append(
            f"asked at w = {w:g} throughout: the preference is part of the observation, so states "
            "recorded at another one do not have its hash"
        )
    else:
        w = check_preference(_number(head, "preference", OLD_PREFERENCE))
    decided = any(event["code"] == EventCode.DECISION for _, event in lines)
    if not decided:
        doubts.append(
            "the log holds no decisions: only spawns and stops can be compared, not where the "
            "policy kept; neither reasons nor observations are known"
        )
    inherited = int(_number(head, "jobs", 0)), int(_number(head, "workers", 0))
    told_of = sum(event["code"] in _RESTORED for _, event in lines)
    if any(inherited) and not told_of:
        doubts.append(
            f"{inherited[0]} jobs and {inherited[1]} workers came from an earlier life: of those "
            "the log does not tell all, so states are not rebuilt exactly"
        )
    lost = sum(
        int(_number(event, "lines", 0)) for _, event in lines if event["code"] == _LINES_LOST
    )
    if lost:
        doubts.append(
            f"{lost} lines could not be written (the disk was full): what is after them is not "
            "rebuilt exactly"
        )
    return History(
        path,
        _entries(path, lines),
        told,
        w,
        head.get("policy", ""),
        head.get("fallback", ""),
        decided,
        inherited,
        doubts,
    )


def _assumed(profile_name: str) -> World:
    profile = load_profile(profile_name)
    catalog = load_catalog(OLD_CATALOG)
    return World(profile, catalog, OLD_CATALOG, TimingModel(profile).boot_s, "fcfs")


_KNOWN: Final = frozenset(str(code) for code in EventCode)
_RESTORED: Final = frozenset((EventCode.JOB_RESTORED, EventCode.WORKER_RESTORED))
_LINES_LOST: Final = EventCode.LINES_LOST
_EXACT: Final = _RESTORED | {EventCode.DECISION}
"""Lines that tell the cluster's own time."""
_REMARKS: Final = frozenset(
    (
        EventCode.CONTROLLER_STARTED,
        EventCode.TASK_STARTED,
        EventCode.SHADOW_DECISION,
        EventCode.SHADOW_COST,
        EventCode.WORKER_ADOPTED,
        EventCode.EVENT_REFUSED,
        EventCode.CALL_REFUSED,
        EventCode.CONTROL_SWITCHED,
        EventCode.LINES_LOST,
        EventCode.LOG_CONTINUED,
        EventCode.LINE_REPEATED,
        EventCode.ATTEMPT_SUPERSEDED,
        EventCode.WORKERS_FAILING,
    )
)
"""Lines of which the cluster knows nothing: written when they were, they move no time."""


def _number(keys: Mapping[str, str], key: str, default: float) -> float:
    try:
        return float(keys.get(key, default))
    except ValueError:
        raise EventLogError(f"{key} {keys[key]!r} is not a number") from None


def _entries(path: Path, lines: Sequence[tuple[int, Event]]) -> list[Entry]:
    """Each line with the cluster's time."""
    moments = [_moment(path, number, event) for number, event in lines]
    exact = _exact_times([event for _, event in lines], moments)
    known = [(m, e) for m, e in zip(moments, exact, strict=True) if e is not None]
    start = min((m - e for m, e in known), default=moments[0])
    entries: list[Entry] = []
    at = 0.0
    for i, (number, event) in enumerate(lines):
        # All that one event brings about has one moment; one of its decisions tells it exactly.
        same = exact[i]
        for j in range(i + 1, len(lines)):
            if same is not None or moments[j] != moments[i]:
                break
            same = exact[j]
        if event["code"] in _REMARKS:
            pass
        elif same is not None:
            at = max(at, same)
        else:
            at = max(at, moments[i] - start - _BEFORE_S)
        entries.append(Entry(number, at, EventCode(event["code"]), event))
    return entries


def _exact_times(events: Sequence[Event], moments: Sequence[float]) -> list[float | None]:
    """The cluster's own time at each line, where it is known.

    Lines of decisions tell it. A controller that counts in whole microseconds has them all at the
    same distance from the time of their line: then that gives every line's time.
    """
    told = [_exact(event) for event in events]
    starts = {
        microseconds(moment) - microseconds(time_s) if time_s == round(time_s, 6) else None
        for event, moment, time_s in zip(events, moments, told, strict=True)
        if time_s is not None and event["code"] == EventCode.DECISION
    }
    start = starts.pop() if len(starts) == 1 else None
    if start is None:
        return told
    return [
        (microseconds(moment) - start) / 1e6 if time_s is None else time_s
        for moment, time_s in zip(moments, told, strict=True)
    ]


def _exact(event: Event) -> float | None:
    if event["code"] not in _EXACT or "cluster_time" not in event:
        return None
    try:
        time_s = float(event["cluster_time"])
    except ValueError:
        return None
    return time_s if isfinite(time_s) else None


def _moment(path: Path, number: int, event: Event) -> float:
    try:
        moment = event_moment(event)
    except ValueError:
        moment = float("nan")
    if not isfinite(moment):
        raise EventLogError(f"{place_of(path, number)}: time {event['time']!r} is no time")
    return moment
