"""Other futures of a data centre: the same state, other arrivals from now on.

A future is an episode's row of its own that goes on where the data centre has come to: the records
of the jobs that are in the system, and those of the jobs to come. Jobs keep their numbers.
"""

from __future__ import annotations

from math import floor, inf
from typing import Final

import numpy as np

from env.engine import layout as at
from env.engine.compiling import compiled
from env.engine.episode import EpisodeData
from env.engine.events import cancel, schedule_at
from env.engine.job_records import Columns, JobRecords, write_jobs
from env.engine.jobs import job_float
from env.engine.layout import (
    ARRIVAL,
    ARRIVED,
    ARRIVES_AT,
    BITS_I,
    FIRST_JOB,
    N_JOBS,
    OLDEST,
    QUEUE_I,
    RULE_I,
    TRACED,
    WAITING,
    Centre,
    Floats,
    Ints,
)
from env.job_draws import draw_jobs
from env.timing import TimingModel
from env.worker import WorkerState

_WORD: Final = 32
_BUSY: Final = int(WorkerState.BUSY)


def can_renew(data: EpisodeData) -> bool:
    """Whether other arrivals can be drawn: those of a given scenario stay as they are."""
    return data.source is not None and not data.ints[at.ENDS_WITH_JOBS]


class Renewal:
    """Draws other futures of a data centre as it is now.

    Args:
        data: what it plays, see `can_renew`.
        s: the data centre.
        until_s: no arrival after this time is wanted, seconds.
    """

    def __init__(self, data: EpisodeData, s: Centre, until_s: float) -> None:
        assert data.source is not None
        self._source, self._profile, self._s = data.source, data.profile, s
        self._now, self._until = float(s.f[at.NOW]), until_s
        self._true = TimingModel(data.profile)
        self._believed = None if data.believed is None else TimingModel(data.believed)
        column = int(s.ei[at.JOBS_EF]) + at.ARRIVES_AT
        length, arrived = int(s.ei[at.JOB_F]), int(s.i[at.ARRIVED])
        self._past = s.ef[column : column + arrived * length : length]

    def draw(self, key: int) -> tuple[Floats, Ints]:
        """A row of another episode, see `go_on`; the same key gives the same.

        Args:
            key: of the future's noise.
        """
        moment = np.array([self._now, len(self._past)]).tobytes()
        rng = np.random.default_rng([key, *np.frombuffer(moment, dtype=np.uint32).tolist()])
        source = self._source
        requests = source.after(rng, self._past, self._now, self._until)
        seed = int(rng.integers(2**63))
        draws = draw_jobs(self._true, requests, source.catalog, seed, self._believed)
        e = self._s.ei
        columns = Columns(
            *(int(e[c]) for c in (at.LUCK_AT, at.STANDING_AT, at.TRUE_ALONE_AT, at.JOB_F))
        )
        return go_on(self._s, write_jobs(self._profile, requests, draws, columns))


def go_on(s: Centre, jobs: JobRecords) -> tuple[Floats, Ints]:
    """The row of an episode in which these jobs come next, for a copy of the data centre.

    Args:
        s: the data centre, at the moment that it has reached.
        jobs: none of them arrives before.
    """
    e, length, arrived = s.ei, int(s.ei[at.JOB_F]), int(s.i[at.ARRIVED])
    first = _first_job(s)
    records, numbers = int(e[at.JOBS_EF]), int(e[at.JOBS_EI])
    earlier_kinds = (records - int(e[at.KINDS_EF])) // (2 * int(e[at.N_FLAVORS]))
    later = jobs.ints.copy()
    later[:, at.KIND] += earlier_kinds
    floats = np.concatenate(
        (
            s.ef[:records],
            jobs.kind_floats.ravel(),
            s.ef[records + first * length : records + arrived * length],
            jobs.floats.ravel(),
        )
    )
    ints = np.concatenate(
        (
            e[:numbers],
            jobs.kind_ints.ravel(),
            e[numbers + first * at.JOB_EI : numbers + arrived * at.JOB_EI],
            later.ravel(),
        )
    ).astype(np.int32)
    present = int(s.i[at.WAITING] + s.i[at.IN_SERVICE])
    most = s.ef[at.MAX_JOBS]
    queue = present + len(jobs.ints)
    queue = queue if most == inf else min(queue, max(present, floor(most) + 2))
    for column, value in {
        at.JOBS_EF: records + jobs.kind_floats.size - first * length,
        at.JOBS_EI: numbers + jobs.kind_ints.size - first * at.JOB_EI,
        at.N_JOBS: arrived + len(jobs.ints),
        at.FIRST_JOB: first,
        at.QUEUE_SIZE: queue,
        at.BITS_I: int(e[at.QUEUE_I]) + 2 * queue - first // _WORD,
        at.TRACE_SIZE: 0,  # nobody asks for a copy's metrics
    }.items():
        ints[column] = value
    ints[at.RULE_I] = state_ints(ints)
    return floats, ints


def stacked(rows: list[tuple[Floats, Ints]]) -> tuple[Floats, Ints]:
    """The rows as two arrays, each row as long as the longest."""
    floats = np.zeros((len(rows), max((len(one) for one, _ in rows), default=0)))
    header = at.FLAVORS_EI if rows else 0
    ints = np.zeros((len(rows), max((len(one) for _, one in rows), default=header)), dtype=np.int32)
    for k, (one, other) in enumerate(rows):
        floats[k, : len(one)] = one
        ints[k, : len(other)] = other
    return floats, ints


def state_ints(ei: Ints) -> int:
    """Whole numbers of a data centre that goes on with this row's episode, without a rule's."""
    return int(ei[at.BITS_I]) + int(ei[at.N_JOBS]) // _WORD + 1


def _first_job(s: Centre) -> int:
    """The lowest number of a job in the system, or of the next to come."""
    queue, waiting = int(s.ei[at.QUEUE_I]), int(s.i[at.WAITING])
    jobs = s.i[queue : queue + 2 * waiting : 2].tolist()
    workers = int(s.ei[at.WORKERS_I])
    table = s.i[workers : workers + int(s.ei[at.N_SLOTS]) * at.WORKER_I].reshape(-1, at.WORKER_I)
    busy = (table[:, at.STATE] == _BUSY) & (table[:, at.JOB] >= 0)
    return int(min([int(s.i[at.ARRIVED]), *jobs, *table[busy, at.JOB].tolist()]))


@compiled
def move_in(old: Centre, s: Centre) -> None:
    """A data centre's whole numbers, for its copy that goes on with another episode.

    Args:
        old: the data centre.
        s: the copy; its floats are there.
    """
    for k in range(old.ei[QUEUE_I] + 2 * old.i[WAITING]):
        s.i[k] = old.i[k]
    first, arrived = s.ei[FIRST_JOB], s.i[ARRIVED]
    for word in range(first // _WORD, s.ei[N_JOBS] // _WORD + 1):
        held = word <= arrived // _WORD and word <= (old.ei[N_JOBS]) // _WORD
        s.i[s.ei[BITS_I] + word] = old.i[old.ei[BITS_I] + word] if held else 0
    memory, other = old.ei[RULE_I], s.ei[RULE_I]
    for k in range(min(len(old.i) - memory, len(s.i) - other)):
        s.i[other + k] = old.i[memory + k]
    s.i[OLDEST] = max(s.i[OLDEST], first)
    s.i[TRACED] = 0
    if s.ei[N_JOBS] > arrived:
        schedule_at(s, ARRIVAL, job_float(s, arrived, ARRIVES_AT))
    else:
        cancel(s, ARRIVAL)
