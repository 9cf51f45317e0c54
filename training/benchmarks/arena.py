"""How fast tuning and competition go on the engine, and on the reference simulator."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import optuna

from training.benchmarks.laps import Lap, Speed, lap
from training.competition.conditions import AT_HOME
from training.competition.entrants import rivals, shipped_seeds
from training.competition.runs import Batch, Course, Runner, batch_for
from training.evaluation.plan import DEFAULT_PROFILE, SHIPPED_POLICY
from training.preferences import PREFERENCES
from training.rollouts.play import COMPILED, REFERENCE, Stage
from training.tuning.study import Effort, tune

RULE: Final = "queue-scaling"
"""Whose settings are tried."""
SCENARIOS: Final = ("test/poisson-half", "test/bursts-light", "test/near-idle", "test/batches-half")
_MANY: Final = 1_000
"""More seeds than any course has: a batch takes all of its course's."""
ENGINE_SEEDS: Final = 16
"""The engine plays more runs of each policy: alone they would not fill a network's batch."""


@dataclass(frozen=True, slots=True)
class ArenaSpeeds:
    """Speeds of one core.

    Attributes:
        trials: settings judged a second, by engine.
        runs: of the competition's home part a second, likewise.
    """

    trials: dict[str, Speed]
    runs: dict[str, Speed]

    @property
    def trials_ratio(self) -> float:
        """Of the compiled engine's speed of tuning to the reference's."""
        return self.trials[COMPILED].per_second / self.trials[REFERENCE].per_second

    @property
    def runs_ratio(self) -> float:
        """Of the compiled engine's speed of competing to the reference's."""
        return self.runs[COMPILED].per_second / self.runs[REFERENCE].per_second

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "trials": {name: speed.to_dict() for name, speed in self.trials.items()},
            "runs": {name: speed.to_dict() for name, speed in self.runs.items()},
            "trials_ratio": self.trials_ratio,
            "runs_ratio": self.runs_ratio,
        }


@dataclass(slots=True)
class _Watch:
    """The times at which trials ended."""

    core_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

    def press(self) -> None:
        self.core_s.append(time.process_time())
        self.wall_s.append(time.perf_counter())

    def lap(self) -> Lap:
        """From the end of the first: what comes before is not part of a trial."""
        return Lap(
            len(self.core_s) - 1,
            self.core_s[-1] - self.core_s[0],
            self.wall_s[-1] - self.wall_s[0],
        )


def tuning_lap(engine: str, trials: int, random_episodes: int) -> Lap:
    """Settings judged as `training.tune` does, the sampler's time included.

    Args:
        engine: see `training.rollouts.play`.
        trials: settings suggested for each preference; the same ones for every engine.
        random_episodes: besides the training scenarios.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    effort = Effort(trials, 0, random_episodes, DEFAULT_PROFILE)
    watch = _Watch()
    with TemporaryDirectory() as folder:
        storage = Path(folder) / "trials.sqlite"
        tune(RULE, PREFERENCES, effort, storage, watch.press, Stage(engine))
    return watch.lap()


def home_batches(preferences: Sequence[float], rules: Sequence[str] | None) -> list[Batch]:
    """What is run at home: the shipped policies where they are there, and the rules.

    Args:
        preferences: w.
        rules: at their defaults and as tuned; none: all, and the teacher.
    """
    shipped = SHIPPED_POLICY.as_posix()
    learned = [shipped, *shipped_seeds(shipped)] if SHIPPED_POLICY.is_dir() else []
    specs = [*learned, *(rival.spec for rival in rivals(rules))]
    batches = [batch_for(spec, w, AT_HOME, _MANY) for spec in specs for w in preferences]
    return list(dict.fromkeys(batches))


def home_lap(engine: str, batches: Sequence[Batch], scenarios: Sequence[str], seeds: int) -> Lap:
    """Batches of the competition carried out anew.

    Args:
        engine: see `training.rollouts.play`.
        batches: which.
        scenarios: names.
        seeds: of the simulator.
    """
    with TemporaryDirectory() as folder:
        course = Course(DEFAULT_PROFILE, tuple(scenarios), tuple(range(seeds)))
        runner = Runner(course, Path(folder), 1, engine=engine)

        def work() -> int:
            runner.run(batches)
            return len(batches) * len(scenarios) * seeds

        return lap(work)


def arena_speeds(
    *,
    trials: int,
    random_episodes: int,
    preferences: Sequence[float],
    rules: Sequence[str] | None,
    scenarios: Sequence[str],
    repetitions: int,
) -> ArenaSpeeds:
    """Measure both; the engine so many times, after a lap that does not count (it may compile)."""
    batches = home_batches(preferences, rules)
    laps = {
        "trials": {
            COMPILED: [
                tuning_lap(COMPILED, trials, random_episodes) for _ in range(repetitions + 1)
            ][1:],
            REFERENCE: [tuning_lap(REFERENCE, trials, random_episodes)],
        },
        "runs": {
            COMPILED: [
                home_lap(COMPILED, batches, scenarios, ENGINE_SEEDS) for _ in range(repetitions + 1)
            ][1:],
            REFERENCE: [home_lap(REFERENCE, batches, scenarios, 1)],
        },
    }
    speeds = {
        what: {engine: Speed(tuple(each)) for engine, each in by.items()}
        for what, by in laps.items()
    }
    return ArenaSpeeds(speeds["trials"], speeds["runs"])
