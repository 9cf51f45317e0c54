"""What a policy network sees: a flat, normalised vector, the same for any number of nodes.

`Observer.write` fills a row; `FEATURES` tells what each number is. Both the simulator and the
live controller use it, so an observation means the same in training and in production.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import log, log1p
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.cluster import Cluster

REFERENCE_CORES: Final = 18.0
"""Cores of the data centre that DaCirco was made for; size is told relative to it."""

OBSERVATION_VERSION: Final = 2

# What logarithms and times are divided by; `features` tells the same in words.
WAITING_SCALE: Final = 4
COUNT_SCALE: Final = 3
SECONDS_SCALE: Final = 8
BOOT_SCALE: Final = 6
MINUTE_S: Final = 60.0
TREND_FLOOR: Final = 0.02


class Feature(NamedTuple):
    """One number of the observation: its name, its bounds (it is clipped to them), its meaning."""

    name: str
    low: float
    high: float
    meaning: str


def _each(names: Sequence[str], name: str, low: float, high: float, meaning: str) -> list[Feature]:
    return [Feature(f"{name}[{f}]", low, high, meaning.format(f)) for f in names]


def preference_feature(preference: float) -> float:
    """The first feature: where the operator's preference lies on the dial, -1 lean to 1 fast."""
    return (preference - 0.5) / 0.4


def size_feature(cores: float) -> float:
    """The second feature: how large the cluster is."""
    return log(cores / REFERENCE_CORES) / 2


def boot_feature(boot_s: float) -> float:
    """The feature that tells how long a warm boot is expected to take, seconds."""
    return log1p(boot_s) / BOOT_SCALE


def features(flavors: Sequence[str]) -> tuple[Feature, ...]:
    """The features of a cluster with these flavors, in order."""
    return (
        Feature("preference", -1, 1, "(w - 0.5) / 0.4: -1 lean, 1 fast"),
        Feature("size", -3, 3, "ln(cores / 18) / 2"),
        Feature("waiting", 0, 3, "ln(1 + jobs waiting) / 4"),
        Feature("waiting_share", 0, 3, "jobs waiting / capacity in workers of the smallest flavor"),
        Feature("in_service_share", 0, 1, "jobs in process / the same capacity"),
        *_each(flavors, "booting", 0, 3, "ln(1 + booting {}) / 3"),
        *_each(flavors, "idle", 0, 3, "ln(1 + idle {}) / 3"),
        *_each(flavors, "busy", 0, 3, "ln(1 + busy {}) / 3"),
        Feature("draining", 0, 3, "ln(1 + workers that drain or retire) / 3"),
        Feature("reserved_cpu", 0, 1, "share of the vCPUs reserved"),
        Feature("reserved_ram", 0, 1, "share of the RAM reserved"),
        *_each(flavors, "fits", 0, 1, "1 if one more {} fits"),
        Feature("balance", -3, 3, "b = booting + idle - waiting: sign(b) ln(1 + abs(b)) / 3"),
        Feature(
            "queued_work", 0, 2, "ln(1 + expected seconds of the queue on the smallest flavor) / 8"
        ),
        Feature("queued_share", 0, 3, "those seconds / (60 s * the same capacity)"),
        Feature(
            "head_service",
            0,
            1,
            "ln(1 + expected seconds of the next job on the smallest flavor) / 8",
        ),
        Feature("oldest_wait", 0, 1, "ln(1 + seconds the oldest waiting job has waited) / 8"),
        Feature(
            "mean_service",
            0,
            1,
            "ln(1 + mean expected seconds of a job on the smallest flavor) / 8",
        ),
        Feature("load_short", 0, 3, "offered load over 1 min / the same capacity"),
        Feature("load_medium", 0, 3, "offered load over 10 min / the same capacity"),
        Feature("load_long", 0, 3, "offered load over 60 min / the same capacity"),
        Feature("erlangs_short", 0, 3, "ln(1 + offered load over 1 min in erlangs) / 3"),
        Feature("erlangs_medium", 0, 3, "ln(1 + offered load over 10 min in erlangs) / 3"),
        Feature("trend", -2, 2, "ln((load_short + 0.02) / (load_medium + 0.02)) / 2"),
        Feature("since_arrival", 0, 1, "ln(1 + seconds since the last arrival) / 8"),
        Feature("mean_gap", 0, 1, "ln(1 + mean inter-arrival time in seconds) / 8"),
        Feature("gap_cv", 0, 2, "coefficient of variation of the inter-arrival times / 2"),
        Feature("next_in_boot", 0, 1, "probability of an arrival within one boot time"),
        Feature("next_in_minute", 0, 1, "probability of an arrival within 60 s"),
        Feature("boot_time", 0, 1, "ln(1 + expected seconds of a warm boot) / 6"),
        Feature("cold_nodes", 0, 1, "share of the nodes that never held the image"),
        Feature("boot_progress", 0, 2, "age of the oldest boot / expected boot time"),
        *_each(flavors, "idle_age", 0, 1, "ln(1 + seconds the longest-idle {} has idled) / 8"),
        Feature("next_end", 0, 1, "ln(1 + expected seconds to the first job end) / 8, 1 if none"),
        Feature("mean_remaining", 0, 1, "ln(1 + mean expected seconds to a job end) / 8"),
    )


