"""``python -m training.tune`` as a user runs it, and the space that it searches."""

from __future__ import annotations

import sqlite3
import tomllib
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy.stats import wilcoxon

from agents.heuristic import Heuristic
from agents.parameters import describe_parameters
from agents.registry import make_policy, policy_class, tunable_names
from env.config import load_profile
from env.episodes import Episode
from training import tune as command
from training.rollouts.play import Stage
from training.tuning import study as study_module
from training.tuning.signed_ranks import is_above
from training.tuning.space import RELATIVE_TO_PREFERENCE, Space
from training.tuning.yardstick import BASELINE, Yardstick, cost_vector, tuning_episodes

HOME = load_profile("openstack")


@pytest.fixture
def few_jobs(monkeypatch: pytest.MonkeyPatch) -> list[Episode]:
    """The first jobs of six training scenarios."""
    episodes = [
        Episode(e.profile, e.requests[:8], e.catalog, e.preference, e.seed, e.horizon_s)
        for e in tuning_episodes(0, 0, "openstack")[:6]
    ]
    monkeypatch.setattr(study_module, "tuning_episodes", lambda *_: episodes)
    return episodes


@pytest.mark.parametrize("rule", tunable_names())
def test_every_parameter_of_every_rule_is_tuned_or_fixed(rule: str) -> None:
    space = Space(rule, HOME)
    infos = describe_parameters(policy_class(rule).parameters_type)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        values = space.choose(study.ask())
        assert set(values) == {info.name for info in infos}
        policy = make_policy(space.spec(values))
        assert isinstance(policy, Heuristic)
        assert policy.discipline == "sjf"
        assert all(
            getattr(policy.parameters, name) is not None or text == "none"
            for name, text in values.items()
        )
    assert set(space.free) >= {"max_workers"}


def test_the_defaults_are_the_start_but_for_the_discipline() -> None:
    space = Space("grace-period", HOME)
    assert space.spec(space.start()) == "grace-period:discipline=sjf"


def test_a_rule_without_ranges_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tuning.space._RANGES", {})
    with pytest.raises(ValueError, match="grace-period: no range to tune max_idle_time in"):
        Space("grace-period", HOME)


@pytest.mark.parametrize("rule", sorted(set(tunable_names()) - RELATIVE_TO_PREFERENCE))
def test_one_run_tells_the_costs_at_all_preferences(rule: str, few_jobs: list[Episode]) -> None:
    vectors = {cost_vector(few_jobs[0], w, make_policy(rule), Stage()) for w in (0.1, 0.5, 0.9)}
    assert len(vectors) == 1


@pytest.mark.parametrize("rule", sorted(RELATIVE_TO_PREFERENCE - {"break-even"}))
def test_tuned_settings_do_not_heed_the_preference(rule: str, few_jobs: list[Episode]) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    space = Space(rule, HOME)
    for _ in range(3):
        spec = space.spec(space.choose(study.ask()))
        assert (
            len({cost_vector(few_jobs[0], w, make_policy(spec), Stage()) for w in (0.1, 0.5, 0.9)})
            == 1
        )


def test_the_baseline_is_its_own_measure(few_jobs: list[Episode]) -> None:
    yardstick = Yardstick(few_jobs, [0.1, 0.9])
    assert yardstick.ratios(BASELINE) == pytest.approx([1.0, 1.0])
    one = yardstick.at(0.9)
    assert one.ratios("break-even") == pytest.approx(
        Yardstick(few_jobs, [0.9]).ratios("break-even")
    )


def run(folder: Path, *more: str) -> int:
    return command.main(
        [
            *("--preference", "0.9", "--preference", "0.1", "--random-episodes", "0"),
            *("--storage", str(folder / "trials.sqlite"), "--output", str(folder / "out.toml")),
            *more,
        ]
    )


