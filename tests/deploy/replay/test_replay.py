"""Logs of a scheduler that everything happens to, replayed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents.registry import FURTHER
from deploy.eventlog.writer import EventLog
from deploy.replay.__main__ import main
from deploy.replay.compare import Report, replay
from deploy.replay.history import History, read_history
from env.errors import DaCircoError, EventLogError
from env.event_log import EventCode, read_events
from env.log_parts import parts_of
from env.worker import WorkerState
from tests.deploy.replay.recorder import START, Recorder, record
from tests.retiring_rule import known

MODEL = Path(__file__).parents[3] / "models" / "dacirco"


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
    assert report.states() == (report.total, 0, 0)
    assert report.folded > 20
    told = [c for c in report.decisions if c.recorded.detail]
    assert [c for c in told if c.recorded != c.replayed] == []
    assert report.exact


@pytest.mark.parametrize("seed", range(3))
def test_a_life_that_began_with_jobs_and_workers_is_reproduced(
    tmp_path: Path, policy: str, seed: int
) -> None:
    history, report = of_log(record(tmp_path, policy, seed=seed, steps=120, inherits=True))
    assert (history.inherited, history.doubts) == ((8, 7), [])
    assert report.skipped == []
    assert report.exact


@pytest.mark.parametrize("rule", FURTHER)
def test_the_existing_systems_further_algorithms_are_reproduced(tmp_path: Path, rule: str) -> None:
    _, report = of_log(record(tmp_path, rule, seed=1, inherits=True))
    assert report.skipped == []
    assert report.exact
    assert len({decision.recorded.action for decision in report.decisions}) > 1


@pytest.mark.parametrize("seed", [0, 1, 3])
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
    assert sum(report.by_action().values()) == report.total


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


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_keeps_are_asked_again_one_by_one(tmp_path: Path, seed: int) -> None:
    """Another policy is told apart also where the log has one line for many decisions."""
    path = record(tmp_path, "minimize-workers", seed=seed)
    _, report = of_log(path, "reserve-k:spares=3")
    events = [event for _, event in read_events(path)]
    repeated = [int(event["repeated"]) for event in events if event["code"] == "EV45"]
    assert report.folded == sum(repeated) > len(repeated)
    assert report.total == report.folded + sum(event["code"] == "EV20" for event in events)
    assert report.states() == (report.total, 0, 0)
    lines = {n for n, event in read_events(path) if event["code"] == "EV45"}
    assert any(c.line in lines and c.times > 1 for c in report.differing)


@pytest.mark.parametrize(
    "damage",
    [
        lambda keys: keys.update(observations="0" * 32),
        lambda keys: keys.update(repeated=str(int(keys["repeated"]) + 1)),
        lambda keys: keys.update(epochs="soon"),
        lambda keys: keys.update(epochs=keys["epochs"].split()[0] + " +1x999999999999"),
        lambda keys: keys.update(epochs=""),
        lambda keys: keys.update(repeated="many"),
        lambda keys: keys.pop("epochs"),
        lambda keys: keys.update(reason="breaker-open"),
        lambda keys: keys.update(
            epochs=re.sub(r"^[0-9.]+", lambda m: f"{float(m[0]) + 0.25:.6f}", keys["epochs"])
        ),
    ],
)
def test_a_changed_run_of_keeps_is_not_reproduced(tmp_path: Path, damage: Any) -> None:
    path = record(tmp_path, "reserve-k:spares=2", seed=1)
    lines = path.read_text(encoding="utf-8").splitlines()
    at = max(
        (i for i, line in enumerate(lines) if '"EV45"' in line),
        key=lambda i: int(json.loads(lines[i])["repeated"]),
    )
    keys = json.loads(lines[at])
    damage(keys)
    path.write_text("\n".join([*lines[:at], json.dumps(keys), *lines[at + 1 :], ""]))
    _, report = of_log(path)
    assert not report.exact


def test_a_log_in_parts_is_reproduced(tmp_path: Path) -> None:
    log = EventLog(tmp_path, max_bytes=20_000)
    path = record(tmp_path, "reserve-k:spares=2", seed=2, log=log)
    assert len(list(parts_of(path))) > 5
    history, report = of_log(path)
    assert history.doubts == []
    assert report.exact
    with pytest.raises(EventLogError, match=r"_part0002\.txt continues .*tc-events-01\.txt"):
        read_history(log.current.with_name("tc-events-01_part0002.txt"))
    log.current.with_name("tc-events-01_part0003.txt").unlink()
    with pytest.raises(EventLogError, match=r"_part0003\.txt is missing"):
        read_history(path)


def test_a_second_life_in_the_same_files_is_reproduced(tmp_path: Path) -> None:
    path = tmp_path / "events.txt"
    for seed in (3, 4):
        log = EventLog(path=path, max_bytes=30_000)
        record(tmp_path, "reserve-k:spares=2", seed=seed, steps=120, log=log)
    assert len(list(parts_of(path))) > 3
    assert of_log(path)[1].exact


def test_lines_that_the_disk_could_not_take_are_a_doubt(tmp_path: Path) -> None:
    path = record(tmp_path, "minimize-workers", steps=10)
    with path.open("a") as log:
        lost = {"time": "2026-01-01 00:00:00.000000", "code": "EV46", "lines": "7", "since": "1"}
        log.write(json.dumps(lost | {"time_epoch": f"{START + 1e6:.6f}"}) + "\n")
    [doubt] = read_history(path).doubts
    assert "7 lines could not be written" in doubt


def test_hours_of_nothing_cost_little_and_are_all_asked_again(tmp_path: Path) -> None:
    """One idle worker that the policy keeps: a line in a quarter of an hour."""
    recorder = Recorder(tmp_path, "reserve-k:spares=1", "grace-period", seed=0)
    while recorder.some(WorkerState.BOOTING) is not None:
        recorder.boot()
    size = recorder.log.path.stat().st_size
    start = recorder.now + 1.0
    for second in range(2 * 3600):
        recorder.now = start + second
        recorder.took(recorder.scheduler.tick(recorder.now), folded=True)
    recorder.keeps.flush()
    recorder.log.close()
    assert recorder.scheduler.cluster.n_workers == 1
    assert recorder.log.path.stat().st_size - size < 4000  # 2 h: a day is below 48 KB
    report = of_log(recorder.log.path)[1]
    assert report.folded == 7200
    assert report.exact


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
        lambda keys: keys.update(time_epoch="x"),
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
