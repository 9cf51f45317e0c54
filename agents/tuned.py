"""Rules with the parameters that tuning found best at each preference: ``tuned:RULE``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

TUNED: Final = "tuned"
"""``tuned:RULE`` follows, at each preference, the tuned setting of the nearest one."""

TUNED_FILE: Final = "tuned.toml"
"""In this package."""


def tuned_name(rule: str) -> str:
    """What the tuned form of a rule is called."""
    return f"{TUNED}:{rule}"


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((resources.files("agents") / TUNED_FILE).read_text(encoding="utf-8"))


def tuned_effort() -> str:
    """How hard the rules were tuned, in words."""
    made = _table()["made"]
    return (
        f"{made['trials']} settings suggested for each rule at each preference, seed "
        f"{made['seed']}, judged on {made['training_scenarios']} training scenarios and "
        f"{made['random_episodes']} random training episodes"
    )


def tuned_specs() -> Mapping[str, Mapping[float, str]]:
    """The tuned settings of each rule by preference, from the file that ships.

    ``python -m training.tune`` writes it.
    """
    return {
        rule: {float(preference): entry["spec"] for preference, entry in by.items()}
        for rule, by in _table()["rules"].items()
    }
