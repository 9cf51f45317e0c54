"""When the controller opens its event log, what it tells of it, and what an idle one writes."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
from pathlib import Path

import pytest

from deploy.controller.app import running_controller
from deploy.controller.settings import Patience, Settings
from deploy.eventlog.config_file import config_path
from deploy.managers.base import Listener, ManagerError
from deploy.replay.compare import replay
from deploy.replay.history import read_history
from env.config import ClusterConfig
from env.errors import DaCircoError
from env.event_log import read_events
from env.log_parts import logs_in, parts_of
from tests.deploy.live_controller import PATIENCE_S, TestCloud, controller_in, until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class CloudThatIsAway(TestCloud):
    async def start(self, listener: Listener) -> ClusterConfig:
        raise ManagerError("no route to the cloud")


def test_starts_that_fail_use_up_no_log(folder: Path) -> None:
    """A supervisor starts it again and again while cloud, ports or policy are not there."""

    async def start(cloud: TestCloud | None = None, **changes: object) -> None:
        async with controller_in(folder, cloud, event_log_file=None, **changes):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for _ in range(3):
            with pytest.raises(DaCircoError, match="no route"):
                asyncio.run(start(CloudThatIsAway()))
            with pytest.raises(DaCircoError, match="cannot listen on"):
                asyncio.run(start(http_port=port))
            with pytest.raises(DaCircoError):
                asyncio.run(start(port=port))
            with pytest.raises(DaCircoError):
                asyncio.run(start(scheduler="no-such-policy"))
    assert logs_in(folder) == []
    assert not list(folder.glob("*.config.txt"))
    asyncio.run(start())
    [log] = logs_in(folder)
    assert log.name == "tc-events-01.txt"
    assert config_path(log).exists()
    assert next(read_events(log))[1]["code"] == "EV26"


def test_lost_lines_are_in_the_metrics_and_in_the_log(tmp_path: Path) -> None:
    async def story() -> tuple[str, int]:
        async with controller_in(tmp_path, event_log_max_mib=0) as running:
            metrics = running.controller.conductor.metrics
            assert "dacirco_event_log_lines_lost_total 0.0" in metrics.exposition().decode()
            await running.controller.conductor.flush()
            size = (tmp_path / "events.txt").stat().st_size
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            # The store is larger than the log and must go on: the log's file alone is full.
            big = 64 * 1024 * 1024
            path = tmp_path / "events.txt"
            with path.open("r+b") as log:
                log.truncate(big)
            resource.setrlimit(resource.RLIMIT_FSIZE, (big, limits[1]))
            try:
                running.controller.service.refuse("nonsense", "w", "t", "because")
                await running.controller.conductor.flush()
                told = metrics.exposition().decode()
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                signal.signal(signal.SIGXFSZ, before)
                with path.open("r+b") as log:
                    log.truncate(size)
            running.controller.service.refuse("nonsense", "w", "t", "again")
            await running.logged("EV29", reason="again")
            lost = int((await running.logged("EV46"))["lines"])
            return told, lost

    told, lost = asyncio.run(story())
    assert lost >= 1
    assert "dacirco_event_log_lines_lost_total 0.0" not in told
    assert "dacirco_event_log_lines_lost_total" in told


def test_a_controllers_log_goes_on_in_parts_and_is_replayed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.controller.parts.MIB", 4096)  # of a part
    settings = Settings(
        runner_type="simulated",
        port=0,
        http_port=0,
        store=f"sqlite:///{folder / 'store.db'}",
        scheduler="reserve-k:spares=1",
        fallback="grace-period",
        speed_up=200.0,
        event_log_max_mib=1,
    )

    async def life() -> None:
        async with running_controller(settings) as controller:
            await controller.ready.wait()
            for number in range(6):
                await controller.service.submit(f"bbb_{number}.mp4", "out.mp4", 1000, "fast")
            async with asyncio.timeout(PATIENCE_S):
                while controller.conductor.scheduler.cluster.completed < 6:
                    await asyncio.sleep(0.05)

    asyncio.run(life())
    [log] = logs_in(folder)
    assert len(list(parts_of(log))) >= 2
    history = read_history(log)
    report = replay(history, history.policy, history.fallback)
    assert report.exact
    assert report.folded > 10


def test_an_idle_worker_costs_a_line_now_and_then(tmp_path: Path) -> None:
    """The clock ticks hundreds of times; a replay asks at each of them again."""

    async def life() -> None:
        patience = Patience(call_interval_s=0.02)
        kept = {"scheduler": "reserve-k:spares=1", "patience": patience}
        async with controller_in(tmp_path, **kept) as running:
            await running.register((await running.spawned()).worker_id)
            conductor = running.controller.conductor
            await running.logged("EV11")
            metrics = conductor.metrics
            name = 'dacirco_decisions_total{action="keep",reason="policy",source="policy"} '

            def kept_times() -> float:
                text = metrics.exposition().decode()
                return float(text.partition(name)[2].partition("\n")[0] or 0)

            await until(lambda: kept_times() > 120)
            await conductor.flush()

    asyncio.run(life())
    path = tmp_path / "events.txt"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    repeated = [int(line["repeated"]) for line in lines if line["code"] == "EV45"]
    assert sum(repeated) > 100
    assert len(lines) < 20
    history = read_history(path)
    report = replay(history, history.policy, history.fallback)
    assert report.folded == sum(repeated)
    assert report.exact
