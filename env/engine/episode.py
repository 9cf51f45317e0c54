"""An episode in the engine's form: what of a run does not change, in two flat rows.

All of it comes from the reference's own code: its `Cluster` for the data centre's figures, and
`env.job_draws` for the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from math import floor, inf
from typing import Final

import numpy as np

from env.catalog import Catalog
from env.cluster import Cluster
from env.config import Profile
from env.continuation import ArrivalSource
from env.dispatch import waiting_jobs
from env.engine import layout as at
from env.engine.job_records import JobRecords, columns_of, write_jobs
from env.engine.layout import Floats, Ints
from env.engine.trace import least_size
from env.episodes import Episode
from env.errors import DaCircoError
from env.job_draws import draw_jobs
from env.jobs import Request
from env.node import MILLI, used_mib, used_millicores
from env.noise import noise_key
from env.simulator import PATIENCE_S, reference_erlangs
from env.timing import TimingModel, lognormal_mean

_MOST: Final = 2**31 - 1
_PLACEMENTS: Final = {
    "least-loaded": at.LEAST_LOADED,
    "spread": at.SPREAD,
    "concentrate": at.CONCENTRATE,
}
_DISCIPLINES: Final = {"fcfs": at.FCFS, "sjf": at.SJF, "priority": at.PRIORITY}
_WORD: Final = 32
_LEAST_TRACE: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeData:
    """What `Engine.load` takes.

    Attributes:
        profile: the true profile.
        requests: in order of arrival; none after `handed_over`, unless there is a trace.
        last_s: when the last of them arrives, seconds; 0 if there is none.
        preference: w.
        key: of the noise.
        floats: the episode's row; after `handed_over` its beginning, without the jobs.
        ints: likewise.
        size_f: floats of a data centre that plays it.
        size_i: whole numbers likewise.
        erlangs: of `reference_cost_rate`.
        smallest_cost: equivalent cores of a worker of the smallest flavor.
        believed: the profile that is expected, none if it is the true one.
        source: of the requests, if others can be drawn (`env.engine.futures`).
    """

    profile: Profile
    requests: Sequence[Request]
    last_s: float
    preference: float
    key: int
    floats: Floats
    ints: Ints
    size_f: int
    size_i: int
    erlangs: float
    smallest_cost: float
    believed: Profile | None = None
    source: ArrivalSource | None = field(default=None, repr=False)

    @property
    def limit_s(self) -> float:
        """The run ends at this time at the latest, seconds."""
        return float(self.floats[at.LIMIT_S])

    @property
    def n_flavors(self) -> int:
        """Sizes of worker."""
        return int(self.ints[at.N_FLAVORS])

    @property
    def whole(self) -> bool:
        """Whether the jobs are in it."""
        return len(self.ints) >= int(self.ints[at.JOBS_EI] + self.ints[at.N_JOBS] * at.JOB_EI)

    @property
    def nbytes(self) -> int:
        """What the rows take."""
        return self.floats.nbytes + self.ints.nbytes

    def handed_over(self) -> EpisodeData:
        """The same without what an engine has taken into its own rows."""
        return replace(
            self,
            requests=self.requests if self.ints[at.TRACE_SIZE] else (),
            floats=self.floats[: self.ints[at.JOBS_EF]].copy(),
            ints=self.ints[: self.ints[at.JOBS_EI]].copy(),
        )

    def reference_cost_rate(self, preference: float) -> float:
        """See `Simulator.reference_cost_rate`."""
        return self.erlangs * (preference + (1.0 - preference) * self.smallest_cost)


def prepare_episode(
    episode: Episode,
    *,
    preference: float | None = None,
    discipline: str = "sjf",
    max_jobs_per_core: float = inf,
    trace: bool = False,
) -> EpisodeData:
    """An episode as `env.episodes` draws it; see `prepare`."""
    cores = sum(node.cores for node in episode.profile.cluster.nodes)
    data = prepare(
        episode.profile,
        episode.requests,
        episode.catalog,
        seed=episode.seed,
        preference=episode.preference if preference is None else preference,
        discipline=discipline,
        limit_s=None if episode.horizon_s == inf else episode.horizon_s,
        max_jobs=max_jobs_per_core * float(cores),
        trace=trace,
    )
    return replace(data, source=episode.source)


def prepare(
    profile: Profile,
    requests: Sequence[Request],
    catalog: Catalog,
    *,
    seed: int = 0,
    preference: float = 0.5,
    discipline: str = "sjf",
    limit_s: float | None = None,
    believed: Profile | None = None,
    max_jobs: float = inf,
    trace: bool = False,
) -> EpisodeData:
    """Write an episode down; it touches no engine, so that another thread may do it.

    Args:
        profile: see `env.simulator.Simulator`, as all up to `believed`.
        requests: likewise.
        catalog: likewise.
        seed: likewise.
        preference: likewise.
        discipline: likewise.
        limit_s: likewise.
        believed: likewise.
        max_jobs: with more in the system a step truncates the episode. Less memory is needed.
        trace: keep what the metrics need (`Engine.metrics`).

    Raises:
        DaCircoError: a node is too large for whole numbers of 32 bits.
        UnknownNameError: there is no such discipline, or the catalog lacks a movie.
        ValueError: the requests are not in order of arrival, or the first comes before time 0.
    """
    if any(not a.arrival_s <= b.arrival_s for a, b in pairwise(requests)):
        raise ValueError("the requests are not in order of arrival: sort them by arrival_s")
    if requests and not requests[0].arrival_s >= 0.0:
        raise ValueError(f"the first request arrives at {requests[0].arrival_s}, before time 0")
    waiting_jobs(discipline)  # there is one of the name
    true = TimingModel(profile)
    other = None if believed is None else TimingModel(believed)
    expected = other or true
    cluster = Cluster(expected.profile, boot_s=expected.boot_s)
    draws = draw_jobs(true, requests, catalog, seed, other)
    last = requests[-1].arrival_s if requests else 0.0
    limit = last + PATIENCE_S if limit_s is None else limit_s
    if not 0.0 < limit < inf:
        raise ValueError(f"limit_s {limit} must be finite and above 0")

    columns = columns_of(profile, discipline, believed=other is not None)
    jobs = write_jobs(profile, requests, draws, columns)
    shape = _Shape(profile, cluster, jobs, max_jobs, trace)
    floats = np.concatenate(
        (
            _constants(profile, cluster, expected, limit, max_jobs),
            np.array([cluster.flavor_cost(flavor) for flavor in range(cluster.n_flavors)]),
            np.array([float(node.config.cores) for node in cluster.nodes]),
            jobs.kind_floats.ravel(),
            jobs.floats.ravel(),
        )
    )
    header = shape.ints(limit_s is None)
    header[at.DISCIPLINE] = _DISCIPLINES[discipline]
    header[at.LUCK_AT] = columns.luck
    header[at.STANDING_AT] = columns.standing
    header[at.TRUE_ALONE_AT] = columns.true_alone
    ints = np.concatenate((header, jobs.kind_ints.ravel(), jobs.ints.ravel()))
    return EpisodeData(
        profile,
        requests,
        last,
        preference,
        noise_key(seed),
        floats,
        ints,
        shape.size_f,
        shape.size_i,
        reference_erlangs(requests, draws.service_s[:, 0].tolist(), limit_s),
        cluster.flavor_cost(0),
        believed,
    )


def _constants(
    profile: Profile, cluster: Cluster, expected: TimingModel, limit: float, max_jobs: float
) -> Floats:
    timing, faults, sizes = profile.timing, profile.faults, cluster.sizes
    boot = timing.boot
    by_column = {
        at.TICK_S: profile.tick_s,
        at.LIMIT_S: limit,
        at.BOOT_MEDIAN: boot.median_s,
        at.BOOT_SIGMA: boot.sigma,
        at.COPY_S: boot.first_on_node_s,
        at.COPY_SIGMA: boot.first_on_node_sigma,
        at.CROWD_KNEE: boot.crowd_knee_share,
        at.CROWD_SLOPE: boot.crowd_slope,
        at.CROWD_LIMIT: boot.crowd_limit,
        at.SPACING: boot.spacing_s,
        at.STOP_MEDIAN: timing.stop.median_s,
        at.STOP_SIGMA: timing.stop.sigma,
        at.KNEE: timing.contention.knee_share,
        at.SLOPE: timing.contention.slope_per_core,
        at.SPAWN_FAILURE: faults.spawn_failure,
        at.LOSS_PER_HOUR: faults.worker_loss_per_hour,
        at.TRANSCODE_ERROR: faults.transcode_error,
        at.BOOT_S: expected.boot_s,
        at.CPU_WEIGHT: sizes.cpu_weight,
        at.RAM_WEIGHT: sizes.ram_weight,
        at.LIMIT_MC: sizes.limit_millicores,
        at.LIMIT_MIB: sizes.limit_mib,
        at.CORES: cluster.cores,
        at.CAPACITY_VCPUS: cluster.capacity_vcpus,
        at.CAPACITY_RAM_GIB: cluster.capacity_ram_gib,
        at.MAX_JOBS: max_jobs,
        at.MEAN_SCATTER: lognormal_mean(1.0, expected.profile.timing.transcode.sigma),
    }
    row = np.empty(at.FLAVORS_EF)
    for column in range(at.FLAVORS_EF):
        row[column] = by_column[column]
    return row


class _Shape:
    """How long everything is, and so where it lies."""

    def __init__(
        self, profile: Profile, cluster: Cluster, jobs: JobRecords, max_jobs: float, trace: bool
    ) -> None:
        n_jobs, columns = jobs.floats.shape
        self.profile, self.cluster, self.n_jobs = profile, cluster, n_jobs
        sizes = cluster.sizes
        cpu, ram = min(sizes.millicores), min(sizes.mib)
        largest = max(max(node.capacity_millicores, node.capacity_mib) for node in cluster.nodes)
        if largest > _MOST:
            raise DaCircoError(
                f"profile {profile.name!r}: a node of {largest} millicores or MiB is more than the "
                f"engine counts ({_MOST}): give it less, or use the reference simulator"
            )
        #: Workers that each node holds at most, whatever their flavors.
        self.per_node = [
            min(node.capacity_millicores // cpu, node.capacity_mib // ram) for node in cluster.nodes
        ]
        self.workers = max(
            1,
            min(
                sum(self.per_node),
                sizes.max_workers,
                sizes.limit_millicores // cpu,
                sizes.limit_mib // ram,
            ),
        )
        losses = profile.faults.worker_loss_per_hour > 0.0
        nodes, flavors = len(cluster.nodes), cluster.n_flavors
        self.losses = at.NODE_EVENTS + 2 * nodes + self.workers if losses else -1
        self.events = at.NODE_EVENTS + 2 * nodes + self.workers * (2 if losses else 1)
        self.queue = n_jobs if max_jobs >= n_jobs else min(n_jobs, floor(max_jobs) + 2)
        self.trace = max(_LEAST_TRACE, least_size(self.workers)) if trace else 0
        traced_jobs = n_jobs if trace else 0
        spread = profile.cluster.placement == "spread"

        starts, self.size_f = _laid_out(
            at.FLAVORS_F + flavors * at.FLAVOR_F,
            {
                at.NODES_F: nodes * at.NODE_F,
                at.WORKERS_F: self.workers * at.WORKER_F,
                at.EVENTS_F: self.events,
                at.TRACE_F: self.trace,
                at.ASSIGNED_F: traced_jobs,
                at.ENDED_F: traced_jobs,
            },
        )
        self.offsets = starts
        starts, self.size_i = _laid_out(
            at.FLAVORS_I + flavors * at.FLAVOR_I,
            {
                at.NODES_I: nodes * at.NODE_I,
                at.WORKERS_I: self.workers * at.WORKER_I,
                at.EVENTS_I: 3 * self.events,
                at.ENDS_I: self.workers,
                at.RUNS_I: 2 * sum(self.per_node),
                at.BY_FREE_I: nodes,
                at.BY_COUNT_I: nodes if spread else 0,
                at.QUEUE_I: 2 * self.queue,
                at.BITS_I: n_jobs // _WORD + 1,
                at.TRACE_I: self.trace * at.TRACE_ENTRY,
            },
        )
        self.offsets |= starts
        nodes_ef = at.FLAVORS_EF + flavors * at.FLAVOR_EF
        self.nodes_ei = at.FLAVORS_EI + flavors * at.FLAVOR_EI
        kinds_ef, self.kinds_ei = (
            nodes_ef + nodes * at.NODE_EF,
            self.nodes_ei + nodes * at.NODE_EI,
        )
        self.offsets |= {
            at.NODES_EF: nodes_ef,
            at.NODES_EI: self.nodes_ei,
            at.KINDS_EF: kinds_ef,
            at.KINDS_EI: self.kinds_ei,
            at.JOBS_EF: kinds_ef + jobs.kind_floats.size,
            at.JOBS_EI: self.kinds_ei + jobs.kind_ints.size,
            at.JOB_F: columns,
            at.RULE_F: self.size_f,
            at.RULE_I: self.size_i,
        }

    def ints(self, ends_with_jobs: bool) -> Ints:
        """The episode's whole numbers, without the jobs' and their columns."""
        profile, cluster = self.profile, self.cluster
        sizes, usage = cluster.sizes, cluster.profile.timing.usage
        flavors = cluster.n_flavors
        row = np.zeros(self.kinds_ei, dtype=np.int32)
        for column, value in {
            at.N_NODES: len(cluster.nodes),
            at.N_FLAVORS: flavors,
            at.N_JOBS: self.n_jobs,
            at.N_SLOTS: self.workers,
            at.MAX_WORKERS: min(sizes.max_workers, _MOST),
            at.PLACEMENT: _PLACEMENTS[profile.cluster.placement],
            at.ENDS_WITH_JOBS: int(ends_with_jobs),
            at.BOOT_LOAD: round(profile.timing.contention.boot_load * MILLI),
            at.IDLE_MC: used_millicores(usage.idle_cores),
            at.BASE_MIB: used_mib(usage.base_ram_gib),
            at.IMAGE_CACHED: int(cluster.profile.image_cached),
            at.CAPACITY_0: cluster.capacity_of(0),
            at.N_EVENTS: self.events,
            at.LOSS_EVENTS: self.losses,
            at.QUEUE_SIZE: self.queue,
            at.TRACE_SIZE: self.trace,
            **self.offsets,
        }.items():
            row[column] = value
        for flavor in range(flavors):
            start = at.FLAVORS_EI + flavor * at.FLAVOR_EI
            row[start + at.MILLICORES] = sizes.millicores[flavor]
            row[start + at.MIB] = sizes.mib[flavor]
            boot_cores = min(usage.boot_cores, cluster.vcpus[flavor])
            row[start + at.BOOT_MC] = used_millicores(boot_cores)
            row[start + at.CAPACITY_OF] = cluster.capacity_of(flavor)
        runs = accumulate(self.per_node, initial=0)
        for node, first, most in zip(cluster.nodes, runs, self.per_node, strict=False):
            start = self.nodes_ei + node.index * at.NODE_EI
            row[start + at.CAPACITY_MC] = node.capacity_millicores
            row[start + at.CAPACITY_MIB] = node.capacity_mib
            row[start + at.RUNS_AT] = 2 * first
            row[start + at.RUNS_SIZE] = most
        return row


def _laid_out(start: int, lengths: dict[int, int]) -> tuple[dict[int, int], int]:
    """Where each part lies, one behind the other, and the end."""
    starts = {}
    for column, length in lengths.items():
        starts[column] = start
        start += length
    return starts, start
