"""Logs of a scheduler that everything happens to, replayed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agents.loading import live_policy
from deploy.controller.estimates import Estimates
from deploy.controller.journal import lines_of
from deploy.eventlog.restored import job_keys, worker_keys
from deploy.eventlog.world import world_keys
from deploy.eventlog.writer import EventLog
from deploy.replay.__main__ import main
from deploy.replay.compare import Report, replay
from deploy.replay.history import History, read_history
from deploy.scheduler import Scheduler
from deploy.steps import Step
from deploy.tasks import Fault, Progress, RestoredJob, RestoredTask, RestoredWorker, TaskError
from env.catalog import load_catalog
from env.config import load_profile
from env.errors import DaCircoError, IllegalEventError
from env.event_log import EventCode
from env.jobs import Request, Speed
from env.worker import WorkerState
from tests.retiring_rule import known

MODEL = Path(__file__).parents[3] / "models" / "dacirco"
START = 1_790_000_000.123456
"""Seconds since the epoch: where floats are coarse."""


class Recorder:
    """A scheduler to which random things happen, with the log that a controller writes of it."""

    def __init__(
        self,
        folder: Path,
        policy: str,
        fallback: str,
        seed: int,
        inherits: bool = False,
        max_vcpus: float | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.log = EventLog(folder)
        profile = load_profile("openstack")
        profile = replace(
            profile, cluster=replace(profile.cluster, max_workers=7, max_vcpus=max_vcpus)
        )
        catalog = load_catalog("bbb")
        self.movies = list(catalog)
        self.estimates = Estimates(profile, catalog)
        self.policy, _ = live_policy(policy, fallback, clock=lambda: 0.0)
        ids = (f"id{seed}-{i}" for i in count())
        self.new_id: Callable[[], str] = lambda: next(ids)
        self.scheduler = Scheduler(
            profile, self.policy, preference=0.4, boot_s=self.estimates.boot_s, new_id=self.new_id
        )
        self.now = 0.0
        self.unseen: list[str] = []
        image_nodes = ("compute2", "gone") if inherits else ()
        for node in image_nodes:
            self.scheduler.restore_image(node)
        self.write(
            EventCode.CONTROLLER_STARTED,
            late=0.3 if inherits else 0.0,  # it is written when all is restored
            controller_id="c",
            policy=policy,
            fallback=fallback,
            mode="active",
            preference="0.4",
            jobs=8 * inherits,
            workers=7 * inherits,
            **world_keys(
                profile, "bbb", self.estimates.boot_s, self.policy.discipline, image_nodes
            ),
        )
        if inherits:
            self.inherit()
        self.took(self.scheduler.resume(self.now))

    def inherit(self) -> None:
        """What an earlier life left: waiting jobs, and a worker in each state."""

        def job(ago: float) -> RestoredJob:
            movie = self.random.choice(self.movies)
            request = Request(-ago, movie, 3000, "fast")
            estimate = self.estimates.of(movie, 3000, "fast")
            return RestoredJob(self.new_id(), request, estimate, self.random.randint(0, 2))

        def worker(flavor: str, **changes: Any) -> RestoredWorker:
            worker_id, ago = self.new_id(), self.random.uniform(100.0, 200.0)
            node = self.random.choice(["compute1", "compute3", None])
            given = {"registered": True, **changes}
            return RestoredWorker(worker_id, f"w-{worker_id}", flavor, node, -ago, **given)

        workers = [
            worker("s10.tiny", registered=False),
            worker("s10.small"),
            worker("s10.tiny", draining=True),
            worker("s10.tiny"),
        ]
        for progress in (Progress.ASSIGNED, Progress.DOWNLOADED, Progress.TRANSCODED):
            task = RestoredTask(job(90.0), self.new_id(), progress, -30.1, started=True)
            workers.append(worker("s10.tiny", task=task))
        for each in workers:
            self.now += 0.0123
            self.scheduler.restore_worker(self.now, each)
            keys = worker_keys(each, self.scheduler.cluster)
            self.write(EventCode.WORKER_RESTORED, **keys)
        for ago in (300.0, 70.5, 12.25, 3.125, 0.01):
            self.now += 0.0123
            waiting = job(ago)
            self.scheduler.restore_job(self.now, waiting)
            self.write(EventCode.JOB_RESTORED, **job_keys(waiting, self.scheduler.cluster))
        self.now += 0.5
        self.took(self.scheduler.gone(self.now, workers[3].worker_id, "gone meanwhile"))
        self.took(self.scheduler.gone(self.now, workers[5].worker_id, "gone meanwhile"))
        orphan = worker("s10.tiny", draining=True)
        self.now += 0.5
        self.write(
            EventCode.ORPHAN_REMOVED,
            name=orphan.name,
            worker_id=orphan.worker_id,
            flavor=orphan.flavor,
            node=orphan.node or "",
        )
        self.scheduler.restore_worker(self.now, orphan)

    def write(self, code: EventCode, *, late: float = 0.0, **keys: str | int | float) -> None:
        self.log.write(code, moment=START + self.now + late, **keys)

    def took(self, steps: list[Step]) -> None:
        for step in steps:
            for code, keys in lines_of(step, self.scheduler.cluster, self.policy.spec):
                self.write(code, **keys)

    def some(self, *states: WorkerState) -> Any:
        workers = [w for _, w in self.scheduler.workers() if w.state in states]
        return self.random.choice(workers) if workers else None

    def step(self) -> None:
        """Time passes, then something happens, as the service would tell of it."""
        self.now += self.random.choice([0.0, self.random.expovariate(0.3), 30.0])
        often = [self.arrive, self.boot, self.stopped] * 2 + [self.work] * 6
        rarely = [self.fail, self.give_up, self.gone, self.tick, self.dial, self.placed]
        rarely += [self.storage, self.look_for_input]
        with suppress(IllegalEventError):
            self.random.choice(often + rarely)()

    def arrive(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            movie, bitrate = self.random.choice(self.movies), self.random.randint(500, 8000)
            speed: Speed = "fast" if self.random.random() < 0.5 else "ultrafast"
            job_id = self.new_id()
            self.write(
                EventCode.REQUEST_RECEIVED,
                request_id=job_id,
                input_video=movie,
                bitrate=bitrate,
                speed=speed,
            )
            request = Request(self.now, movie, bitrate, speed)
            estimate = self.estimates.of(movie, bitrate, speed)
            unseen = self.random.random() < 0.1
            self.took(self.scheduler.submit(self.now, job_id, request, estimate, held=unseen))
            if unseen:
                self.unseen.append(job_id)

    def look_for_input(self) -> None:
        if self.unseen:
            job_id = self.unseen.pop()
            if self.random.random() < 0.5:
                self.took(self.scheduler.release(self.now, job_id))
            else:
                self.took(self.scheduler.withdraw(self.now, job_id, "no such video"))

    def storage(self) -> None:
        if self.scheduler.storage_is_away:
            self.took(self.scheduler.storage_back(self.now))
        elif self.random.random() < 0.3:
            self.took(self.scheduler.storage_away(self.now, "down"))

    def boot(self) -> None:
        worker = self.some(WorkerState.BOOTING)
        if worker is not None:
            flavor = self.scheduler.cluster.flavors[worker.flavor]
            self.write(
                EventCode.WORKER_REGISTERED,
                name="w",
                worker_id=worker.worker_id,
                node="compute1",
                cpus=flavor.vcpus,
                memory=flavor.ram_gib,
            )
            self.took(self.scheduler.registered(self.now, worker.worker_id))

    def work(self) -> None:
        worker = self.some(WorkerState.BUSY)
        if worker is not None:
            task = self.scheduler.task_of(worker.worker_id)
            assert task is not None
            progress = Progress(int(worker.phase))  # the step that ends this phase
            self.took(self.scheduler.progressed(self.now, worker.worker_id, task[1], progress))

    def fail(self) -> None:
        worker = self.some(WorkerState.BUSY)
        if worker is None:
            return
        task = self.scheduler.task_of(worker.worker_id)
        assert task is not None
        error = self.random.choice(list(TaskError))
        storage = error is TaskError.STORAGE_ERROR
        code = EventCode.STORAGE_ERROR if storage else EventCode.TRANSCODING_ERROR
        self.write(code, worker_id=worker.worker_id, task_id=task[1], error_message="bad")
        fault = self.random.choice(list(Fault))
        self.took(self.scheduler.failed(self.now, worker.worker_id, task[1], error, "bad", fault))

    def give_up(self) -> None:
        worker = self.some(WorkerState.BOOTING, WorkerState.IDLE, WorkerState.BUSY)
        if worker is not None and self.random.random() < 0.4:
            self.took(self.scheduler.give_up(self.now, worker.worker_id, "silent"))

    def gone(self) -> None:
        worker = self.some(*WorkerState)
        if worker is not None and self.random.random() < 0.4:
            self.took(self.scheduler.gone(self.now, worker.worker_id, "vanished"))

    def stopped(self) -> None:
        worker = self.some(WorkerState.DRAINING)
        if worker is not None:
            self.took(self.scheduler.gone(self.now, worker.worker_id, "stopped"))

    def tick(self) -> None:
        self.took(self.scheduler.tick(self.now))

    def dial(self) -> None:
        w = self.random.choice([0.1, 0.5, 0.9])
        self.write(EventCode.PREFERENCE_CHANGED, preference=f"{w:g}")
        self.took(self.scheduler.set_preference(self.now, w))

    def placed(self) -> None:
        worker = self.some(WorkerState.BOOTING)
        if worker is not None:
            node = self.random.choice(["compute1", "compute2", "compute3", "elsewhere"])
            self.took(self.scheduler.placed(self.now, worker.worker_id, node))


def record(
    folder: Path,
    policy: str,
    fallback: str = "grace-period:max_idle_time=20",
    seed: int = 0,
    steps: int = 250,
    inherits: bool = False,
    max_vcpus: float | None = None,
) -> Path:
    recorder = Recorder(folder, policy, fallback, seed, inherits, max_vcpus)
    for _ in range(steps):
        recorder.step()
    recorder.log.close()
    return recorder.log.path


def of_log(path: Path, policy: str | None = None) -> tuple[History, Report]:
    history = read_history(path)
    return history, replay(history, policy or history.policy, history.fallback)


@pytest.fixture(params=["rule", "model", "broken model"])
def policy(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A rule, the shipped policy, and one that cannot be loaded."""
    if request.param == "rule":
        return "reserve-k:spares=2"
    if request.param == "broken model":
        return str(tmp_path / "models" / "missing")
    if not MODEL.is_dir():
        pytest.skip("needs the shipped policy")
    return str(MODEL)


