"""What is known of a job: its record, and what follows from that and from its kind.

What a flavor makes of a job is worked out when it is asked for, by the operations of
`env.timing.TimingModel.describe` and `env.job_draws` in their order: the digits are the same, and a
record takes half the memory.
"""

from __future__ import annotations

from env.dispatch import AGEING
from env.engine.compiling import compiled
from env.engine.layout import (
    ALONE,
    ARRIVES_AT,
    BITRATE,
    DISCIPLINE,
    FCFS,
    JOB_EI,
    JOB_F,
    JOBS_EF,
    JOBS_EI,
    KIND,
    KIND_COLUMNS,
    KINDS_EF,
    KINDS_EI,
    LUCK_AT,
    MEAN_SCATTER,
    N_FLAVORS,
    SCATTER,
    SJF,
    STANDING_AT,
    TRANSFER,
    TRUE_ALONE_AT,
    Centre,
)


@compiled
def job_float(s: Centre, job: int, column: int) -> float:
    """A figure of a job's record."""
    figure: float = s.ef[s.ei[JOBS_EF] + job * s.ei[JOB_F] + column]
    return figure


@compiled
def job_bitrate(s: Centre, job: int) -> int:
    """What it asks for, kbit/s."""
    bitrate: int = s.ei[s.ei[JOBS_EI] + job * JOB_EI + BITRATE]
    return bitrate


@compiled
def _speedup(s: Centre, job: int, place: int) -> float:
    kind = s.ei[s.ei[JOBS_EI] + job * JOB_EI + KIND]
    figure: float = s.ef[s.ei[KINDS_EF] + kind * 2 * s.ei[N_FLAVORS] + place]
    return figure


@compiled
def job_service(s: Centre, job: int, flavor: int) -> float:
    """Its expected service on a flavor, seconds: twin of `RequestTiming.service_s`."""
    transcode = job_float(s, job, ALONE) / _speedup(s, job, flavor)
    return s.ef[MEAN_SCATTER] * transcode + job_float(s, job, TRANSFER)


@compiled
def job_work(s: Centre, job: int, flavor: int) -> float:
    """Its transcode alone on a node, seconds: twin of `JobDraws.work_s`."""
    alone = job_float(s, job, s.ei[TRUE_ALONE_AT])
    return alone / _speedup(s, job, s.ei[N_FLAVORS] + flavor) * job_float(s, job, SCATTER)


@compiled
def job_luck(s: Centre, job: int) -> float:
    """See `JobDraws.luck`; 1 where no transcode fails."""
    return 1.0 if s.ei[LUCK_AT] < 0 else job_float(s, job, s.ei[LUCK_AT])


@compiled
def job_key(s: Centre, job: int) -> float:
    """Its place in the queue: the least goes first. By `priority` what does not change of it."""
    if s.ei[DISCIPLINE] == SJF:
        return job_service(s, job, 0) + AGEING * job_float(s, job, ARRIVES_AT)
    if s.ei[DISCIPLINE] == FCFS:
        return job_float(s, job, ARRIVES_AT)
    return job_float(s, job, s.ei[STANDING_AT])


@compiled
def job_int(s: Centre, job: int, column: int, flavor: int) -> int:
    """A whole number of its kind on a flavor."""
    flavors = s.ei[N_FLAVORS]
    kind = s.ei[s.ei[JOBS_EI] + job * JOB_EI + KIND]
    number: int = s.ei[s.ei[KINDS_EI] + (kind * KIND_COLUMNS + column) * flavors + flavor]
    return number
