"""The figures of a real run, from its event log and the samples of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.comparison.figures import Figures, cpu_figures, delay_figures, ram_figures
from deploy.comparison.usage import Sample
from env.cluster import Cluster
from env.config import Profile
from env.errors import DaCircoError
from env.event_log import EventCode, event_moment, read_events
from env.level import Level
from env.node import MIB_PER_GIB, MILLI


@dataclass(frozen=True, slots=True)
class Trace:
    """A quantity over time: pairs of seconds since the start and the value from then on."""

    times_s: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one real run has shown.

    Attributes:
        figures: of the run.
        delays_s: of each job, in the order of the ends.
        jobs: in the system, over time.
        reserved_vcpus: over time.
        used_cores: over time.
    """

    figures: Figures
    delays_s: tuple[float, ...]
    jobs: Trace
    reserved_vcpus: Trace
    used_cores: Trace


def read_measurement(
    log: Path, samples: Sequence[Sample], start: float, profile: Profile, preference: float
) -> Measurement:
    """Read a run.

    Args:
        log: the controller's event log.
        samples: use over the run.
        start: of the scenario, seconds since the epoch.
        profile: nodes and flavors as they were.
        preference: w.

    Raises:
        DaCircoError: no job was delivered.
    """
    flavors = {flavor.name: flavor for flavor in profile.cluster.flavors}
    received: dict[str, float] = {}
    ends: list[tuple[float, float]] = []
    workers: dict[str, str] = {}
    changes: list[tuple[float, str, int]] = []  # time, flavor, +1 or -1
    for _, event in read_events(log):
        moment = max(0.0, event_moment(event) - start)
        match event["code"]:
            case EventCode.REQUEST_RECEIVED:
                received[event["request_id"]] = moment
            case EventCode.FILE_UPLOADED:
                ends.append((moment, received[event["request_id"]]))
            case EventCode.WORKER_CREATED:
                workers[event["worker_id"]] = event["flavor"]
                changes.append((moment, event["flavor"], 1))
            case EventCode.WORKER_DESTROYED:
                changes.append((moment, workers[event["worker_id"]], -1))
    if not ends:
        raise DaCircoError(f"{log}: no job was delivered")
    end = max(moment for moment, _ in ends)
    cpu, ram = Level(), Level()
    jobs, reserved = _Steps(), _Steps()
    for moment, name, sign in sorted(changes):
        if moment <= end:
            flavor = flavors[name]
            cpu.add(moment, sign * flavor.vcpus * MILLI)
            ram.add(moment, sign * round(flavor.ram_gib * MIB_PER_GIB))
            reserved.add(moment, sign * flavor.vcpus)
    for moment, sign in sorted(
        [(begin, 1) for _, begin in ends] + [(moment, -1) for moment, _ in ends]
    ):
        jobs.add(moment, sign)
    used_cpu, used_ram, used = Level(), Level(), []
    for sample in samples:
        # A sample tells of the time up to it.
        moment = sample.time - start
        if 0 <= moment <= end:
            used.append((moment, sample.cores))
    _hold(used_cpu, [(s.time - start, round(s.cores * MILLI)) for s in samples], end)
    _hold(used_ram, [(s.time - start, round(s.ram_gib * MIB_PER_GIB)) for s in samples], end)
    delays = tuple(moment - begin for moment, begin in ends)
    core_seconds = _core_seconds(profile, cpu.integral(end), ram.integral(end))
    figures = Figures(
        len(ends),
        *delay_figures(delays),
        *cpu_figures(cpu, end),
        *cpu_figures(used_cpu, end),
        *ram_figures(ram, end),
        *ram_figures(used_ram, end),
        boots=len(workers),
        makespan_s=end,
        cost=preference * sum(delays) + (1.0 - preference) * core_seconds,
    )
    used_trace = Trace(tuple(t for t, _ in used), tuple(value for _, value in used))
    return Measurement(figures, delays, jobs.trace(end), reserved.trace(end), used_trace)


class _Steps:
    """Collects a trace that moves by steps."""

    def __init__(self) -> None:
        self._times, self._values = [0.0], [0.0]

    def add(self, moment: float, change: float) -> None:
        self._times.append(moment)
        self._values.append(self._values[-1] + change)

    def trace(self, end: float) -> Trace:
        return Trace((*self._times, end), (*self._values, self._values[-1]))


def _hold(level: Level, readings: Sequence[tuple[float, int]], end: float) -> None:
    """Let a level take each reading for the time from the one before up to it."""
    now = 0.0
    for moment, value in readings:
        upto = min(moment, end)
        if upto > now:
            level.add(now, value - level.value)
            level.add(upto, 0)
            now = upto


def _core_seconds(profile: Profile, millicore_seconds: float, mib_seconds: float) -> float:
    """The integral of R (see `env.cost`) from those of what was reserved."""
    cluster = Cluster(profile)
    cpu = millicore_seconds / MILLI / cluster.capacity_vcpus
    ram = mib_seconds / MIB_PER_GIB / cluster.capacity_ram_gib
    return cluster.cores * (0.5 * cpu + 0.5 * ram)