@pytest.mark.parametrize("seed", range(4))
def test_every_state_and_decision_is_reproduced(tmp_path: Path, policy: str, seed: int) -> None:
    path = record(tmp_path, policy, seed=seed)
    history, report = of_log(path)
    assert (history.policy, history.preference, history.doubts) == (policy, 0.4, [])
    assert report.skipped == []
    assert report.states() == (len(report.decisions), 0, 0)
    assert [c for c in report.decisions if c.recorded != c.replayed] == []
    assert report.exact


@pytest.mark.parametrize("seed", range(3))
def test_a_life_that_began_with_jobs_and_workers_is_reproduced(
    tmp_path: Path, policy: str, seed: int
) -> None:
    history, report = of_log(record(tmp_path, policy, seed=seed, steps=120, inherits=True))
    assert (history.inherited, history.doubts) == ((8, 7), [])
    assert report.skipped == []
    assert report.exact


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_retire_are_reproduced(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path, known(monkeypatch), seed=seed, steps=1500, max_vcpus=5.0)
    history, report = of_log(path)
    assert sum(entry.code is EventCode.WORKER_RETIRING for entry in history.entries) >= 1
    assert report.skipped == []
    assert report.exact


@pytest.mark.parametrize("code", ["EV35", "EV36"])
def test_a_damaged_inheritance_is_told_of(tmp_path: Path, code: str) -> None:
    path = record(tmp_path, "minimize-workers", steps=20, inherits=True)
    text = path.read_text(encoding="utf-8")
    broken = text.replace('"speed": "fast"', '"speed": "warp"')
    broken = broken.replace('"spawned_at": "-1', '"spawned_at": "x')
    path.write_text(broken, encoding="utf-8")
    _, report = of_log(path)
    assert code in {skipped.code for skipped in report.skipped}
    assert not report.exact


