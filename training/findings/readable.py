"""A dozen-odd plain figures of a cluster, which a person can check by looking at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.arrivals import LONG, MEDIUM, SHORT
from env.cluster import Cluster

_NEVER_S: Final = 3600.0
"""Stands in for a time since something that has not happened, and caps all ages."""


def readable_names(flavors: Sequence[str]) -> list[str]:
    """What each figure is called, with its unit."""
    short = [name.rpartition(".")[2] for name in flavors]
    return [
        "w",
        "jobs waiting",
        "work waiting (s on the smallest flavor)",
        "oldest job has waited (s)",
        "next job takes (s on the smallest flavor)",
        "workers booting",
        "waiting minus booting",
        *(f"idle {name}" for name in short),
        *(f"longest-idle {name} has idled (s)" for name in short),
        *(f"busy {name}" for name in short),
        "free vCPUs",
        "load over 1 min (erlangs)",
        "load over 10 min (erlangs)",
        "load over 60 min (erlangs)",
        "since last arrival (s)",
        "mean gap between arrivals (s)",
        "gap coefficient of variation",
        "first busy worker ends in (s)",
    ]


def readable(cluster: Cluster) -> NDArray[np.float64]:
    """The figures of this moment, in the order of `readable_names`."""
    now, arrivals = cluster.now, cluster.arrivals
    loads = arrivals.offered_loads(now)
    oldest, head, end = cluster.oldest_waiting_since, cluster.head_job, cluster.next_expected_end
    ages = [0.0] * cluster.n_flavors
    for flavor in range(cluster.n_flavors):
        worker = cluster.longest_idle(flavor)
        if worker is not None:
            ages[flavor] = min(_NEVER_S, now - worker.idle_since)
    return np.array(
        [
            cluster.preference,
            cluster.waiting,
            max(0.0, cluster.queued_service_s[0]),
            0.0 if oldest is None else now - oldest,
            0.0 if head is None else head.service_s[0],
            cluster.n_booting,
            cluster.waiting - cluster.n_booting,
            *cluster.idle,
            *ages,
            *cluster.busy,
            cluster.capacity_vcpus - cluster.reserved_vcpus,
            loads[SHORT],
            loads[MEDIUM],
            loads[LONG],
            _NEVER_S if arrivals.last_s is None else min(_NEVER_S, now - arrivals.last_s),
            min(_NEVER_S, arrivals.mean_gap_s),
            arrivals.gap_cv,
            _NEVER_S if end is None else min(_NEVER_S, max(0.0, end - now)),
        ]
    )
