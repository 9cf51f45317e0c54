"""One rule at one preference: Optuna suggests settings, the simulator tells their cost."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import exp, inf
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import WilcoxonPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from env.config import load_profile
from env.errors import DaCircoError
from training.tuning.space import Space
from training.tuning.yardstick import Yardstick, tuning_episodes

_STARTUP_TRIALS: Final = 20
"""Random settings before the sampler begins to learn."""
_STARTUP_EPISODES: Final = 8
"""No setting is given up before it was seen on so many episodes."""
_GIVE_UP_BELOW: Final = 0.1
"""A setting is given up when the paired test against the best so far has a p-value below."""
_LOCK_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Effort:
    """What is spent on each rule at each preference; the same for all.

    Attributes:
        trials: settings tried, those that were given up early included.
        seed: of the sampler, the random episodes and their order.
        random_episodes: besides the training scenarios.
        profile: name of the data centre or its file.
    """

    trials: int
    seed: int
    random_episodes: int
    profile: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best setting of a rule at a preference.

    Attributes:
        rule, preference: whose.
        spec: as `agents.registry.make_policy` takes it.
        cost: relative to grace-period at its defaults, geometric mean over the episodes.
        default_cost: the same of the rule at its defaults.
        trials, given_up: how many settings were tried, and how many of these were given
            up before they had been seen on all episodes.
    """

    rule: str
    preference: float
    spec: str
    cost: float
    default_cost: float
    trials: int
    given_up: int


def tune(
    rule: str,
    preference: float,
    effort: Effort,
    storage: Path,
    on_trial: Callable[[], None] = lambda: None,
) -> Tuned:
    """Tune a rule at a preference, going on from the trials that the storage holds.

    Trial n draws from a stream of its own, so an interrupted study ends as one that was
    not. The trials are learned from in memory and then kept in the storage, one
    transaction each.

    Args:
        rule: its name.
        preference: w.
        effort: what to spend.
        storage: an SQLite file; made if it is not there.
        on_trial: called after each trial, and at once for each that the storage holds.

    Raises:
        DaCircoError: the storage cannot be used.
    """
    space = Space(rule, load_profile(effort.profile))
    episodes = tuning_episodes(effort.random_episodes, effort.seed, effort.profile)
    yardstick = Yardstick(episodes, preference)
    kept = _open(storage, _study_name(space, preference, effort))
    study = optuna.create_study(pruner=_pruner())
    for trial in kept.get_trials(states=(TrialState.COMPLETE,))[: effort.trials]:
        study.add_trial(trial)
        on_trial()
    for number in range(len(study.trials), effort.trials):
        kept.add_trial(_one_trial(study, space, yardstick, number, effort.seed))
        on_trial()
    return _best(space, preference, study.trials, yardstick)


def _pruner() -> WilcoxonPruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=_GIVE_UP_BELOW, n_startup_steps=_STARTUP_EPISODES)


def _one_trial(
    study: optuna.Study, space: Space, yardstick: Yardstick, number: int, seed: int
) -> FrozenTrial:
    stream = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    study.sampler = TPESampler(
        seed=int(stream), multivariate=True, group=False, n_startup_trials=_STARTUP_TRIALS
    )
    trial = study.ask()
    spec = space.spec(space.choose(trial))
    ratios: list[float] = []
    for ratio in yardstick.log_ratios(spec):
        trial.report(ratio, len(ratios))
        ratios.append(ratio)
        if trial.should_prune():
            break
    trial.set_user_attr("spec", spec)
    trial.set_user_attr("complete", len(ratios) == yardstick.episodes)
    return study.tell(trial, _estimate(study, ratios, yardstick.episodes))


def _estimate(study: optuna.Study, ratios: list[float], episodes: int) -> float:
    """The mean; of a setting that was given up: the best's, plus by how much it was worse."""
    if len(ratios) == episodes:
        return float(np.mean(ratios))
    best = study.best_trial
    seen = [best.intermediate_values[i] for i in range(len(ratios))]
    worse = float(np.mean(ratios) - np.mean(seen))
    return study.best_value + max(worse, 1e-9)


def _best(
    space: Space, preference: float, trials: list[FrozenTrial], yardstick: Yardstick
) -> Tuned:
    complete = [trial for trial in trials if trial.user_attrs["complete"]]
    default = space.spec(space.start())
    found = [(exp(_value(trial)), str(trial.user_attrs["spec"])) for trial in complete]
    cost, spec = min([*found, (yardstick.ratio(default), default)])
    return Tuned(
        rule=space.rule,
        preference=preference,
        spec=spec,
        cost=cost,
        default_cost=yardstick.ratio(space.rule),
        trials=len(trials),
        given_up=len(trials) - len(complete),
    )


def _value(trial: FrozenTrial) -> float:
    """A trial's mean logarithm of the cost ratio."""
    return inf if trial.value is None else trial.value


def _study_name(space: Space, preference: float, effort: Effort) -> str:
    """Tells apart what must not be mixed: other jobs, another space, another seed."""
    settings: dict[str, Any] = asdict(effort)
    del settings["trials"]
    text = f"{sorted(settings.items())} {space}"
    return f"{space.rule} w={preference:g} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _open(storage: Path, name: str) -> optuna.Study:
    try:
        storage.parent.mkdir(parents=True, exist_ok=True)
        database = RDBStorage(
            f"sqlite:///{storage}", engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_S}}
        )
        return optuna.create_study(storage=database, study_name=name, load_if_exists=True)
    except Exception as error:  # whatever SQLAlchemy and SQLite make of a bad file
        raise DaCircoError(f"cannot use {storage} to keep the trials: {error}") from error
