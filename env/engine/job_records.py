"""The jobs of an episode as rows of numbers; `env.engine.jobs` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.config import Profile
from env.dispatch import standing
from env.engine import layout as at
from env.engine.layout import Floats, Ints
from env.job_draws import JobDraws, event_times
from env.jobs import Request
from env.node import MIB_PER_GIB, MILLI

_ABSENT: Final = -1


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the figures lie that only some episodes need, -1 where it is nowhere.

    Attributes:
        luck: of an episode whose transcodes may fail.
        standing: of one whose jobs are served by `priority`.
        true_alone: of one whose jobs are expected to take another time than they do; where they
            are not it is `layout.ALONE`.
        n: of all columns.
    """

    luck: int
    standing: int
    true_alone: int
    n: int


def columns_of(profile: Profile, discipline: str, *, believed: bool) -> Columns:
    """The columns that an episode needs.

    Args:
        profile: the true one.
        discipline: of the queue.
        believed: whether another profile is expected.
    """
    n = at.JOB_COLUMNS
    places = []
    for needed in (profile.faults.transcode_error > 0.0, discipline == "priority", believed):
        places.append(n if needed else _ABSENT)
        n += needed
    luck, urgency, alone = places
    return Columns(luck, urgency, alone if believed else at.ALONE, n)


@dataclass(frozen=True, slots=True)
class JobRecords:
    """Jobs, and the kinds that they are of.

    Attributes:
        floats: shape (jobs, columns).
        ints: shape (jobs, `layout.JOB_EI`).
        kind_floats: shape (kinds, 2 * flavors).
        kind_ints: shape (kinds, columns, flavors).
    """

    floats: Floats
    ints: Ints
    kind_floats: Floats
    kind_ints: Ints


def write_jobs(
    profile: Profile, requests: Sequence[Request], draws: JobDraws, columns: Columns
) -> JobRecords:
    """Write the jobs down.

    Args:
        profile: the true one.
        requests: in order of arrival.
        draws: what was drawn for them.
        columns: that the episode has.
    """
    table = np.empty((len(requests), columns.n))
    table[:, at.ARRIVES_AT] = event_times(requests)
    table[:, at.DOWNLOAD] = draws.download_s
    table[:, at.UPLOAD] = draws.upload_s
    table[:, at.SCATTER] = draws.scatter
    table[:, at.ALONE] = draws.believed.alone_s
    table[:, at.TRANSFER] = draws.believed.transfer_s
    table[:, columns.true_alone] = draws.true.alone_s
    if columns.luck != _ABSENT:
        table[:, columns.luck] = draws.luck
    if columns.standing != _ABSENT:
        sizes = draws.source_mb.tolist()
        table[:, columns.standing] = [standing(*pair) for pair in zip(requests, sizes, strict=True)]
    kinds, first = _kinds(draws)
    speedups = np.hstack((draws.believed.speedup[first], draws.speedup[first]))
    numbers = np.empty((len(requests), at.JOB_EI), dtype=np.int32)
    numbers[:, at.KIND] = kinds
    numbers[:, at.BITRATE] = [request.bitrate_kbps for request in requests]
    return JobRecords(
        table, numbers, speedups, _kind_ints(profile, draws.speedup[first], draws.megapixels[first])
    )


def _kinds(draws: JobDraws) -> tuple[Ints, NDArray[np.intp]]:
    """The kind of each job, and a job of each kind; those of a kind have the very same digits."""
    _, first, kinds = np.unique(draws.megapixels, return_index=True, return_inverse=True)
    kinds = kinds.reshape(-1)
    figures = np.hstack((draws.speedup, draws.believed.speedup))
    if not np.array_equal(figures[first][kinds], figures):
        # The same power may have another last digit elsewhere in an array.
        figures = np.hstack((draws.megapixels[:, None], figures))
        _, first, kinds = np.unique(figures, axis=0, return_index=True, return_inverse=True)
    return kinds.reshape(-1).astype(np.int32), first


def _kind_ints(profile: Profile, speedup: Floats, megapixels: Floats) -> Ints:
    usage = profile.timing.usage
    n, flavors = speedup.shape
    table = np.empty((n, at.KIND_COLUMNS, flavors), dtype=np.int32)
    table[:, at.KIND_LOAD] = np.rint(speedup * MILLI)
    for flavor, config in enumerate(profile.cluster.flavors):
        cores = usage.transcode_cores * speedup[:, flavor]
        ram = usage.base_ram_gib + usage.ram_per_megapixel_gib * megapixels
        # As `used_millicores` and `used_mib`: one by one takes longer than all the rest.
        table[:, at.KIND_USED_MC, flavor] = (cores * MILLI + 0.5).astype(np.int64)
        used_ram = np.minimum(ram, config.ram_gib)
        table[:, at.KIND_USED_MIB, flavor] = (used_ram * MIB_PER_GIB + 0.5).astype(np.int64)
    return table
