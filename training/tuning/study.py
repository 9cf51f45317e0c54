"""One rule: Optuna suggests settings for each preference, the engine tells their costs.

A run gives both costs, delay and resources, so a setting that was suggested for one
preference is judged at all of them, unless the rule itself heeds the preference. Each
preference has a sampler of its own, which learns from all settings that were judged at it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from env.config import load_profile
from training.rollouts.play import Stage
from training.tuning.kept_trials import KeptTrials
from training.tuning.signed_ranks import is_above
from training.tuning.space import RELATIVE_TO_PREFERENCE, Space
from training.tuning.yardstick import Yardstick, tuning_episodes
from training.world_identity import world_identity

Floats = NDArray[np.float64]

_STARTUP_TRIALS: Final = 20
"""Random settings before the samplers begin to learn."""
_STARTUP_EPISODES: Final = 5
"""No setting is given up before it was seen on so many episodes."""
_GIVE_UP_BELOW: Final = 0.1
"""A setting is given up when at every preference the paired test (Wilcoxon's signed ranks)
against the best so far has a p-value below."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What is spent on each rule; the same for all.

    Attributes:
        trials: settings suggested for each rule at each preference, those that were given
            up early included.
        seed: of the samplers, the random episodes and their order.
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
        judged, given_up: how many settings were judged at this preference, and how many of
            these were given up before they had been seen on all episodes.
    """

    rule: str
    preference: float
    spec: str
    cost: float
    default_cost: float
    judged: int
    given_up: int


def tune(
    rule: str,
    preferences: Sequence[float],
    effort: Effort,
    storage: Path,
    on_trial: Callable[[], None] = lambda: None,
    stage: Stage | None = None,
) -> list[Tuned]:
    """Tune a rule at some preferences, going on from the trials that the storage holds.

    Args:
        rule: its name.
        preferences: w.
        effort: what to spend.
        storage: an SQLite file; made if it is not there.
        on_trial: called after each trial, and at once for each that the storage holds.
        stage: plays the episodes; by default the compiled engine.

    Returns:
        In the order of the preferences.

    Raises:
        DaCircoError: the storage cannot be used.
    """
    space = Space(rule, load_profile(effort.profile))
    episodes = tuning_episodes(effort.random_episodes, effort.seed, effort.profile)
    groups = [[w] for w in preferences] if space.heeds_preference else [list(preferences)]
    tuned = []
    stage = Stage() if stage is None else stage
    for group in groups:
        yardstick = Yardstick(episodes, group, stage=stage)
        search = _Search(space, yardstick, group, effort.seed)
        total = effort.trials * len(group)
        with KeptTrials(storage, _study_name(space, group, effort)) as kept:
            for trial in kept.read()[:total]:
                search.learn(trial)
                on_trial()
            while search.judged < total:
                kept.add(search.judged, search.step())
                on_trial()
        tuned += search.best()
    return tuned


class _Sampler(TPESampler):
    """Every trial suggests all parameters: their space need not be looked for in all trials."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As Optuna's own, in the same order; empty before the first trial has ended."""
        before = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        known = sorted(before[0].distributions.items()) if before else []
        return {name: one for name, one in known if not one.single()}


class _Search:
    """The samplers of one rule and what they have learned, in memory.

    Trial n draws from a stream of its own, so a search that goes on from its trials ends as
    one that was never interrupted.
    """

    def __init__(
        self, space: Space, yardstick: Yardstick, preferences: list[float], seed: int
    ) -> None:
        self._space = space
        self._yardstick = yardstick
        self._preferences = preferences
        self._seed = seed
        self._studies = [optuna.create_study() for _ in preferences]
        self._specs: list[str] = []
        self._ratios: list[Floats] = []
        """Of each trial, shape (episodes seen, preferences)."""

    @property
    def judged(self) -> int:
        """How many settings."""
        return len(self._specs)

    def _complete(self) -> list[int]:
        return [
            i for i, ratios in enumerate(self._ratios) if len(ratios) == self._yardstick.episodes
        ]

    def _leaders(self) -> list[int]:
        """The best complete trial at each preference; empty if there is none."""
        complete = self._complete()
        if not complete:
            return []
        means = np.array([self._ratios[i].mean(axis=0) for i in complete])
        return [complete[i] for i in means.argmin(axis=0)]

    def learn(self, trial: FrozenTrial, asked: optuna.Trial | None = None) -> None:
        """A trial of the storage, or one that was asked for, becomes known to all samplers."""
        self._specs.append(str(trial.user_attrs["spec"]))
        self._ratios.append(np.array(json.loads(trial.user_attrs["log_ratios"])))
        for study, value in zip(self._studies, trial.values, strict=True):
            if asked is not None and asked.study is study:
                study.tell(asked, value)
            else:
                study.add_trial(
                    create_trial(
                        params=trial.params, distributions=trial.distributions, value=value
                    )
                )

    def step(self) -> FrozenTrial:
        """Suggest a setting for the preference whose turn it is and judge it at all."""
        number = self.judged
        stream = np.random.SeedSequence([self._seed, number]).generate_state(1)[0]
        study = self._studies[number % len(self._studies)]
        study.sampler = _Sampler(
            seed=int(stream), multivariate=True, n_startup_trials=_STARTUP_TRIALS
        )
        asked = study.ask()
        spec = self._space.spec(self._space.choose(asked))
        ratios = self._judge(spec)
        trial = create_trial(
            params=asked.params,
            distributions=asked.distributions,
            values=self._values(ratios).tolist(),
            user_attrs={"spec": spec, "log_ratios": json.dumps(ratios.round(6).tolist())},
        )
        self.learn(trial, asked)
        return trial

    def _judge(self, spec: str) -> Floats:
        leaders = self._leaders()
        seen: list[Floats] = []
        for ratios in self._yardstick.log_ratios(spec):
            seen.append(ratios)
            if len(seen) >= _STARTUP_EPISODES and leaders and self._hopeless(seen, leaders):
                break
        return np.array(seen)

    def _hopeless(self, seen: list[Floats], leaders: list[int]) -> bool:
        ours = np.array(seen)
        for w, leader in enumerate(leaders):
            worse = ours[:, w] - self._ratios[leader][: len(ours), w]
            if not is_above(worse, _GIVE_UP_BELOW):
                return False
        return True

    def _values(self, ratios: Floats) -> Floats:
        """The means; of a setting given up: the best's, plus by how much it was worse."""
        if len(ratios) == self._yardstick.episodes:
            means: Floats = ratios.mean(axis=0)
            return means
        values = []
        for w, leader in enumerate(self._leaders()):
            best = self._ratios[leader][:, w]
            worse = (ratios[:, w] - best[: len(ratios)]).mean()
            values.append(best.mean() + max(worse, 1e-9))
        return np.array(values)

    def _whole(self, spec: str) -> Floats:
        """The cost ratio of a setting that was not tuned, at each preference."""
        if self._space.rule not in RELATIVE_TO_PREFERENCE:
            return self._yardstick.ratios(spec)
        return np.array([self._yardstick.at(w).ratios(spec)[0] for w in self._preferences])

    def best(self) -> list[Tuned]:
        """The best setting at each preference; the rule's defaults are candidates too."""
        start = self._space.spec(self._space.start())
        at_start, at_default = self._whole(start), self._whole(self._space.rule)
        complete = self._complete()
        tuned = []
        for i, w in enumerate(self._preferences):
            found = [(float(self._ratios[t][:, i].mean()), self._specs[t]) for t in complete]
            value, spec = min([*found, (float(np.log(at_start[i])), start)])
            tuned.append(
                Tuned(
                    rule=self._space.rule,
                    preference=w,
                    spec=spec,
                    cost=float(np.exp(value)),
                    default_cost=float(at_default[i]),
                    judged=self.judged,
                    given_up=self.judged - len(complete),
                )
            )
        return tuned


def _study_name(space: Space, preferences: Sequence[float], effort: Effort) -> str:
    """Tells apart what must not be mixed: other jobs, another space, another seed or world."""
    settings: dict[str, Any] = asdict(effort)
    del settings["trials"]
    text = f"{sorted(settings.items())} {space} {world_identity(tuned=False)}"
    which = ",".join(f"{w:g}" for w in preferences)
    return f"{space.rule} w={which} {hashlib.sha256(text.encode()).hexdigest()[:12]}"
