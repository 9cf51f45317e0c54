"""``python short_training.py OPTIONS``: the training command on scenarios cut short.

A run then takes seconds: each split is its first two scenarios, and of these the first jobs;
those that are drawn anew are as short.
All else is the real thing.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from env import recipes, scenario
from env.scenario import Scenario

SCENARIOS = 2
JOBS = 10
MINUTES = 3

_whole_split = scenario.load_split


def first_jobs(split: str) -> tuple[Scenario, ...]:
    """The first jobs of the first scenarios of a split."""
    few = list(_whole_split(split))[:SCENARIOS]
    return tuple(replace(one, requests=tuple(one.requests[:JOBS])) for one in few)


def first_minutes() -> tuple[recipes.Recipe, ...]:
    """The first recipes of the training split, for a few minutes."""
    return tuple(replace(one, horizon_s=MINUTES * 60.0) for one in recipes.TRAIN[:SCENARIOS])


if __name__ == "__main__":
    recipes.TRAIN = first_minutes()  # type: ignore[misc]
    scenario.load_split = first_jobs  # before the modules that import it by name
    from training.train.__main__ import main

    sys.exit(main())