def schema(flavors: Sequence[str]) -> dict[str, Any]:
    """Observation and action schema with its hash: what a frozen policy must match."""
    body = {
        "version": OBSERVATION_VERSION,
        "observation": [feature._asdict() for feature in features(flavors)],
        "actions": [
            "keep",
            *(f"spawn {name}" for name in flavors),
            *(f"end {name}: longest-idle, or else retire" for name in flavors),
        ],
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return {**body, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def bounds(flavors: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and greatest value of each feature, shape (features,) each."""
    spec = features(flavors)
    low = np.array([feature.low for feature in spec], dtype=np.float32)
    return low, np.array([feature.high for feature in spec], dtype=np.float32)


class _Logs(dict[int, float]):
    """Scaled ln(1 + n) by n, worked out once for each n."""

    def __missing__(self, n: int) -> float:
        value = self[n] = log1p(n) / COUNT_SCALE
        return value


_SCALED_LOG1P: Final = _Logs()


class Observer:
    """Writes the observation of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._low, self._high = bounds([flavor.name for flavor in cluster.flavors])
        self.size = len(self._low)
        self._cluster_size = size_feature(cluster.cores)
        self._workers = float(max(1, cluster.capacity_of(0)))
        self._boot = boot_feature(cluster.boot_s)
        self._seen_s = -1.0
        self._seen_arrivals = -1
        self._loads: list[float] = []
        self._soon: list[float] = []

    def write(self, row: NDArray[np.float32]) -> None:
        """Fill `row`, shape (features,), with the observation of this moment."""
        c = self.cluster
        now = c.now
        arrivals = c.arrivals
        workers = self._workers
        logs = _SCALED_LOG1P
        waiting = c.waiting
        balance = c.n_booting + c.n_idle - waiting
        head = c.head_job
        oldest = c.oldest_waiting_since
        if now != self._seen_s or arrivals.count != self._seen_arrivals:
            # Orders take no time: what only arrivals and the clock change is kept meanwhile.
            self._seen_s, self._seen_arrivals = now, arrivals.count
            self._loads = arrivals.offered_loads(now)
            self._soon = arrivals.probabilities_within(now, (c.boot_s, MINUTE_S))
        short, medium, long = self._loads
        next_in_boot, next_in_minute = self._soon
        last = arrivals.last_s
        boot = c.oldest_boot
        end = c.next_expected_end
        ages = [0.0] * c.n_flavors
        if c.n_idle:
            for flavor in range(c.n_flavors):
                worker = c.longest_idle(flavor)
                if worker is not None:
                    ages[flavor] = log1p(now - worker.idle_since) / SECONDS_SCALE
        row[:] = [
            preference_feature(c.preference),
            self._cluster_size,
            log1p(waiting) / WAITING_SCALE,
            waiting / workers,
            c.in_service / workers,
            *[logs[n] for n in (*c.booting, *c.idle, *c.busy)],
            log1p(c.n_draining + c.n_retiring) / COUNT_SCALE,
            c.reserved_vcpus / c.capacity_vcpus,
            c.reserved_ram_gib / c.capacity_ram_gib,
            *c.fits,
            (log1p(balance) if balance >= 0 else -log1p(-balance)) / COUNT_SCALE,
            log1p(max(0.0, c.queued_service_s[0])) / SECONDS_SCALE,
            c.queued_service_s[0] / (MINUTE_S * workers),
            0.0 if head is None else log1p(head.service_s[0]) / SECONDS_SCALE,
            0.0 if oldest is None else log1p(now - oldest) / SECONDS_SCALE,
            log1p(c.mean_service_s[0]) / SECONDS_SCALE,
            short / workers,
            medium / workers,
            long / workers,
            log1p(short) / COUNT_SCALE,
            log1p(medium) / COUNT_SCALE,
            log((short / workers + TREND_FLOOR) / (medium / workers + TREND_FLOOR)) / 2,
            1.0 if last is None else log1p(now - last) / SECONDS_SCALE,
            log1p(arrivals.mean_gap_s) / SECONDS_SCALE,
            arrivals.gap_cv / 2,
            next_in_boot,
            next_in_minute,
            self._boot,
            1.0 - c.nodes_cached / len(c.nodes),
            0.0 if boot is None else (now - boot.spawned_at) / c.boot_s,
            *ages,
            1.0 if end is None else log1p(max(0.0, end - now)) / SECONDS_SCALE,
            log1p(max(0.0, c.mean_remaining_s)) / SECONDS_SCALE,
        ]
        # np.clip does the same, but takes three times as long on so few numbers.
        np.minimum(np.maximum(row, self._low, out=row), self._high, out=row)


def action_mask(cluster: Cluster, mask: NDArray[np.bool_]) -> None:
    """Fill `mask`, shape (1 + 2 * flavors,): which actions may be ordered now.

    A spawn needs room, a kill a worker that idles or may be retired. To keep is always possible
    but while a job waits, no worker is there or booting that could ever serve it, and one fits: a
    policy that kept then would let the job wait until the next event, and without arrivals there
    is none.
    """
    fits = cluster.fits
    served = not cluster.waiting or cluster.n_busy or cluster.n_booting or cluster.n_idle
    ends = [cluster.can_kill(flavor) for flavor in range(cluster.n_flavors)]
    mask[:] = [bool(served) or not any(fits), *fits, *ends]
