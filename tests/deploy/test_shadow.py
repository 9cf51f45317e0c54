"""The policy in the shadow: what it sees, what is counted, and what it would have cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from agents.decision import Decision, Source
from agents.guard import Guarded
from agents.loading import LivePolicy, live_policy
from agents.policy import Policy
from agents.registry import make_policy
from deploy.eventlog.world import world_keys
from deploy.eventlog.writer import EventLog
from deploy.scheduler import Scheduler
from deploy.shadow import Shadow, ShadowDecision
from deploy.shadow_cost import estimate_in_background, known_requests, main, relative_cost
from deploy.tasks import Estimate
from env.actions import KEEP, Action, spawn
from env.catalog import load_catalog
from env.cluster import Cluster
from env.config import load_profile
from env.errors import DaCircoError
from env.event_log import EventCode
from env.jobs import Request
from env.timing import TimingModel

PROFILE = load_profile("openstack")
CATALOG = load_catalog("bbb")
ESTIMATE = Estimate((60.0, 40.0, 30.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))


def request(at: float, movie: str = "bbb_3.mp4") -> Request:
    return Request(at, movie, 2000, "fast")


def watched(shadow: Shadow, acting: str = "minimize-workers") -> Scheduler:
    scheduler = Scheduler(PROFILE, make_policy(acting), observers=[shadow])
    scheduler.resume(0.0)
    return scheduler


class Eager(Policy):
    """Spawns whenever it can."""

    name, discipline = "eager", "fcfs"

    def act(self, cluster: Cluster) -> Action:
        return spawn(0) if cluster.can_spawn(0) else KEEP


def live(policy: Policy) -> LivePolicy:
    return LivePolicy(Guarded(policy, make_policy("grace-period"), clock=lambda: 0.0))


def test_the_shadow_is_asked_once_at_each_epoch_and_does_nothing() -> None:
    seen: list[ShadowDecision] = []
    shadow = Shadow(live(Eager()), seen.append)
    scheduler = watched(shadow, "minimize-workers:max_workers=1,flavor=s10.tiny")
    scheduler.submit(1.0, "job", request(1.0), ESTIMATE)
    scheduler.tick(2.0)
    assert [(s.cluster_time, s.acting.action, s.decision.action, s.agrees) for s in seen] == [
        (0.0, KEEP, spawn(0), False),
        (1.0, spawn(0), spawn(0), True),
        (2.0, KEEP, spawn(0), False),
    ]
    assert scheduler.cluster.boots == 1
    assert shadow.counts == {("keep", "spawn s10.tiny"): 2, ("spawn s10.tiny",) * 2: 1}
    assert shadow.agreement == pytest.approx(1 / 3)


def test_an_empty_cluster_that_both_leave_empty_is_routine() -> None:
    seen: list[ShadowDecision] = []
    shadow = Shadow(live(make_policy("grace-period")), seen.append)
    scheduler = watched(shadow)
    scheduler.tick(1.0)
    assert [s.routine for s in seen] == [True, True]
    assert shadow.agreement is None


def test_the_same_policy_agrees_with_itself() -> None:
    shadow = Shadow(live(make_policy("minimize-workers")))
    scheduler = watched(shadow)
    for i in range(5):
        scheduler.submit(10.0 * i, f"job {i}", request(10.0 * i), ESTIMATE)
    assert shadow.agreement == 1.0


def test_a_shadow_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Raises:
        name = "raises"

        def reset(self, cluster: Cluster) -> None:
            raise RuntimeError("no")

        def decide(self, cluster: Cluster) -> Decision:
            raise RuntimeError("no")

    shadow = Shadow(Raises())
    scheduler = watched(shadow)
    steps = scheduler.submit(1.0, "job", request(1.0), ESTIMATE)
    assert scheduler.cluster.n_booting == 1
    assert steps
    assert shadow.failures == 2
    assert "in the shadow failed" in caplog.text


def test_an_unusable_model_shows_as_its_fallback(tmp_path: Path) -> None:
    seen: list[ShadowDecision] = []
    policy, _ = live_policy(str(tmp_path / "models" / "missing"))
    watched(Shadow(policy, seen.append))
    assert (seen[0].decision.source, seen[0].decision.reason) == (Source.FALLBACK, "unusable")


# -- the estimate -------------------------------------------------------------------------


def test_videos_that_are_not_known_take_the_time_of_a_typical_one() -> None:
    requests = [request(100.0), request(107.0, "holiday.mp4"), request(109.0)]
    known, substituted = known_requests(requests, PROFILE, CATALOG)
    assert [r.arrival_s for r in known] == [0.0, 7.0, 9.0]
    assert substituted == 1
    assert known[1].movie in CATALOG
    assert known[0].movie == "bbb_3.mp4"


def arrivals(n: int = 25) -> list[Request]:
    return [request(i * 13.0, f"bbb_{i % 10}.mp4") for i in range(n)]


def test_a_wasteful_policy_costs_more_and_the_same_one_the_same() -> None:
    def cost(policy: str, against: str) -> Any:
        return relative_cost(
            policy, against, arrivals(12), PROFILE, CATALOG, preference=0.5, seeds=8
        )

    dear = cost("reserve-k:spares=6", "grace-period")
    assert 1.0 < dear.low <= dear.ratio <= dear.high
    assert (dear.requests, dear.substituted, dear.seeds) == (12, 0, 8)
    cheap = cost("grace-period", "reserve-k:spares=6")
    assert cheap.ratio == pytest.approx(1 / dear.ratio)
    same = cost("grace-period", "grace-period")
    assert (same.ratio, same.low, same.high) == (1.0, 1.0, 1.0)


def test_too_little_gives_no_estimate(tmp_path: Path) -> None:
    for wrong in ({"requests": arrivals(4)}, {"seeds": 1}, {"policy": str(tmp_path / "m" / "x")}):
        keys: dict[str, Any] = {"policy": "grace-period", "requests": arrivals(), "seeds": 2}
        keys |= wrong
        with pytest.raises(DaCircoError):
            relative_cost(
                keys["policy"],
                "grace-period",
                keys["requests"],
                PROFILE,
                CATALOG,
                preference=0.5,
                seeds=keys["seeds"],
            )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a life with 25 requests."""
    log = EventLog(tmp_path)
    boot_s = TimingModel(PROFILE).boot_s
    log.write(
        EventCode.CONTROLLER_STARTED,
        moment=1e9,
        controller_id="c",
        policy="grace-period",
        fallback="grace-period",
        mode="shadow",
        preference="0.5",
        jobs=0,
        workers=0,
        **world_keys(PROFILE, "bbb", boot_s, "fcfs"),
    )
    for i, r in enumerate(arrivals()):
        log.write(
            EventCode.REQUEST_RECEIVED,
            moment=1e9 + r.arrival_s,
            request_id=f"r{i}",
            input_video=r.movie,
            bitrate=r.bitrate_kbps,
            speed=r.speed,
        )
    log.write(EventCode.PREFERENCE_CHANGED, moment=2e9, preference="0.9")
    log.close()
    return log.path


