"""A controller in shadow mode, with simulated workers in quick time; its log is replayed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agents.decision import Source
from deploy.controller.app import Controller, running_controller
from deploy.controller.settings import Settings
from deploy.controller.shadowing import Shadowing
from deploy.replay.compare import replay
from deploy.replay.history import read_history
from env.event_log import EventCode, read_events

MODEL = Path(__file__).parents[2] / "models" / "dacirco"
pytestmark = pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
PATIENCE_S = 240.0
JOBS = 8


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(
        runner_type="simulated",
        port=0,
        http_port=0,
        store=f"sqlite:///{folder / 'store.db'}",
        event_log_file=folder / "events.txt",
        scheduler=str(MODEL),
        fallback="grace-period:max_idle_time=20",
        speed_up=60.0,
        **changes,
    )


async def serve(controller: Controller) -> None:
    """Some jobs, until all are done."""
    await asyncio.wait_for(controller.ready.wait(), PATIENCE_S)
    for i in range(JOBS):
        await controller.service.submit(f"bbb_{i}.mp4", f"out-{i}.mp4", 1000 + i, "ultrafast")
        await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_S):
        while controller.conductor.scheduler.cluster.completed < JOBS:
            await asyncio.sleep(0.05)
    await controller.conductor.flush()


def test_the_fallback_decides_and_the_policy_is_only_told_of(tmp_path: Path) -> None:
    async def life() -> str:
        async with running_controller(settings(tmp_path, mode="shadow")) as controller:
            await serve(controller)
            return controller.conductor.metrics.exposition().decode()

    metrics = asyncio.run(life())
    assert "dacirco_shadow_agreement" in metrics
    assert 'dacirco_shadow_decisions_total{action="' in metrics
    log = tmp_path / "events.txt"
    events = [event for _, event in read_events(log)]
    shadow = [event for event in events if event["code"] == EventCode.SHADOW_DECISION]
    assert {event["policy"] for event in shadow} == {str(MODEL)}
    assert {event["agrees"] for event in shadow} <= {"true", "false"}
    changes = [(e["action"], e["flavor"], e["source"], e["reason"], e["agrees"]) for e in shadow]
    assert all(before != after for before, after in pairwise(changes))
    assert sum(int(event["repeated"]) for event in shadow) > len(shadow)
    decided = [event for event in events if event["code"] == EventCode.DECISION]
    assert {event["policy"] for event in decided} == {"grace-period:max_idle_time=20"}

    history = read_history(log)
    assert (history.policy, history.fallback) == ("grace-period:max_idle_time=20",) * 2
    report = replay(history, history.policy, history.fallback)
    assert report.skipped == []
    assert report.exact


def test_a_log_of_the_policy_in_charge_is_reproduced(tmp_path: Path) -> None:
    async def life() -> None:
        async with running_controller(settings(tmp_path)) as controller:
            await serve(controller)

    asyncio.run(life())
    history = read_history(tmp_path / "events.txt")
    assert history.policy == str(MODEL)
    report = replay(history, history.policy, history.fallback)
    assert report.states() == (report.total, 0, 0)
    assert report.exact
    assert {c.recorded.source for c in report.decisions} <= set(Source)


def test_a_life_that_began_with_jobs_is_reproduced(tmp_path: Path) -> None:
    async def begin() -> None:
        async with running_controller(settings(tmp_path)) as controller:
            await asyncio.wait_for(controller.ready.wait(), PATIENCE_S)
            for i in range(3):
                await controller.service.submit(f"bbb_{i}.mp4", f"o-{i}.mp4", 1000, "fast")

    async def go_on() -> None:
        async with running_controller(settings(tmp_path)) as controller:
            async with asyncio.timeout(PATIENCE_S):
                while controller.conductor.scheduler.cluster.completed < 3:
                    await asyncio.sleep(0.05)

    asyncio.run(begin())
    asyncio.run(go_on())
    history = read_history(tmp_path / "events.txt")  # both lives write to it: the last one counts
    assert history.inherited[0] == 3
    assert not history.doubts
    assert replay(history, history.policy, history.fallback).exact


def test_the_cost_is_estimated_again_and_again_and_told(tmp_path: Path) -> None:
    log, folder = tmp_path / "events.txt", tmp_path / "watching"
    folder.mkdir()

    async def served() -> None:
        async with running_controller(settings(tmp_path)) as controller:
            await serve(controller)

    async def watching() -> tuple[Any, str]:
        # At its own pace: a controller in quick time would leave the estimate little to run on.
        slow = replace(settings(folder), speed_up=1.0)
        async with running_controller(slow) as controller:
            shadowing = Shadowing("minimize-workers", "grace-period")
            shadowing.report_to(controller.conductor)
            task = asyncio.create_task(
                shadowing.keep_estimating(log, "grace-period", period_s=0.01, niceness=1)
            )
            async with asyncio.timeout(PATIENCE_S):
                while shadowing.estimate is None:
                    await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await controller.conductor.flush()
            return shadowing.estimate, controller.conductor.metrics.exposition().decode()

    asyncio.run(served())
    estimate, metrics = asyncio.run(watching())
    assert estimate.requests == JOBS
    assert 'dacirco_shadow_relative_cost{bound="low"}' in metrics
    told = [e for _, e in read_events(folder / "events.txt") if e["code"] == "EV34"]
    assert told[0]["ratio"] == f"{estimate.ratio:.4f}"
