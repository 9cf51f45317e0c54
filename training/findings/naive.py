"""The two naive algorithms over loads, and what an idle second buys them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from env.cluster import Cluster
from env.cost import CostVector
from env.families import ArrivalFamily, DaCirco, Poisson
from env.metrics import EpisodeMetrics, measure
from env.timeline import Timeline
from env.timing import TimingModel, lognormal_mean
from env.worker import WorkerState
from training.findings.world import GRACE, MINIMIZE, Spread, Track, World, seconds_by_state

NATIVE = "native DaCirco workload"
"""The existing generator at its own rate."""

FIGURES = (
    "delay_mean_s",
    "delay_p95_s",
    "cpu_reserved_mean",
    "cpu_reserved_p95",
    "cpu_used_mean",
    "cpu_used_p95",
    "ram_reserved_mean",
    "ram_reserved_p95",
    "ram_used_mean",
    "ram_used_p95",
    "boots",
    "jobs",
    "jobs_per_hour",
)


@dataclass(frozen=True)
class Workload:
    """An arrival process of the sweep with its offered load."""

    name: str
    load: float
    family: ArrivalFamily


@dataclass(frozen=True)
class Outcome:
    """One run of a naive algorithm: its figures and the worker-seconds it idled."""

    metrics: EpisodeMetrics
    idle_s: float

    def cost(self, preference: float) -> float:
        """Cost at w."""
        vector = CostVector(self.metrics.job_seconds, self.metrics.core_seconds)
        return vector.weighed(preference)


@dataclass(frozen=True)
class Sweep:
    """Every workload under both algorithms: one outcome for each seed."""

    workloads: tuple[Workload, ...]
    outcomes: dict[tuple[str, str], tuple[Outcome, ...]]

    def figures(self, workload: Workload, policy: str) -> dict[str, Spread]:
        """Mean and deviation over the seeds of each figure."""
        runs = [outcome.metrics for outcome in self.outcomes[workload.name, policy]]
        return {name: Spread.of(getattr(run, name) for run in runs) for name in FIGURES}

    def cost_ratio(self, workload: Workload, preference: float) -> Spread:
        """Cost of minimize-workers relative to grace-period on the same jobs."""
        pairs = zip(
            self.outcomes[workload.name, MINIMIZE],
            self.outcomes[workload.name, GRACE],
            strict=True,
        )
        return Spread.of(lean.cost(preference) / warm.cost(preference) for lean, warm in pairs)

    def idle_per_saved_boot(self, workload: Workload) -> float | None:
        """Idle worker-seconds that grace-period pays for each boot that it saves; none if none."""
        lean = self.outcomes[workload.name, MINIMIZE]
        warm = self.outcomes[workload.name, GRACE]
        saved = sum(one.metrics.boots for one in lean) - sum(one.metrics.boots for one in warm)
        idle = sum(one.idle_s for one in warm) - sum(one.idle_s for one in lean)
        return idle / saved if saved > 0 else None


def sweep(world: World, track: Track) -> Sweep:
    """Both naive algorithms at their defaults on each workload, on the same jobs."""
    effort = world.effort
    native = DaCirco()
    workloads = (
        *(Workload(f"load {load:g}", load, Poisson(world.rate(load))) for load in effort.loads),
        Workload(NATIVE, world.load(native.rate_per_s), native),
    )
    cases = [(workload, policy) for workload in workloads for policy in (MINIMIZE, GRACE)]
    outcomes = {}
    for workload, policy in track(cases, "naive algorithms"):
        outcomes[workload.name, policy] = tuple(
            _run(world, workload, policy, seed) for seed in range(effort.seeds)
        )
    return Sweep(workloads, outcomes)


def _run(world: World, workload: Workload, policy: str, seed: int) -> Outcome:
    timeline = Timeline()
    requests = world.requests(workload.family, seed, world.effort.hours)
    simulator = world.simulate(requests, policy, seed=seed, timeline=timeline)
    return Outcome(measure(simulator), seconds_by_state(timeline, simulator.now)[WorkerState.IDLE])


def break_even_s(world: World, flavor: str, preference: float) -> float:
    """Idle seconds that cost as much as ending a worker and booting it anew for one job.

    Those for the boot and the wait for it (`Cluster.break_even_s`) and those of the stop, which
    the rules leave out.
    """
    timing = TimingModel(world.profile)
    stop = world.profile.timing.stop
    cluster = Cluster(world.profile, preference=preference, boot_s=timing.boot_s)
    pays_s = cluster.break_even_s(world.flavors.index(flavor))
    return pays_s + lognormal_mean(stop.median_s, stop.sigma)


@dataclass(frozen=True)
class Verdict:
    """What theory and simulation say of one workload at one preference.

    Attributes:
        predicted: whether grace-period should be cheaper: an idle second for each saved boot
            costs less than the break-even time.
        ratio: cost of minimize-workers relative to grace-period as simulated.
    """

    workload: Workload
    preference: float
    idle_per_saved_boot: float
    break_even_s: float
    ratio: float

    @property
    def predicted(self) -> bool:
        """See the class."""
        return self.idle_per_saved_boot < self.break_even_s

    @property
    def agrees(self) -> bool:
        """Whether the simulation says so too."""
        return self.predicted == (self.ratio > 1.0)


def verdicts(
    world: World, found: Sweep, flavor: str, preferences: Sequence[float]
) -> list[Verdict]:
    """The break-even rule against the simulated costs, wherever grace-period saves boots."""
    rows = []
    for workload in found.workloads:
        idle = found.idle_per_saved_boot(workload)
        if idle is None:
            continue
        rows += [
            Verdict(
                workload,
                w,
                idle,
                break_even_s(world, flavor, w),
                found.cost_ratio(workload, w).mean,
            )
            for w in preferences
        ]
    return rows
