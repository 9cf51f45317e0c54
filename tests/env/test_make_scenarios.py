"""The shipped scenario files: reproducible, split cleanly, and of a size to evaluate on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import env
from env.catalog import load_catalog
from env.config import load_profile
from env.families import FAMILIES, HELD_OUT_FAMILIES, TRAINING_FAMILIES
from env.load import mean_core_seconds
from env.make_scenarios import main
from env.recipes import (
    RECIPES,
    REFERENCE_CORE_S,
    REFERENCE_CORES,
    TEST,
    TRAIN,
    Recipe,
    make_scenario,
)
from env.scenario import load_scenario, load_split, scenario_names
from env.timing import TimingModel

SHIPPED = Path(env.__file__).parent / "scenarios"


def test_the_shipped_files_are_those_that_the_program_makes(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.glob("*/*")}
    shipped = {path.relative_to(SHIPPED): path.read_bytes() for path in SHIPPED.glob("*/*")}
    assert made == shipped


def test_the_program_lists_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [recipe.name for recipe in RECIPES]


def test_another_draw_is_of_the_same_recipes_with_other_jobs(tmp_path: Path) -> None:
    assert main(["--draw", "1", "--out", str(tmp_path)]) == 0
    for recipe in TEST:
        drawn = load_scenario(str(tmp_path / f"{recipe.name}.csv"))
        shipped = load_scenario(recipe.name)
        assert drawn.requests != shipped.requests
        assert f"seed: {recipe.seed + 10_000}" in drawn.notes
        parameters = [note for note in shipped.notes if note.startswith(("family", "parameters"))]
        assert set(parameters) <= set(drawn.notes)


def test_another_draw_never_replaces_the_files_that_ship(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--draw", "1"]) == 2
    assert "give --out DIR" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = subprocess.run(
        [sys.executable, "-m", "env.make_scenarios", "--out", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("python -m env.make_scenarios: cannot make folder")
    assert run.stderr.count("\n") == 1


def test_training_never_sees_the_test_split() -> None:
    assert len({recipe.seed for recipe in RECIPES}) == len(RECIPES)
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    shapes = [{(repr(r.family), r.load) for r in split} for split in (TRAIN, TEST)]
    assert not shapes[0] & shapes[1]
    train, test = (
        {scenario.requests for scenario in load_split(split)} for split in ("train", "test")
    )
    assert not train & test
    arrivals = [
        {tuple(request.arrival_s for request in requests) for requests in split}
        for split in (train, test)
    ]
    assert not arrivals[0] & arrivals[1]


def test_the_test_split_has_every_family_and_training_none_that_is_held_out() -> None:
    practice = {"cascades"}  # younger than the scenarios, and drawn in training only
    assert {recipe.family.name for recipe in TRAIN} == set(TRAINING_FAMILIES) - practice
    assert {recipe.family.name for recipe in TEST} == set(FAMILIES) - practice
    assert set(HELD_OUT_FAMILIES) <= {recipe.family.name for recipe in TEST}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_file_says_what_it_holds_and_keeps_to_its_size(recipe: Recipe) -> None:
    scenario = make_scenario(recipe)
    assert 80 <= len(scenario) <= 500
    assert 20 * 60 <= recipe.horizon_s <= 6 * 3600
    assert scenario.duration_s <= recipe.horizon_s
    notes = dict(note.split(": ", 1) for note in scenario.notes if ": " in note)
    assert notes["split"] == recipe.split
    assert notes["family"] == recipe.family.name
    assert notes["seed"] == str(recipe.seed)
    assert notes["requests"] == str(len(scenario))
    assert notes["offered load"].startswith(f"{recipe.load:.3f} of 18 cores")
    drawn = len(scenario) * REFERENCE_CORE_S / REFERENCE_CORES / recipe.horizon_s
    assert drawn == pytest.approx(recipe.load, rel=0.3)


def test_the_recipes_are_those_that_ship() -> None:
    assert sorted(recipe.name for recipe in RECIPES) == sorted(scenario_names())


def test_the_loads_are_true_for_the_profile_that_ships() -> None:
    work = mean_core_seconds(TimingModel(load_profile("openstack")), load_catalog())
    assert pytest.approx(work, rel=0.1) == REFERENCE_CORE_S