def test_the_command_estimates_from_a_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(log), "--policy", "reserve-k:spares=6", "--seeds", "2"]
    assert main([*arguments, "--last", "20"]) == 0
    told = capsys.readouterr().out
    assert "times as much as grace-period" in told
    assert "20 requests" in told
    assert "w = 0.90" in told  # the latest
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] < 1.0  # where speed counts, spares pay
    assert main([str(log), "--policy", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_the_controller_has_it_done_in_another_process(log: Path) -> None:
    found = asyncio.run(
        estimate_in_background(log, "reserve-k:spares=6", "grace-period", seeds=2, niceness=1)
    )
    assert found.ratio < 1.0
    assert found.preference == 0.9
    with pytest.raises(DaCircoError, match="nonsense"):
        asyncio.run(estimate_in_background(log, "nonsense", "grace-period", seeds=2, niceness=1))


def test_an_estimate_that_is_cancelled_leaves_no_process(log: Path) -> None:
    async def cancel_it() -> None:
        before = psutil.Process().children()  # of other tests in this process
        task = asyncio.create_task(
            estimate_in_background(
                log, "reserve-k:spares=6", "grace-period", seeds=1000, niceness=1
            )
        )
        async with asyncio.timeout(60):
            while not (children := set(psutil.Process().children()) - set(before)):
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(child.is_running() for child in children)

    asyncio.run(cancel_it())
