"""Jobs that wait but may not be handed out for the time being."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.cluster import Cluster
from env.config import load_profile
from env.errors import IllegalEventError
from env.jobs import Job, Request
from env.worker import Worker

PROFILE = load_profile("openstack")


def cluster_with(jobs: int, idle: int = 0, discipline: str = "fcfs") -> Cluster:
    """Jobs j0, j1, ... that came a second apart, and idle workers w0, w1, ... of one vCPU."""
    cluster = Cluster(PROFILE, discipline=discipline)
    for i in range(idle):
        cluster.worker_spawned(0.0, f"w{i}", 0)
        cluster.worker_ready(0.0, f"w{i}")
    for i in range(jobs):
        request = Request(float(i), "bbb_0.mp4", 1000, "fast")
        cluster.job_arrived(float(i), Job(f"j{i}", request, (10.0 + i, 8.0, 6.0)))
    return cluster


def queue(cluster: Cluster) -> list[str]:
    """The jobs that may be handed out, in order."""
    return [str(job.job_id) for job in cluster._queue.in_order(cluster.now)]


def test_a_held_job_waits_unseen_and_takes_its_old_place_again() -> None:
    cluster = cluster_with(3)
    cluster.job_held(5.0, "j0")
    assert (cluster.waiting, cluster.held, cluster.jobs_in_system) == (2, 1, 3)
    assert cluster.is_waiting("j0")
    assert cluster.head_job is cluster.jobs["j1"]
    assert (cluster.oldest_waiting_since, cluster.oldest_unserved_since) == (1.0, 0.0)
    assert cluster.queued_service_s[0] == pytest.approx(23.0)
    cluster.job_released(9.0, "j0")
    assert queue(cluster) == ["j0", "j1", "j2"]
    assert (cluster.waiting, cluster.held) == (3, 0)
    assert cluster.oldest_waiting_since == 0.0
    assert cluster.jobs_integral() == pytest.approx(1 + 2 + 3 * 7)  # it counts all the time


def test_behind_a_closed_gate_everything_is_held_also_what_comes() -> None:
    cluster = cluster_with(2, idle=1)
    cluster.task_assigned(2.0, "j0", "w0")
    cluster.gate_closed(3.0)
    cluster.job_arrived(4.0, Job("late", Request(4.0, "bbb_0.mp4", 1000, "fast"), (1.0, 1.0, 1.0)))
    cluster.task_requeued(5.0, "w0")
    assert (cluster.waiting, cluster.held) == (0, 3)
    assert cluster.next_assignment() is None
    assert cluster.oldest_unserved_since == 0.0
    cluster.job_held(6.0, "late")  # for a reason of its own, too
    cluster.gate_opened(7.0)
    assert queue(cluster) == ["j0", "j1"]
    cluster.gate_closed(8.0)
    cluster.job_released(8.0, "late")
    assert (cluster.waiting, cluster.held) == (0, 3)
    cluster.gate_opened(9.0)
    assert (cluster.waiting, cluster.held) == (3, 0)


def test_a_job_that_waits_can_end_in_error() -> None:
    cluster = cluster_with(3, idle=1)
    cluster.job_held(3.0, "j1")
    for job_id in ("j1", "j2"):
        cluster.job_withdrawn(4.0, job_id)
    assert (cluster.failed, cluster.jobs_in_system, queue(cluster)) == (2, 1, ["j0"])
    cluster.task_assigned(5.0, "j0", "w0")
    for event in (cluster.job_withdrawn, cluster.job_held, cluster.job_released):
        with pytest.raises(IllegalEventError):
            event(6.0, "j0")
        with pytest.raises(IllegalEventError):
            event(6.0, "nobody")
    assert cluster.now == 5.0


def test_what_is_not_allowed_changes_nothing() -> None:
    cluster = cluster_with(1)
    with pytest.raises(IllegalEventError):
        cluster.gate_opened(1.0)
    cluster.gate_closed(1.0)
    with pytest.raises(IllegalEventError):
        cluster.gate_closed(2.0)
    cluster.job_held(3.0, "j0")
    with pytest.raises(IllegalEventError, match="held already"):
        cluster.job_held(4.0, "j0")
    assert (cluster.now, cluster.held) == (3.0, 1)


@pytest.mark.parametrize("discipline", ["fcfs", "sjf", "priority"])
def test_a_job_that_a_worker_may_not_have_is_passed_over(discipline: str) -> None:
    cluster = cluster_with(3, idle=2, discipline=discipline)
    first = queue(cluster)[0]

    def may_do(job: Job, worker: Worker) -> bool:
        return job.job_id != first or worker.worker_id == "nobody"

    pair = cluster.next_assignment(may_do)
    assert pair is not None
    job, worker = pair
    assert (job.job_id, worker.worker_id) == (queue(cluster)[1], "w1")
    with pytest.raises(IllegalEventError, match="not at the head"):
        cluster.task_assigned(3.0, job.job_id, "w1")
    cluster.task_assigned(3.0, job.job_id, "w1", out_of_turn=True)
    assert first in queue(cluster)
    assert cluster.next_assignment(lambda *_: False) is None
    cluster.job_held(4.0, first)
    with pytest.raises(IllegalEventError):
        cluster.task_assigned(4.0, first, "w0", out_of_turn=True)


@given(st.lists(st.tuples(st.sampled_from("hroxcw"), st.integers(0, 7)), max_size=60))
def test_no_job_is_lost_or_counted_twice(moves: list[tuple[str, int]]) -> None:
    cluster = cluster_with(8)
    now, held, left, open_ = 8.0, set[int](), set(range(8)), True
    for move, i in moves:
        now += 1.0
        try:
            if move == "h":
                cluster.job_held(now, f"j{i}")
                held.add(i)
            elif move == "r":
                cluster.job_released(now, f"j{i}")
                held.discard(i)
            elif move == "o":
                cluster.gate_opened(now)
                open_ = True
            elif move == "c":
                cluster.gate_closed(now)
                open_ = False
            elif move == "w":
                cluster.job_withdrawn(now, f"j{i}")
                held.discard(i)
                left.discard(i)
        except IllegalEventError:
            pass
        free = sorted(left - held) if open_ else []
        assert queue(cluster) == [f"j{i}" for i in free]
        assert cluster.waiting == len(free)
        assert cluster.held == len(left) - len(free)
        assert all(cluster.is_waiting(f"j{i}") == (i in left) for i in range(8))
        assert cluster.queued_service_s[0] == pytest.approx(sum(10.0 + i for i in free))
        assert cluster.oldest_waiting_since == (float(free[0]) if free else None)
