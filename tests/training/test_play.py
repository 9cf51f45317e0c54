"""Who plays a run shows in no figure: the engine and the reference give the same, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tests.training.evaluation_world import ROWS, write_frozen, write_rows

pytest.importorskip("numba")

from agents.compiled import windows
from agents.frozen import FrozenPolicy
from agents.policy import Policy
from agents.registry import make_policy, tunable_names
from env.actions import KEEP, Action
from env.catalog import load_catalog
from env.cluster import Cluster
from env.config import load_profile
from env.errors import DaCircoError
from env.scenario import load_scenario
from env.simulator import Simulator
from training import evaluate
from training.competition import runs
from training.competition.conditions import AT_HOME, ELSEWHERE
from training.episode_sets import random_set
from training.rollouts import arena
from training.rollouts.cells import Cell
from training.rollouts.play import COMPILED, REFERENCE, Stage, left_out
from training.tuning.space import Space

SHIPPED = Path(__file__).parents[2] / "models" / "seed1"
FAULTY = replace(
    load_profile("openstack"),
    faults=replace(load_profile("openstack").faults, spawn_failure=0.2, worker_loss_per_hour=9.0),
)


def cells(policies: list[Policy], folder: Path) -> list[Cell]:
    """Each policy on two scenarios, at home and in a world with faults that it does not expect."""
    catalog, home = load_catalog(), load_profile("openstack")
    scenarios = [
        load_scenario(str(write_rows(folder / f"{n}.csv", ROWS[n:])), catalog).requests
        for n in (0, 3)
    ]
    return [
        Cell(policy, true, requests, catalog, seed, w, home)
        for policy in policies
        for w in (0.1, 0.9)
        for true in (home, FAULTY)
        for requests in scenarios
        for seed in (0, 1)
    ]


@pytest.fixture
def several(tmp_path: Path) -> list[Cell]:
    """Under rules, a tuned one, and networks."""
    policies = [
        make_policy("grace-period:discipline=sjf"),
        make_policy("tuned:break-even"),
        make_policy("adaptive-flavor"),
        FrozenPolicy(SHIPPED),
        FrozenPolicy(write_frozen(tmp_path / "eager")),
    ]
    return cells(policies, tmp_path)


@pytest.mark.parametrize("threads", [1, 2])
def test_engine_and_reference_tell_the_same(
    several: list[Cell], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena, "BATCH", 5)  # so that many take the places of those that end
    monkeypatch.setattr(arena, "WAVE", 3)
    told: list[int] = []
    stage = Stage(COMPILED, threads)
    played = stage.play(several, lambda: told.append(1))
    simulated = Stage(REFERENCE).play(several)
    for cell, one, two in zip(several, played, simulated, strict=True):
        assert one.metrics.to_dict() == two.metrics.to_dict(), cell.policy
        assert one.delays_s.tolist() == two.delays_s.tolist()
    assert len(told) == len(several)
    assert stage.totals(several) == Stage(REFERENCE).totals(several)


def test_the_command_writes_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "busy.csv")
    frozen = str(write_frozen(tmp_path / "eager"))
    written = {}
    for engine in (COMPILED, REFERENCE):
        arguments = ["--scenario", "busy.csv", "--policy", frozen, "--policy", "reserve-k"]
        arguments += ["--policy", "minimize-workers", "--preference", "0.1", "--preference", "0.9"]
        assert evaluate.main([*arguments, "--engine", engine, "--json", f"{engine}.json"]) == 0
        table = capsys.readouterr().out.replace(f"{engine}.json", "FILE")
        written[engine] = table, (tmp_path / f"{engine}.json").read_bytes()
    assert written[COMPILED] == written[REFERENCE]


def test_a_batch_of_the_competition_is_the_same(tmp_path: Path) -> None:
    write_rows(tmp_path / "busy.csv")
    course = runs.Course("openstack", (str(tmp_path / "busy.csv"),), (0, 1))
    for condition in (AT_HOME, *ELSEWHERE):
        batch = runs.Batch("adaptive-flavor", 0.3, condition, 2)
        runner = runs.Runner(course, tmp_path / "runs", 1)
        ((_, found),) = runner._on_engine([batch], make_policy(batch.policy))
        expected = runs.carry_out(course, batch)
        for name in runs.Outcome.__slots__:
            assert getattr(found, name).tolist() == getattr(expected, name).tolist(), condition


@pytest.mark.parametrize("rule", tunable_names())
def test_settings_that_tuning_tries_are_the_same(rule: str) -> None:
    episodes = [
        replace(episode, requests=episode.requests[:40]) for episode in random_set(3, len(rule))
    ]
    space = Space(rule, load_profile("openstack"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=len(rule)))
    specs = [space.spec(space.choose(study.ask())) for _ in range(4)]
    tried = [Cell.of(make_policy(spec), episode, 0.5) for spec in specs for episode in episodes]
    expected = Stage(REFERENCE).totals(tried)
    for cell, one, two in zip(tried, Stage().totals(tried), expected, strict=True):
        assert one == two, cell.policy.spec


def test_a_rule_that_remembers_more_than_there_is_room_for_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knative = cells([make_policy("concurrency-windows")], tmp_path)
    expected = Stage(REFERENCE).totals(knative)
    monkeypatch.setattr(windows, "_MOST", 2)
    simulate, simulated = Cell.simulate, []

    def told(cell: Cell) -> Simulator:
        simulated.append(cell)
        return simulate(cell)

    monkeypatch.setattr(Cell, "simulate", told)
    assert Stage().totals(knative) == expected
    assert simulated


class Stranger(Policy):
    """Has no compiled form."""

    name, discipline = "stranger", "fcfs"

    def act(self, cluster: Cluster) -> Action:
        """Nothing, ever."""
        return KEEP


def test_what_has_no_compiled_form_is_named() -> None:
    grace = make_policy("grace-period")
    assert left_out(Stage(), [grace]) is None
    assert left_out(Stage(), [grace, Stranger()]) == "played by the reference simulator: stranger"
    assert left_out(Stage(REFERENCE), [Stranger()]) is None


def test_without_numba_the_reference_plays(
    several: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.rollouts.play.find_spec", lambda _: None)
    stage = Stage()
    said = left_out(stage, [several[0].policy])
    assert said is not None
    assert "Numba is not installed" in said
    assert stage.totals(several[:1]) == Stage(REFERENCE).totals(several[:1])


def test_rules_are_played_without_torch() -> None:
    """It takes seconds to import, which tuning a rule would pay each time."""
    code = "import sys, training.tune, training.rollouts.arena; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(DaCircoError, match="unknown engine 'fast'"):
        Stage("fast")


def test_a_policy_that_cannot_serve_says_so(several: list[Cell]) -> None:
    lost = replace(several[0], policy=make_policy("grace-period:flavor=none"))
    with pytest.raises(DaCircoError, match="unknown flavor 'none'"):
        Stage().totals([lost])
