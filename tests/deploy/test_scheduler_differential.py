"""One state machine, two drivers: the scheduler decides as the simulator does, at the same times.

The same requests, with the same times of boots, transfers, transcodes and stops, run through
`env.simulator` and through the scheduler in a small event loop in virtual time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import pytest

from agents.decision import Decision
from agents.registry import make_policy
from deploy.scheduler import Scheduler
from deploy.steps import Assign, Decided, Retire, Spawn, Step, Stop
from deploy.tasks import Estimate, Progress
from env.actions import Action, ActionKind
from env.catalog import load_catalog
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.jobs import Request
from env.simulator import Simulator
from env.timing import TimingModel
from tests.retiring_rule import known

SHIPPED = Path(__file__).parents[2] / "models" / "dacirco"
BOOT_S, STOP_S = 16.0, 2.5
DECISIONS = tuple[float, ActionKind, int]


def quiet(profile: Profile) -> Profile:
    """Without scatter, crowding and first copies: a step takes the same time in both drivers."""
    timing = profile.timing
    law = timing.transcode
    boot = replace(timing.boot, median_s=BOOT_S, sigma=0.0, first_on_node_s=0.0, crowd_slope=0.0)
    return replace(
        profile,
        image_cached=True,
        timing=replace(
            timing,
            boot=replace(boot, crowd_knee_share=10.0),
            stop=replace(timing.stop, median_s=STOP_S, sigma=0.0),
            download=replace(timing.download, sigma=0.0),
            upload=replace(timing.upload, sigma=0.0),
            transcode=replace(law, sigma=0.0),
            contention=replace(
                timing.contention, knee_share=1.0, slope_per_core=0.0, boot_load=0.0
            ),
        ),
    )


class Watched:
    """A policy whose every answer is written down with its time."""

    def __init__(self, spec: str) -> None:
        self.policy = make_policy(spec)
        self.name, self.discipline = self.policy.name, self.policy.discipline
        self.decisions: list[DECISIONS] = []

    def reset(self, cluster: Cluster) -> None:
        self.policy.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        action = self.policy.act(cluster)
        self.decisions.append((cluster.now, action.kind, action.flavor))
        return action

    def wake_at(self, cluster: Cluster) -> float | None:
        return self.policy.wake_at(cluster)


class VirtualWorld:
    """Does what a cloud and its workers would, in the time that the profile says."""

    def __init__(self, profile: Profile, requests: list[Request], policy: Watched) -> None:
        self.profile = profile
        timing = TimingModel(profile).describe(requests, load_catalog())
        self.timing, self.requests = timing, requests
        ids = (f"id{i}" for i in count())
        self.scheduler = Scheduler(
            profile,
            policy,
            boot_s=TimingModel(profile).boot_s,
            new_id=lambda: next(ids),
        )
        self.flavors = {flavor.name: i for i, flavor in enumerate(profile.cluster.flavors)}
        self.flavor_of: dict[str, int] = {}
        self.events: list[tuple[float, int, tuple[str, ...]]] = []
        self.order = count()
        self.assigned: dict[str, float] = {}
        self.retired: list[Retire] = []
        self.ended: dict[str, float] = {}

    def at(self, time_s: float, *event: str) -> None:
        heappush(self.events, (time_s, next(self.order), event))

    def run(self) -> None:
        scheduler = self.scheduler
        # The simulator's first decision is due at the first event, not before.
        scheduler.paused = False
        for i, request in enumerate(self.requests):
            self.at(request.arrival_s, "arrive", str(i))
        self.at(self.profile.tick_s, "tick")
        while len(self.ended) < len(self.requests):
            wake = scheduler.wake_at
            if wake is not None and wake < self.events[0][0]:
                self.take(wake, scheduler.tick(wake))
                continue
            now, _, (what, *names) = heappop(self.events)
            self.take(now, list(self.happen(now, what, names)))

    def happen(self, now: float, what: str, names: list[str]) -> Iterator[Step]:
        scheduler = self.scheduler
        if what == "arrive":
            yield from scheduler.submit(
                now, names[0], self.requests[int(names[0])], self.estimate(int(names[0]))
            )
        elif what == "tick":
            yield from scheduler.tick(now)
            self.at(now + self.profile.tick_s, "tick")
        elif what == "ready":
            yield from scheduler.registered(now, names[0])
        elif what == "gone":
            yield from scheduler.gone(now, names[0], "stopped")
        else:
            job, worker, task = names
            index = int(job)
            progress = Progress[what.upper()]
            steps = scheduler.progressed(now, worker, task, progress)
            assert scheduler.progressed(now, worker, task, progress) == []  # a repetition
            yield from steps
            if progress is Progress.DOWNLOADED:
                took = self.timing.transcode_s[index, self.flavor_of[worker]]
                self.at(now + took, "transcoded", *names)
            elif progress is Progress.TRANSCODED:
                self.at(now + self.timing.upload_s[index], "uploaded", *names)
            else:
                self.ended[job] = now

    def estimate(self, index: int) -> Estimate:
        service = tuple(self.timing.service_s[index].tolist())
        size_mb = float(self.timing.source_mb[index])
        return Estimate(service, (1.0,) * len(service), (1.0,) * len(service), size_mb)

    def take(self, now: float, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Spawn(worker_id, _, flavor):
                    self.flavor_of[worker_id] = self.flavors[flavor.name]
                    self.at(now + BOOT_S, "ready", worker_id)
                case Retire():
                    self.retired.append(step)
                case Stop(worker_id):
                    self.at(now + STOP_S, "gone", worker_id)
                case Assign(job_id, worker_id, task_id):
                    self.assigned[job_id] = now
                    took = self.timing.download_s[int(job_id)]
                    self.at(now + took, "downloaded", job_id, worker_id, task_id)
                case Decided(Decision(), carried_out):
                    assert carried_out


def compare(profile: Profile, requests: list[Request], spec: str) -> tuple[Watched, VirtualWorld]:
    """Run both drivers; every decision and time must be the same."""
    simulated, live = Watched(spec), Watched(spec)
    simulator = Simulator(profile, requests, load_catalog(), discipline=simulated.discipline)
    simulator.run(simulated)
    world = VirtualWorld(profile, requests, live)
    world.run()
    # At the end of the last job the simulator asks no more; a controller does.
    ours, theirs = rounded(live.decisions), rounded(simulated.decisions)
    asked = len(theirs)
    assert ours[:asked] == theirs
    assert all(now == round(max(world.ended.values()), 6) for now, _, _ in ours[asked:])
    for i in range(len(requests)):
        assert world.assigned[str(i)] == pytest.approx(simulator.assigned_s[i], abs=1e-6)
        assert world.ended[str(i)] == pytest.approx(simulator.ended_s[i], abs=1e-6)
    here, there = world.scheduler.cluster, simulator.cluster
    assert here.jobs_integral() == pytest.approx(there.jobs_integral())
    assert here.reserved_cores_integral() == pytest.approx(there.reserved_cores_integral())
    return live, world


def rounded(decisions: list[DECISIONS]) -> list[DECISIONS]:
    """To microseconds; a wake-up at the moment of a tick makes one epoch here, two there."""
    found: list[DECISIONS] = []
    for now, kind, flavor in decisions:
        decision = (round(now, 6), kind, flavor)
        if kind is not ActionKind.KEEP or decision not in found[-1:]:
            found.append(decision)
    return found


@pytest.mark.parametrize(
    "spec",
    [
        "minimize-workers",
        "grace-period:max_idle_time=20",
        "reserve-k:spares=2",
        "scheduler-with-queue:queue_threshold=1,patience=40",
        "scheduler-with-reserve:max_workers=4",
        "adaptive-grace-period",
        "priority-based-dynamic:max_workers=3",
        SHIPPED.as_posix(),
    ],
)
def test_the_scheduler_decides_as_the_simulator_does(spec: str) -> None:
    profile = quiet(load_profile("openstack"))
    # Loads never exceed a node's cores: with 6 vCPUs on 6 cores a transcode is never slowed.
    times = [0.0, 1.3, 2.9, 30.1, 31.7, 90.3, 200.9, 201.1, 201.7, 202.9, 450.1, 451.3, 700.7]
    requests = [
        Request(time_s, f"bbb_{(7 * i) % 10}.mp4", 500 + 400 * i, ("fast", "ultrafast")[i % 2])
        for i, time_s in enumerate(times)
    ]
    live, _ = compare(profile, requests, spec)
    assert any(kind is ActionKind.SPAWN for _, kind, _ in live.decisions)


def test_busy_workers_retire_at_the_same_times(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = quiet(load_profile("openstack"))
    profile = replace(profile, cluster=replace(profile.cluster, max_vcpus=5.0))
    requests = [Request(3.3 * i, "bbb_3.mp4", 500 + 70 * i, "fast") for i in range(60)]
    live, world = compare(profile, requests, known(monkeypatch))
    assert {world.flavor_of[step.worker_id] for step in world.retired} == {1, 2}
    assert (0.0, ActionKind.SPAWN, 2) in live.decisions
    assert world.scheduler.cluster.n_retiring == 0