def test_the_logs_hold_all_that_can_happen(tmp_path: Path) -> None:
    codes = set()
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        history = read_history(record(tmp_path / str(seed), "reserve-k:spares=2", seed=seed))
        codes |= {entry.code for entry in history.entries}
    assert {f"EV{n}" for n in (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 20, 22, 23, 24, 25, 31, 32, 33)} <= {
        str(code) for code in codes
    }


def test_another_policy_is_told_apart(tmp_path: Path) -> None:
    path = record(tmp_path, "minimize-workers")
    _, report = of_log(path, "reserve-k:spares=3")
    assert report.states()[1:] == (0, 0)  # the states are those of the log all the same
    assert report.differing
    assert not report.exact
    first = report.differing[0]
    assert (first.recorded.action, first.replayed.action) == ("keep", "spawn s10.small")
    assert (first.replayed.source, first.replayed.reason) == ("policy", "policy")
    assert sum(report.by_action().values()) == len(report.decisions)


def test_a_changed_log_is_not_reproduced(tmp_path: Path) -> None:
    path = record(tmp_path, "minimize-workers")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if '"EV1"' in line)
    event = json.loads(lines[first])
    event["input_video"] = "bbb_9.mp4" if event["input_video"] != "bbb_9.mp4" else "bbb_0.mp4"
    path.write_text(
        "".join([*lines[:first], json.dumps(event) + "\n", *lines[first + 1 :]]), encoding="utf-8"
    )
    _, report = of_log(path)
    assert report.states()[1] > 0
    assert not report.exact


