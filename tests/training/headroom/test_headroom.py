"""Looking ahead: which actions it takes, and what comes of whole episodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.rolling_worlds import random_actor
from training.headroom.__main__ import main
from training.headroom.runs import Condition, play
from training.headroom.search import Search, choose
from training.rollouts.flatten import flatten
from training.train.labels import RolloutSettings

NAN = float("nan")
NETWORK = flatten(random_actor(0))
HOW = RolloutSettings(length_s=60.0, discount_s=500.0, threads=1)
BRIEF = Condition(load=0.3, preference=0.5, episodes=3, length_s=240.0, seed=5)
SEED1 = Path(__file__).parents[3] / "models" / "seed1"


def test_the_surest_large_saving_is_taken_and_what_was_not_tried_never() -> None:
    savings = np.array(
        [
            [[0.0, 2.0, NAN], [0.0, 2.2, NAN]],  # sure
            [[0.0, 9.0, NAN], [0.0, -6.0, NAN]],  # larger, and not sure
            [[0.0, 1.0, 3.0], [0.0, 1.1, 3.1]],  # both sure
            [[0.0, -1.0, NAN], [0.0, -1.0, NAN]],  # a loss
        ]
    )
    own = np.zeros(4, dtype=np.int64)
    assert choose(savings, own, 1.0).tolist() == [1, 0, 2, 0]
    assert choose(savings[:, :1], own, 0.0).tolist() == [1, 1, 2, 0]


def test_a_search_that_is_never_in_doubt_is_the_policy_alone() -> None:
    certain = Search(2, False, 1.1, 0.0, HOW)
    alone, searched = (play(BRIEF, NETWORK, how, "openstack") for how in (None, certain))
    np.testing.assert_array_equal(alone.costs, searched.costs)
    assert (searched.searched, searched.changed) == (0, 0)
    assert alone.decisions == searched.decisions > 0


@pytest.mark.parametrize("clairvoyant", [False, True])
def test_looking_ahead_helps_a_policy_that_knows_nothing(clairvoyant: bool) -> None:
    search = Search(4, clairvoyant, 0.01, 0.0, HOW)
    alone, searched = (play(BRIEF, NETWORK, how, "openstack") for how in (None, search))
    assert 0 < searched.changed <= searched.searched <= searched.decisions
    assert searched.costs.mean() < alone.costs.mean()
    again = play(BRIEF, NETWORK, search, "openstack")
    np.testing.assert_array_equal(again.costs, searched.costs)


def test_the_command_plays_each_condition_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "headroom.json"
    few = "--loads 0.2 --preferences 0.9 0.1 --episodes 2 --minutes 3 --length-s 30 --futures 2"
    assert main([*few.split(), "--policy", str(SEED1), "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    assert [(row["load"], row["w"]) for row in rows] == [(0.2, 0.9), (0.2, 0.1)]
    for row in rows:
        assert row["2 futures"][0] > 0 < row["true future"][0]
        assert 0 <= row["changed"] <= row["searched"] <= 1
    assert "true future" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--futures 1", "--futures 1: at least 2"),
        ("--episodes 0", "--episodes 0: above 0"),
        ("--loads 3", "--loads 3.0: above 0, at most 2"),
        ("--policy nowhere", "--policy nowhere: there is no policy.zip in it"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert told in capsys.readouterr().err
