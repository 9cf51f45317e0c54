"""What an evaluation is of: defaults, names, and what it refuses before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.registry import NAIVE, policy_names, tunable_names
from env.errors import DaCircoError
from env.scenario import scenario_names
from tests.training.evaluation_world import ROWS, small_plan, write_frozen, write_rows
from training.evaluation.plan import default_policies, make_plan


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without ``models``, and an installation without the shipped policy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.shipped._PLACES", ())


TUNED = [f"tuned:{rule}" for rule in tunable_names()]


def test_by_default_every_rule_as_tuned_on_the_test_scenarios() -> None:
    plan = make_plan()
    assert [scenario.name for scenario in plan.scenarios] == scenario_names("test")
    assert list(plan.policies) == [*TUNED, *NAIVE]
    assert plan.preferences == (0.5,)
    assert plan.profile.name == "openstack"
    assert plan.baseline == "grace-period"
    assert plan.frozen == ()


def test_the_shipped_policy_comes_first_where_it_is_there(tmp_path: Path) -> None:
    write_frozen(tmp_path / "models" / "dacirco")
    assert default_policies() == ["models/dacirco", *TUNED, *NAIVE]
    assert default_policies(tuned=False) == ["models/dacirco", *policy_names()]
    assert make_plan(scenarios=["near-idle"]).frozen == ("models/dacirco",)


def test_the_shipped_policy_is_also_found_in_the_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert default_policies() == ["models/dacirco", *TUNED, *NAIVE]


def test_a_split_is_all_its_scenarios() -> None:
    plan = make_plan(scenarios=["train", "test/near-idle", "near-idle"])
    assert [s.name for s in plan.scenarios] == [*scenario_names("train"), "test/near-idle"]


def test_what_is_named_twice_runs_once(tmp_path: Path) -> None:
    plan = small_plan(
        tmp_path,
        scenarios=["near-idle", "test/near-idle"],
        policies=["reserve-k", " reserve-k"],
        preferences=[0.3, 0.3],
    )
    assert plan.shape == (1, 1, 1, 2)


def test_every_task_once_seeds_fastest(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, preferences=[0.9, 0.1], seeds=3)
    tasks = list(plan.tasks())
    assert len(set(tasks)) == len(tasks) == 3 * 2 * 2 * 3
    assert [tuple(task) for task in tasks[:4]] == [
        (0, 0.9, 0, 0),
        (0, 0.9, 0, 1),
        (0, 0.9, 0, 2),
        (0, 0.9, 1, 0),
    ]


@pytest.mark.parametrize(
    ("options", "baseline"),
    [
        ({}, "grace-period"),
        ({"policies": ["reserve-k", "break-even"]}, "reserve-k"),
        ({"policies": ["reserve-k", "grace-period:max_idle_time=60"]},
         "grace-period:max_idle_time=60"),
        ({"policies": ["reserve-k", "grace-period:max_idle_time=61"]}, "reserve-k"),
        ({"baseline": "reserve-k"}, "reserve-k"),
    ],
)  # fmt: skip
def test_the_baseline(tmp_path: Path, options: dict[str, Any], baseline: str) -> None:
    assert small_plan(tmp_path, **options).baseline == baseline


def test_a_baseline_that_does_not_take_part_is_added(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, policies=["reserve-k"], baseline="break-even")
    assert plan.policies == ("reserve-k", "break-even")


def test_a_rule_is_not_frozen_and_a_folder_is(tmp_path: Path) -> None:
    mine = str(write_frozen(tmp_path / "mine"))
    assert small_plan(tmp_path, policies=["reserve-k:spares=2", mine]).frozen == (mine,)


def test_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder, rows in (("a", ROWS), ("b", ROWS[1:])):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "same.csv", rows)
    with pytest.raises(DaCircoError, match=r"'a/same.csv' and 'b/same.csv' are both called 'same'"):
        make_plan(scenarios=["a/same.csv", "b/same.csv"])
    assert len(make_plan(scenarios=["a/same.csv", "a/same.csv"]).scenarios) == 1


def test_a_scenario_is_checked_against_the_catalog(tmp_path: Path) -> None:
    catalog = tmp_path / "one.csv"
    catalog.write_text("video,duration_s,width,height\nbbb_1.mp4,60,1280,720\n", encoding="utf-8")
    busy = write_rows(tmp_path / "busy.csv")
    with pytest.raises(DaCircoError, match=r"busy.csv, line 3: unknown movie 'bbb_9.mp4'"):
        make_plan(scenarios=[str(busy)], catalog=catalog)
    write_rows(busy, ROWS[:1])
    assert len(make_plan(scenarios=[str(busy)], catalog=catalog).catalog) == 1


def test_a_policy_that_cannot_serve_the_data_centre_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    with pytest.raises(DaCircoError, match=r"unknown flavor 's10.huge'"):
        small_plan(tmp_path, policies=["reserve-k:flavor=s10.huge"])
    other = write_frozen(tmp_path / "other", ["s10.tiny", "s10.small"])
    with pytest.raises(DaCircoError, match="schema"):
        small_plan(tmp_path, policies=[str(other)])
