"""The benchmark measures what it says; how fast anything is, no test asks."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from env.config import load_profile
from tests.training.evaluation_world import run_module
from training.bench import PARTS, Target, main, target_table
from training.benchmarks.decisions import gym_play, poisson_env, random_play, rule_play
from training.benchmarks.laps import Lap, Speed, lap, measure
from training.benchmarks.learning import NullEnv, TrainingSpeed, training_speed
from training.benchmarks.simulation import (
    NODES,
    arrival_rate,
    describe,
    poisson_requests,
    scaling,
    simulate,
    with_nodes,
)
from training.settings import Settings
from training.vector_env import BatchVecEnv


def speed(*core_s: float, units: int = 1) -> Speed:
    return Speed(tuple(Lap(units, seconds, 2 * seconds) for seconds in core_s))


# -- figures from laps --------------------------------------------------------------------


def test_a_speed_is_the_median_of_its_laps() -> None:
    laps = speed(4.0, 1.0, 2.0, units=8)
    assert (laps.per_second, laps.best_per_second) == (4.0, 8.0)
    assert (laps.core_s, laps.wall_s) == (2.0, 4.0)


def test_the_first_lap_does_not_count() -> None:
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return len(done)

    assert [one.units for one in measure(work, 3).laps] == [2, 3, 4]


def test_a_lap_takes_time() -> None:
    one = lap(lambda: sum(range(100_000)))
    assert one.units == sum(range(100_000))
    assert one.core_s > 0
    assert one.wall_s > 0


def test_training_is_compared_pair_by_pair() -> None:
    # In the second pair both were slowed down alike.
    pairs = TrainingSpeed(real=speed(2.0, 20.0, 3.0), null=speed(1.0, 10.0, 1.0))
    assert pairs.ratio == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "met"),
    [(2, 2, True, True), (1.9, 2, True, False), (2, 2, False, True), (2.1, 2, False, False)],
)
def test_a_target_is_reached_or_missed(
    value: float, limit: float, at_least: bool, met: bool
) -> None:
    target = Target("it", value, limit, at_least)
    assert target.met is met
    assert target.to_dict()["met"] is met
    assert target_table([target]).row_count == 1


def test_the_fit_finds_a_logarithm() -> None:
    found = describe(NODES, [speed((5 + 2 * log(n)) / 1e6) for n in NODES])
    assert (found.base_us, found.slope_us) == (pytest.approx(5), pytest.approx(2))
    assert [size.ratio for size in found.sizes] == pytest.approx(
        [(5 + 2 * log(n)) / (5 + 2 * log(3)) for n in NODES]
    )
    assert all(size.ratio <= size.bound for size in found.sizes)
    assert found.sizes[-1].bound == pytest.approx(log(300) / log(3))


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_the_fit_tells_a_power_from_a_logarithm(power: float) -> None:
    found = describe(NODES, [speed(n**power / 1e6) for n in NODES])
    assert found.exponent == pytest.approx(power)
    assert found.sizes[-1].ratio > found.sizes[-1].bound


# -- what is measured ---------------------------------------------------------------------


@pytest.mark.parametrize("player", ["random", "gym", "rule"])
def test_only_decisions_that_can_be_carried_out(player: str) -> None:
    env = poisson_env(seed=3)
    rng = np.random.default_rng(0)
    play = {"random": random_play, "gym": gym_play}.get(player)
    make = rule_play(env) if play is None else play(env, rng)
    assert make(3_000) == 3_000
    assert env.simulator.invalid_actions == 0
    assert env.simulator.cluster.boots > 0


def test_play_goes_on_after_the_end_of_an_episode() -> None:
    env = poisson_env(seed=3)
    first = env.simulator
    rule_play(env)(6_000)
    assert env.simulator is not first


def test_the_load_per_node_is_the_same_at_each_size() -> None:
    home = load_profile("openstack")
    rates = [arrival_rate(with_nodes(home, n)) / n for n in NODES]
    assert rates == pytest.approx([rates[0]] * len(rates))
    assert rates[0] == pytest.approx(arrival_rate(home) / 3)
    assert len({node.name for node in with_nodes(home, 300).cluster.nodes}) == 300


def test_events_are_those_at_which_a_decision_is_due() -> None:
    home = load_profile("openstack")
    requests = poisson_requests(home, 600.0, seed=0)
    events = simulate(home, requests).events
    # At least each arrival, each end and each tick is one.
    assert events >= 2 * len(requests) + 600 / home.tick_s


def test_every_size_serves_about_as_many_jobs() -> None:
    found = scaling(200, 1, nodes=(2, 8))
    two, eight = (size.speed.laps[0].units for size in found.sizes)
    assert 0.3 < two / eight < 3


def test_an_environment_that_does_nothing() -> None:
    real = poisson_env(seed=0)
    members = [NullEnv(real.observation_space, real.action_space) for _ in range(3)]
    batch = BatchVecEnv(members)
    assert (batch.observation_space, batch.action_space) == (
        real.observation_space,
        real.action_space,
    )
    assert not batch.reset().any()
    batch.step_async(np.array([0, 3, 6]))
    observations, rewards, dones, infos = batch.step_wait()
    assert not any(part.any() for part in (observations, rewards, dones))
    assert infos == [{}, {}, {}]
    assert batch.action_masks().all()


@pytest.mark.slow
def test_both_learners_learn_as_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(n_envs=2, rollout_steps=32, batch_size=32, width=16, epochs=1)
    found = training_speed(settings, 3)
    for own in (found.real, found.null):
        assert [one.units for one in own.laps] == [64, 64, 64]
    assert found.ratio > 0
    assert not list(tmp_path.iterdir())  # no logs


# -- the command --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_benchmark(tmp_path: Path) -> None:
    done = run_module("training.bench", "--quick", "--json", "bench.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    assert all(line.startswith("compiling the simulation engine") for line in told)
    document = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(PARTS) <= set(document)
    assert document["quick"] is True
    assert [size["nodes"] for size in document["scaling"]["sizes"]] == list(NODES)
    assert document["training"]["ratio"] > 0
    assert len(document["targets"]) == 13
    for target in document["targets"]:
        assert target["name"] in done.stdout
        assert set(target) == {"name", "value", "met"} | (set(target) & {"at_least", "at_most"})
    assert {path.name for path in tmp_path.iterdir()} == {"bench.json"}


def test_one_part_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["day", "--quick"]) == 0
    text = capsys.readouterr().out
    assert "a simulated day" in text
    assert "decisions/s" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["desicions"], "unknown part 'desicions': did you mean 'decisions'?"),
        (["day", "--json", "missing/x.json"], "the folder missing does not exist"),
        (["--slow"], "unrecognized arguments: --slow"),
    ],
)
def test_bad_options_are_named_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    seen = capsys.readouterr()
    assert words in seen.err
    assert (seen.out, seen.err.count("\n")) == ("", 1)