@pytest.mark.usefixtures("few_jobs")
def test_writes_the_best_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rivals = ("--rival", "grace-period", "--rival", "break-even")
    assert run(tmp_path, *rivals, "--trials", "3") == 0
    table = tomllib.loads((tmp_path / "out.toml").read_text(encoding="utf-8"))
    assert table["made"]["trials"] == 3
    assert table["made"]["command"].startswith("python -m training.tune --preference 0.9")
    assert list(table["rules"]) == ["grace-period", "break-even"]
    for rule, by_preference in table["rules"].items():
        assert list(by_preference) == ["0.1", "0.9"]
        for entry in by_preference.values():
            assert make_policy(entry["spec"]).discipline == "sjf"
            assert entry["cost"] <= entry["default_cost"] + 1e-4
            assert entry["judged"] == (6 if rule == "grace-period" else 3)
    assert table["rules"]["grace-period"]["0.1"]["default_cost"] == 1.0
    assert "w = 0.9" in capsys.readouterr().out


@pytest.mark.usefixtures("few_jobs")
def test_an_interrupted_search_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "_STARTUP_TRIALS", 3)  # so that the samplers learn
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    rule = ("--rival", "grace-period")
    assert run(whole, *rule, "--trials", "4") == 0
    assert run(parts, *rule, "--trials", "2") == 0
    assert run(parts, *rule, "--trials", "4") == 0
    one, two = (
        tomllib.loads((folder / "out.toml").read_text(encoding="utf-8"))["rules"]
        for folder in (whole, parts)
    )
    assert one == two
    assert run(parts, *rule, "--trials", "2") == 0  # what is kept beyond does not count
    kept = sqlite3.connect(parts / "trials.sqlite").execute("select count(*) from trials")
    assert kept.fetchone() == (8,)
    less = tomllib.loads((parts / "out.toml").read_text(encoding="utf-8"))["rules"]
    assert less["grace-period"]["0.1"]["judged"] == 4


@pytest.mark.usefixtures("few_jobs")
def test_trials_of_another_world_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ("--rival", "grace-period", "--trials", "2")
    assert run(tmp_path, *rule) == 0
    monkeypatch.setattr(study_module, "world_identity", lambda *, tuned: "another")
    assert run(tmp_path, *rule) == 0
    kept = sqlite3.connect(tmp_path / "trials.sqlite").execute("select count(*) from studies")
    assert kept.fetchone() == (2,)


@pytest.mark.parametrize("n", [1, 5, 24])
def test_the_signed_rank_test_is_scipys(n: int) -> None:
    rng = np.random.default_rng(n)
    for shift in (0.0, 0.3, 1.0):
        for _ in range(40):
            drawn = rng.normal(shift, 1.0, n)
            # Rounded ones have zeros and ties.
            for given in (drawn, drawn.round(1), np.abs(drawn)):
                if given.any():
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        expected = wilcoxon(given, alternative="greater").pvalue < 0.1
                        assert is_above(given, 0.1) == expected
    assert not is_above(np.zeros(n), 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rival", "grace-perid"], "unknown policy 'grace-perid': did you mean 'grace-period'?"),
        (["--preference", "2"], "preference 2.0 is outside [0.1, 0.9]"),
        (["--trials", "0"], "'0' is not a whole number of 1 or more"),
        (["--random-episodes", "-1"], "'-1' is not a whole number of 0 or more"),
        (["--profile", "nowhere"], "unknown profile 'nowhere'"),
        (["--output", "missing/x.toml"], "the folder missing does not exist"),
        (["--storage", "."], "cannot keep the trials in .: it is not a file"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["--output", "out.toml", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.usefixtures("few_jobs")
def test_a_storage_that_is_no_database_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trials.sqlite").write_text("not a database, but long enough to be one" * 9)
    assert run(tmp_path, "--rival", "grace-period", "--trials", "1") == 2
    assert "cannot use" in capsys.readouterr().err
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.usefixtures("few_jobs")
def test_a_database_of_another_program_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "trials.sqlite")) as database, database:
        database.execute("create table studies (study_id integer, study_name text)")
    assert run(tmp_path, "--rival", "grace-period", "--trials", "1") == 2
    assert "name another file" in capsys.readouterr().err


@pytest.mark.usefixtures("few_jobs")
def test_a_damaged_trial_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = ("--rival", "grace-period", "--trials", "1")
    assert run(tmp_path, *one) == 0
    with closing(sqlite3.connect(tmp_path / "trials.sqlite")) as database, database:
        database.execute("update trials set trial = '{}'")
    capsys.readouterr()
    assert run(tmp_path, *one) == 2
    assert "holds a damaged trial" in capsys.readouterr().err
