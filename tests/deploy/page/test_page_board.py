from __future__ import annotations

import json

import pytest

from agents.loading import live_policy
from deploy.clock import Clock
from deploy.page.board import Board
from deploy.scheduler import Scheduler
from deploy.steps import Spawn
from deploy.tasks import Estimate
from env.config import load_profile
from env.jobs import Request


@pytest.fixture
def scheduler() -> Scheduler:
    policy, _ = live_policy("minimize-workers")
    made = Scheduler(load_profile("openstack"), policy, preference=0.3)
    made.resume(0.0)
    return made


def test_it_tells_of_the_cluster_and_of_each_decision_in_words(scheduler: Scheduler) -> None:
    board = Board(scheduler, Clock(), "minimize-workers", "fallback-rule")
    flavors = len(scheduler.cluster.flavors)
    request = Request(1.0, "bbb_3.mp4", 2000, "fast")
    steps = scheduler.submit(
        1.0, "job", request, Estimate((20.0,) * flavors, (1.0,) * flavors, (0.5,) * flavors)
    )
    board.heard(steps, 1000.0)
    board.sample()
    told = json.loads(json.dumps(board.snapshot(), allow_nan=False))
    spawned = [step for step in steps if isinstance(step, Spawn)]
    assert told["counts"]["booting"] == len(told["workers"]) == len(spawned) > 0
    assert told["counts"]["waiting"] == 1
    assert "booting" in told["why_waiting"]
    assert told["preference"] == 0.3
    started = [each for each in told["decisions"] if each["kind"] == "spawn"]
    assert started[0]["words"].startswith("The policy started a worker ")
    assert started[0]["after"].startswith("then 1 waiting")
    assert [len(sample) for sample in told["samples"]] == [12]


def test_a_lost_worker_and_its_reason_are_told(scheduler: Scheduler) -> None:
    board = Board(scheduler, Clock(), "minimize-workers", "fallback-rule")
    flavors = len(scheduler.cluster.flavors)
    request = Request(1.0, "bbb_3.mp4", 2000, "fast")
    for step in scheduler.submit(
        1.0, "job", request, Estimate((20.0,) * flavors, (1.0,) * flavors, (0.5,) * flavors)
    ):
        if isinstance(step, Spawn):
            board.heard(scheduler.gone(2.0, step.worker_id, "out of <memory>"), 1001.0)
    words = [each["words"] for each in board.snapshot()["decisions"]]
    assert any("out of <memory>" in each for each in words)
