"""Every option of a training run: default, meaning, and key in a configuration file."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from env.errors import ConfigError, UnknownNameError

T = TypeVar("T")

_RUNS: Final = Path("runs")
_MODELS: Final = Path("models")
_LARGEST_SEED: Final = 2**32 - 1
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def option(default: T, help_text: str) -> T:
    """A field of `Settings` with its doc line."""
    field: T = dataclasses.field(default=default, metadata={"help": help_text})
    return field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One training run. The defaults are those of the shipped policy.

    Every field is an option of the command and a key of a configuration file; its doc line
    stands beside it.
    """

    name: str = option(
        "latest", "The policy is exported to MODELS/NAME; the run is logged under RUNS/NAME."
    )
    seed: int = option(
        0, "Fixes every random draw: the same seed gives the same policy, bit for bit."
    )
    runs: Path = option(_RUNS, "Folder of logs and checkpoints.")  # noqa: RUF009
    models: Path = option(_MODELS, "Folder of frozen policies.")  # noqa: RUF009

    total_steps: int = option(
        0,
        "Decisions of learning by PPO after all else (critic warm-up not counted); 0 skips both.",
    )
    n_envs: int = option(64, "Simulated data centres that run side by side.")
    rollout_steps: int = option(256, "Decisions of each between two updates.")
    batch_size: int = option(4096, "Minibatch of an update.")
    epochs: int = option(4, "Passes over a rollout.")
    learning_rate: float = option(2e-4, "Adam's step size at the start; it falls linearly to zero.")
    clip: float = option(0.15, "PPO's clip range.")
    entropy: float = option(5e-4, "Weight of the entropy bonus.")
    target_kl: float = option(0.03, "An update stops early when the policy has moved this far.")
    horizon_s: float = option(
        300.0, "Time constant of the discount, seconds (see training.semi_markov)."
    )
    trace_s: float = option(120.0, "Time constant of the advantage's trace, seconds.")
    width: int = option(256, "Units of each of the two hidden layers, for actor and critic alike.")

    imitation_decisions: int = option(
        800_000, "Decisions to imitate before learning by reinforcement; 0 starts from scratch."
    )
    imitation_epochs: int = option(10, "Passes over them.")
    imitation_rate: float = option(1e-3, "Adam's step size in imitation.")
    imitation_smoothing: float = option(
        0.03, "Share of the imitation's target spread over all actions that can be carried out."
    )
    generations: int = option(
        6,
        "Generations of VinePPO after the imitation: label states, update; 0 for none.",
    )
    vine_envs: int = option(512, "Compiled data centres in which states are collected.")
    vine_steps: int = option(
        2048, "Most decisions of each of them at which states are labelled, in each generation."
    )
    vine_states: int = option(60_000, "States at which all actions are tried, in each generation.")
    vine_batch: int = option(512, "States of one step of an update.")
    vine_epochs: int = option(12, "Passes over the states of all generations in an update.")
    vine_rate: float = option(
        2e-3, "AdamW's step size at the start of an update; it falls linearly to zero within it."
    )
    vine_kl: float = option(
        500.0,
        "KL coefficient: the divergence from the imitation weighs as much as so many states.",
    )
    vine_target_kl: float = option(
        0.0,
        "An update ends early 1.5 times this divergence from the imitation; 0: never.",
    )
    vine_small: float = option(
        0.05, "Advantages up to this size count in full, larger ones by their logarithm."
    )
    vine_discount_s: float = option(
        2_000.0, "Time constant of the discount in a rollout, seconds: far beyond its length."
    )
    vine_length_s: float = option(180.0, "How long a rollout is followed, seconds.")
    threads: int = option(2, "Threads that share the rollouts; the result does not depend on it.")
    warmup_steps: int = option(
        500_000, "Decisions during which only the critic learns, after the imitation."
    )

    profiles: str = option(
        "openstack=0.85,kubernetes=0.15",
        "Data centres to train for: shipped profiles or TOML files, with their shares of the "
        "episodes; the first is the one evaluated on.",
    )
    home_share: float = option(
        0.6, "Share of the episodes on three nodes; the others have 1 to 12."
    )
    recipe_share: float = option(
        0.4,
        "Share of the episodes that are training scenarios with other jobs, in the data centre "
        "that is evaluated on, from start to end.",
    )
    preference_margin: float = option(
        0.1,
        "Preferences are drawn from 0.1 to 0.9 and so far beyond, then kept to them: the ends, "
        "where a network has neighbours on one side only, come more often.",
    )
    evaluate_every: int = option(
        1_000_000, "Decisions between two evaluations, checkpoints and pictures."
    )
    validation_episodes: int = option(
        48, "Random episodes of the evaluation, beside the training scenarios."
    )
    validation_draws: int = option(
        2, "How often the training scenarios are drawn anew for the evaluation, with other jobs."
    )
    validation_seed: int = option(20_000, "Seed of those episodes; never used for training.")

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: naming the key, the value and what is allowed.
        """
        positive = (
            "n_envs rollout_steps batch_size epochs learning_rate clip target_kl "
            "horizon_s trace_s width evaluate_every imitation_epochs imitation_rate vine_envs "
            "vine_steps vine_states vine_batch vine_epochs vine_rate vine_small vine_discount_s "
            "vine_length_s threads"
        )
        for key in positive.split():
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key} is {getattr(self, key)}: it must be above 0")
        for key in (
            "imitation_decisions",
            "generations",
            "vine_kl",
            "vine_target_kl",
            "total_steps",
            "warmup_steps",
            "validation_episodes",
            "validation_draws",
            "preference_margin",
            "entropy",
        ):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} is {getattr(self, key)}: it must be 0 or more")
        for key in ("home_share", "recipe_share", "imitation_smoothing"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"{key} is {getattr(self, key)}: it must be in 0..1")
        for key in ("seed", "validation_seed"):
            if not 0 <= getattr(self, key) <= _LARGEST_SEED:
                raise ConfigError(
                    f"{key} is {getattr(self, key)}: it must be in 0..{_LARGEST_SEED}"
                )
        _ = self.profile_shares
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not isfinite(value):
                raise ConfigError(f"{field.name} is {value}: it must be finite")
        decisions = self.n_envs * self.rollout_steps
        # A minibatch's advantages are divided by their spread, which one alone does not have.
        if 1 in (min(self.batch_size, decisions), decisions % self.batch_size):
            raise ConfigError(
                f"batch_size is {self.batch_size}: it would leave a minibatch of one of the "
                f"n_envs * rollout_steps = {decisions} decisions; choose another"
            )
        if not _PLAIN_NAME.fullmatch(self.name):
            raise ConfigError(
                f"name is {self.name!r}: it must be a plain folder name "
                "of letters, digits, dots, dashes and underscores"
            )

    @property
    def profile_shares(self) -> tuple[tuple[str, float], ...]:
        """The profiles and how often each is drawn.

        Raises:
            ConfigError: it is not ``NAME=SHARE,...`` with shares above 0.
        """
        found = []
        for part in self.profiles.split(","):
            name, _, share = part.partition("=")
            try:
                value = float(share or 1.0)
            except ValueError:
                value = 0.0
            if not (name.strip() and 0 < value < inf):
                raise ConfigError(
                    f"profiles has {part.strip()!r}: write NAME=SHARE,... with shares above 0"
                )
            found.append((name.strip(), value))
        return tuple(found)

    @property
    def home_profile(self) -> str:
        """The profile that is evaluated on."""
        return self.profile_shares[0][0]

    @property
    def run_folder(self) -> Path:
        """Where this run logs and keeps its checkpoints."""
        return self.runs / self.name

    @property
    def model_folder(self) -> Path:
        """Where this run's policy is exported to."""
        return self.models / self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or TOML."""
        return {
            key: str(value) if isinstance(value, Path) else value
            for key, value in dataclasses.asdict(self).items()
        }


FULL: Final = Settings()
QUICK: Final = Settings(
    width=128,
    vine_rate=3e-3,
    imitation_decisions=100_000,
    imitation_epochs=6,
    generations=3,
    vine_envs=256,
    vine_states=25_000,
    preference_margin=0.0,
    validation_episodes=12,
    validation_draws=0,
)
"""A run that a person waits for: minutes on two cores."""

PRESETS: Final = {"full": FULL, "quick": QUICK}


def load_settings(path: Path, base: Settings) -> Settings:
    """The base settings with those of a TOML file over them; keys are the field names.

    Raises:
        ConfigError: not a TOML file, or a value of the wrong type or out of range.
        UnknownNameError: a key that does not exist.
    """
    if not path.is_file():
        raise ConfigError(f"configuration file {str(path)!r} does not exist")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    known = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    for key, value in data.items():
        if key not in known:
            raise UnknownNameError("setting", key, known)
        kind = type(known[key])
        if isinstance(known[key], Path) and isinstance(value, str):
            data[key] = Path(value)
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            data[key] = float(value)
        elif type(value) is not kind:
            wanted = "str" if isinstance(known[key], Path) else kind.__name__
            raise ConfigError(f"{path}: {key} is {value!r}: it must be of type {wanted}")
    return dataclasses.replace(base, **data)
