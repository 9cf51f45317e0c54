"""The options of a training run: documented, checked, and in order of precedence."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from env.errors import ConfigError, DaCircoError, UnknownNameError
from training.model import randomisation
from training.settings import FULL, PRESETS, QUICK, Settings, load_settings
from training.train.__main__ import main, parser, settings_from

FIELDS = dataclasses.fields(Settings)
NAMES = [field.name for field in FIELDS]


def option_of(name: str) -> str:
    """The command's option for a setting."""
    return "--" + name.replace("_", "-")


def toml_of(settings: Settings) -> str:
    """The settings as a configuration file (JSON's plain values are TOML's)."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.to_dict().items())


def asked_for(*argv: str) -> Settings:
    """The settings that a command line asks for."""
    return settings_from(parser().parse_args(argv))


def file_with(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- documentation ------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS, ids=NAMES)
def test_every_setting_is_documented(field: dataclasses.Field[Any]) -> None:
    text = field.metadata["help"]
    assert len(text) > 15
    assert text.endswith(".")
    assert field.default is not dataclasses.MISSING


def test_the_help_lists_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out.replace("-\n", "-"))
    for field in FIELDS:
        assert f" {option_of(field.name)} " in text
        assert f"({field.default})" in text
        assert field.metadata["help"].split(";")[0][:40] in text


def test_the_presets_are_valid_and_quick_is_quicker() -> None:
    assert PRESETS == {"full": FULL, "quick": QUICK}
    assert Settings() == FULL
    assert FULL.imitation_decisions > QUICK.imitation_decisions
    assert FULL.generations * FULL.vine_states > QUICK.generations * QUICK.vine_states


# -- bad values ---------------------------------------------------------------------------

POSITIVE = [
    *("n_envs", "rollout_steps", "batch_size", "epochs", "learning_rate", "clip"),
    *("target_kl", "horizon_s", "trace_s", "width", "evaluate_every", "imitation_epochs"),
    *("imitation_rate", "vine_envs", "vine_steps", "vine_states", "vine_batch", "vine_epochs"),
    *("vine_rate", "vine_small", "vine_discount_s", "vine_length_s", "threads"),
]
NOT_NEGATIVE = [
    *("imitation_decisions", "warmup_steps", "validation_episodes", "entropy"),
    *(
        "generations",
        "vine_kl",
        "vine_target_kl",
        "total_steps",
        "preference_margin",
        "validation_draws",
    ),
]
SHARES = ["home_share", "recipe_share", "imitation_smoothing"]
BAD = [
    *((key, 0) for key in POSITIVE),
    *((key, -1) for key in [*POSITIVE, *NOT_NEGATIVE, "seed", "validation_seed"]),
    *((key, 2**32) for key in ("seed", "validation_seed")),
    *((field.name, float("nan")) for field in FIELDS if isinstance(field.default, float)),
    *((field.name, float("inf")) for field in FIELDS if isinstance(field.default, float)),
    *((key, value) for key in SHARES for value in (-0.1, 1.1)),
    *(("name", value) for value in ("", ".", "..", "a/b", "a\\b", "-x", "a:b", "a\n", "a b")),
    ("batch_size", 1),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        dataclasses.replace(Settings(), **{key: value})
    message = str(error.value)
    assert message.startswith(f"{key} is {value!r}" if key == "name" else f"{key} is {value}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("n_envs", "rollout_steps", "batch_size", "fine"),
    [(4, 8, 8, True), (4, 8, 100, True), (3, 7, 10, False), (3, 7, 9, True), (1, 1, 8, False)],
)
def test_no_minibatch_holds_a_single_decision(
    n_envs: int, rollout_steps: int, batch_size: int, fine: bool
) -> None:
    def make() -> Settings:
        return Settings(n_envs=n_envs, rollout_steps=rollout_steps, batch_size=batch_size)

    if fine:
        make()
        return
    with pytest.raises(
        ConfigError, match=f"batch_size is {batch_size}.*= {n_envs * rollout_steps}"
    ):
        make()


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--n-envs", "0"], ["n_envs", "0"]),
        (["--n-envs", "many"], ["n-envs", "many"]),
        (["--width", "1.5"], ["width", "1.5"]),
        (["--learning-rate", "nan"], ["learning_rate", "nan"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--name", "../up"], ["name", "../up"]),
        (["--preset", "fast"], ["preset", "fast"]),
        (["--no-such-option"], ["no-such-option"]),
        (["--config", "nowhere.toml"], ["nowhere.toml"]),
        (["--name", "no-such-run", "--resume"], ["no-such-run", "resume"]),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    argv: list[str],
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for word in named:
        assert word in captured.err
    assert list(tmp_path.iterdir()) == []  # nothing was begun


# -- profiles -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("openstack", [("openstack", 1.0)]),
        ("a=0.85,b=0.15", [("a", 0.85), ("b", 0.15)]),
        (" my/own.toml = 2 , b", [("my/own.toml", 2.0), ("b", 1.0)]),
    ],
)
def test_profiles_have_shares(text: str, shares: list[tuple[str, float]]) -> None:
    settings = Settings(profiles=text)
    assert list(settings.profile_shares) == shares
    assert settings.home_profile == shares[0][0]
    assert randomisation(dataclasses.replace(settings, profiles="kubernetes")).profiles == (
        ("kubernetes", 1.0),
    )


@pytest.mark.parametrize("text", ["", ",", "a=x", "a=0", "a=-1", "a=inf", "a=nan", "=1"])
def test_profiles_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError, match=r"profiles has .*write NAME=SHARE"):
        Settings(profiles=text)


def test_an_unknown_profile_is_answered_with_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openstack'"):
        randomisation(Settings(profiles="openstak=1"))


def test_profiles_of_other_flavors_are_refused(tmp_path: Path) -> None:
    shipped = (resources.files("env") / "profiles" / "openstack.toml").read_text(encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(shipped.replace("s10.medium", "huge"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"profiles: .*huge.*s10\.medium"):
        randomisation(Settings(profiles=f"openstack=0.5,{path}=0.5"))
    assert randomisation(Settings(profiles=str(path))).profiles == ((str(path), 1.0),)


# -- the configuration file ---------------------------------------------------------------


def test_every_setting_is_a_key_of_the_file(tmp_path: Path) -> None:
    other = Settings(
        name="other",
        runs=Path("elsewhere"),
        **{
            field.name: field.default + 1
            for field in FIELDS
            if type(field.default) is int and field.name != "batch_size"
        },
        home_share=0.25,
        learning_rate=1.0,
    )
    assert load_settings(file_with(tmp_path, toml_of(other)), FULL) == other


def test_option_goes_before_file_and_file_before_preset(tmp_path: Path) -> None:
    path = file_with(tmp_path, "width = 32\nn_envs = 7\nlearning_rate = 1\n")
    settings = asked_for("--preset", "quick", "--config", str(path), "--n-envs", "9")
    assert (settings.n_envs, settings.width, settings.learning_rate) == (9, 32, 1.0)
    assert settings.total_steps == QUICK.total_steps
    assert asked_for() == FULL
    assert asked_for("--preset", "quick") == QUICK
    assert type(settings.learning_rate) is float


def test_every_option_can_be_given() -> None:
    argv = []
    for field in FIELDS:
        argv += [option_of(field.name), str(field.default)]
    assert asked_for(*argv) == FULL


def test_an_option_can_restore_a_default_of_zero(tmp_path: Path) -> None:
    path = file_with(tmp_path, "seed = 5\nimitation_decisions = 9\n")
    settings = asked_for("--config", str(path), "--seed", "0", "--imitation-decisions", "0")
    assert (settings.seed, settings.imitation_decisions) == (0, 0)


def test_an_unknown_key_is_answered_with_the_closest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'learning_rte'.*did you mean 'learning_rate'"):
        load_settings(file_with(tmp_path, "learning_rte = 1.0"), FULL)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("width = 1.5", ["width", "1.5", "int"]),
        ("width = true", ["width", "True", "int"]),
        ("width = '128'", ["width", "'128'", "int"]),
        ("learning_rate = true", ["learning_rate", "True", "float"]),
        ("learning_rate = 'fast'", ["learning_rate", "'fast'", "float"]),
        ("runs = 3", ["runs", "3", "str"]),
        ("name = 3", ["name", "3", "str"]),
        ("width = 0", ["width", "0", "above 0"]),
        ("clip = nan", ["clip", "nan"]),
        ("entropy = inf", ["entropy", "inf", "finite"]),
        ("[training]\nwidth = 3", ["training"]),
        ("width =\n", ["config.toml", "line 1"]),
        ("width = 1\nwidth = 2\n", ["config.toml", "line 2"]),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(DaCircoError) as error:
        load_settings(file_with(tmp_path, text), FULL)
    assert "\n" not in str(error.value)
    for word in named:
        assert word in str(error.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"config.toml.*not valid TOML"):
        load_settings(path, FULL)
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(tmp_path / "missing.toml", FULL)


def test_folders(tmp_path: Path) -> None:
    settings = Settings(name="n", runs=tmp_path / "r", models=tmp_path / "m")
    assert settings.run_folder == tmp_path / "r" / "n"
    assert settings.model_folder == tmp_path / "m" / "n"
