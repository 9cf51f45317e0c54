"""The jobs that wait: the twin of `env.dispatch`, and of the oldest of them in `env.cluster`.

A discipline with a fixed key is a heap of (job, number of its turn to queue up), the key being the
job's own. Under `priority` the same place holds the list of jobs in the order in which they came.
A bit a job tells which of them wait: jobs are numbered by arrival, so the first bit is the oldest.
"""

from __future__ import annotations

from typing import Final

from env.dispatch import PRIORITY_STEP_S, ROUNDING_S
from env.engine.compiling import compiled
from env.engine.events import next_number
from env.engine.jobs import job_float, job_key, job_service
from env.engine.layout import (
    ARRIVES_AT,
    BITS_I,
    DISCIPLINE,
    FLAVOR_F,
    FLAVORS_F,
    N_FLAVORS,
    NOW,
    OLDEST,
    PRIORITY,
    QUEUE_FULL,
    QUEUE_I,
    QUEUE_SIZE,
    QUEUED,
    WAITING,
    Centre,
)

_WORD: Final = 32


@compiled
def enqueue(s: Centre, job: int) -> None:
    """A job begins to wait."""
    number = next_number(s)
    n = s.i[WAITING]
    if n >= s.ei[QUEUE_SIZE]:
        s.i[QUEUE_FULL] = 1
        return
    s.i[WAITING] = n + 1
    if s.ei[DISCIPLINE] != PRIORITY:
        _rise(s, n, job, number)
    else:
        s.i[s.ei[QUEUE_I] + 2 * n] = job
    word = s.ei[BITS_I] + job // _WORD
    s.i[word] = s.i[word] | (1 << (job % _WORD))
    s.i[OLDEST] = min(s.i[OLDEST], job)
    for flavor in range(s.ei[N_FLAVORS]):
        s.f[FLAVORS_F + flavor * FLAVOR_F + QUEUED] += job_service(s, job, flavor)


@compiled
def head_place(s: Centre) -> int:
    """Where in the queue the job lies that the discipline serves next; there is one."""
    if s.ei[DISCIPLINE] != PRIORITY:
        return 0
    best = 0
    most = _priority(s, s.i[s.ei[QUEUE_I]])
    oldest = job_float(s, s.i[s.ei[QUEUE_I]], ARRIVES_AT)
    for place in range(1, s.i[WAITING]):
        job = s.i[s.ei[QUEUE_I] + 2 * place]
        urgency, arrival = _priority(s, job), job_float(s, job, ARRIVES_AT)
        if urgency > most or (urgency == most and arrival < oldest):
            best, most, oldest = place, urgency, arrival
    return best


@compiled
def head_job(s: Centre) -> int:
    """The job that is served next, -1 if none waits."""
    if s.i[WAITING] == 0:
        return -1
    job: int = s.i[s.ei[QUEUE_I] + 2 * head_place(s)]
    return job


@compiled
def take_head(s: Centre) -> int:
    """The job that is served next leaves the queue; there is one."""
    place = head_place(s)
    base = s.ei[QUEUE_I]
    job = s.i[base + 2 * place]
    n = s.i[WAITING] - 1
    s.i[WAITING] = n
    if s.ei[DISCIPLINE] != PRIORITY:
        if n > 0:
            _sink(s, 0, s.i[base + 2 * n], s.i[base + 2 * n + 1])
    else:
        for at in range(place, n):
            s.i[base + 2 * at] = s.i[base + 2 * at + 2]
    word = s.ei[BITS_I] + job // _WORD
    s.i[word] = s.i[word] & ~(1 << (job % _WORD))
    for flavor in range(s.ei[N_FLAVORS]):
        at = FLAVORS_F + flavor * FLAVOR_F + QUEUED
        if n > 0:
            s.f[at] -= job_service(s, job, flavor)
        else:
            s.f[at] = 0.0
    return job


@compiled
def oldest_waiting(s: Centre) -> int:
    """The job that has waited longest, -1 if none waits."""
    if s.i[WAITING] == 0:
        return -1
    base = s.ei[BITS_I]
    job = s.i[OLDEST]
    word = job // _WORD
    bits = (s.i[base + word] & 0xFFFFFFFF) >> (job % _WORD)
    while bits == 0:
        word += 1
        job = word * _WORD
        bits = s.i[base + word] & 0xFFFFFFFF
    while bits & 1 == 0:
        bits >>= 1
        job += 1
    s.i[OLDEST] = job
    return job


@compiled
def _priority(s: Centre, job: int) -> int:
    """Twin of `env.dispatch.priority`; the job's key is what does not change of it."""
    waited = s.f[NOW] - job_float(s, job, ARRIVES_AT) + ROUNDING_S
    return int(job_key(s, job) + waited // PRIORITY_STEP_S)


@compiled
def _goes_before(s: Centre, job: int, number: int, place: int) -> bool:
    base = s.ei[QUEUE_I]
    key, other = job_key(s, job), job_key(s, s.i[base + 2 * place])
    return key < other or (key == other and number < s.i[base + 2 * place + 1])


@compiled
def _rise(s: Centre, place: int, job: int, number: int) -> None:
    base = s.ei[QUEUE_I]
    while place > 0:
        parent = (place - 1) >> 1
        if not _goes_before(s, job, number, parent):
            break
        s.i[base + 2 * place] = s.i[base + 2 * parent]
        s.i[base + 2 * place + 1] = s.i[base + 2 * parent + 1]
        place = parent
    s.i[base + 2 * place] = job
    s.i[base + 2 * place + 1] = number


@compiled
def _sink(s: Centre, place: int, job: int, number: int) -> None:
    base = s.ei[QUEUE_I]
    size = s.i[WAITING]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _goes_before(
            s, s.i[base + 2 * right], s.i[base + 2 * right + 1], child
        ):
            child = right
        if _goes_before(s, job, number, child):
            break
        s.i[base + 2 * place] = s.i[base + 2 * child]
        s.i[base + 2 * place + 1] = s.i[base + 2 * child + 1]
        place = child
    s.i[base + 2 * place] = job
    s.i[base + 2 * place + 1] = number