def test_a_missing_line_is_told_of(tmp_path: Path) -> None:
    path = record(tmp_path, "minimize-workers")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    created = next(i for i, line in enumerate(lines) if '"EV2"' in line)
    path.write_text("".join([*lines[:created], *lines[created + 1 :]]), encoding="utf-8")
    _, report = of_log(path)
    assert report.skipped
    assert "is not known" in report.skipped[0].why or "unknown" in report.skipped[0].why
    assert not report.exact


def test_another_preference_is_asked(tmp_path: Path) -> None:
    path = record(tmp_path, "minimize-workers")
    history = read_history(path, preference=0.7)
    report = replay(history, "minimize-workers", "grace-period")
    assert {c.state.preference for c in report.decisions} == {0.7}
    assert report.states()[0] == 0  # the preference is part of the observation


# -- logs of the existing system ----------------------------------------------------------


def old_log(path: Path) -> Path:
    """One job on one worker, as the existing system writes it."""
    task = {"request_id": "r1", "worker_id": "w1", "task_id": "t1"}
    events: list[tuple[float, str, dict[str, str]]] = [
        (0.0, "EV1", {"request_id": "r1", "input_video": "bbb_1.mp4"}),
        (0.1, "EV2", {"name": "vm1", "worker_id": "w1"}),
        (16.0, "EV11", {"name": "vm1", "worker_id": "w1", "node": "compute2", "cpus": "2"}),
        (16.1, "EV3", task),
        (16.1, "EV4", task),
        (17.0, "EV5", task),
        (60.0, "EV6", task),
        (61.0, "EV7", task),
        (62.0, "EV8", {"name": "vm1", "worker_id": "w1"}),
    ]
    lines = []
    for moment, code, keys in events:
        more = {"bitrate": "1000", "speed": "fast"} if code == "EV1" else {}
        more |= {"memory": "4"} if code == "EV11" else {}
        event = {"time": str(1.6e9 + moment), "code": code, "description": "", **keys, **more}
        lines.append(json.dumps(event) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_an_old_log_tells_of_spawns_and_stops(tmp_path: Path) -> None:
    history = read_history(old_log(tmp_path / "tc-events-01.txt"))
    report = replay(history, "minimize-workers", "grace-period")
    assert [(c.recorded.action, c.replayed.action) for c in report.decisions] == [
        ("spawn s10.small", "spawn s10.small"),
        ("kill s10.small", "kill s10.small"),
    ]
    assert report.skipped == []
    assert [c.rebuilt for c in report.decisions] == [None, None]
    assert any("no decisions" in doubt for doubt in report.doubts)
    assert any("openstack" in doubt for doubt in report.doubts)


# -- the command --------------------------------------------------------------------------


def test_the_command_prints_and_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path, "minimize-workers", steps=60)
    assert main([str(path), "--verify"]) == 0
    assert "the log is reproduced exactly" in capsys.readouterr().out
    assert main([str(path), "--policy", "reserve-k:spares=3", "--limit", "1"]) == 0
    told = capsys.readouterr().out
    assert "decided otherwise" in told
    assert "waiting" in told
    assert main([str(path), "--policy", "reserve-k:spares=3", "--verify"]) == 2
    assert "is not reproduced by reserve-k" in capsys.readouterr().err


def test_the_command_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path, "minimize-workers", steps=60)
    assert main([str(path), "--policy", "reserve-k:spares=3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["states"] == {"rebuilt": data["decisions"], "differ": 0, "unknown": 0}
    assert data["differences"][0]["replayed"]["reason"] == "policy"
    assert data["differences"][0]["state"]["waiting"] >= 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.txt"], "missing.txt"),
        ([], "FILE"),
        (["log.txt"], "--policy"),
        (["log.txt", "--policy", "nonsense"], "nonsense"),
        (["log.txt", "--policy", "grace-period", "--preference", "7"], "preference"),
        (["log.txt", "--policy", "grace-period", "--profile", "mars"], "mars"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    old_log(tmp_path / "log.txt")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda keys: keys.update(profile="{"),
        lambda keys: keys.update(profile="[]"),
        lambda keys: keys.update(profile='{"name":"x"}'),
        lambda keys: keys.update(catalog="no-such-catalog"),
        lambda keys: keys.update(boot_s="soon"),
        lambda keys: keys.update(discipline="lifo"),
        lambda keys: keys.pop("catalog"),
        lambda keys: keys.update(preference="x"),
        lambda keys: keys.update(time="x"),
    ],
)
def test_a_damaged_start_is_an_error_of_one_line(tmp_path: Path, damage: Any) -> None:
    path = record(tmp_path, "minimize-workers", steps=3)
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = json.loads(lines[0])
    damage(keys)
    path.write_text("\n".join([json.dumps(keys), *lines[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(DaCircoError):
        read_history(path)
