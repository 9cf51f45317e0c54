"""Whom the network imitates first: a rule with parameters chosen for the preference."""

from __future__ import annotations

import tomllib
from importlib import resources

from agents.by_preference import ByPreference
from agents.registry import make_policy


def load_teacher() -> ByPreference:
    """A new teacher: at each preference the rule that ``teacher.toml`` names for the nearest."""
    text = (resources.files("training") / "teacher.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["rules"]
    rules = {float(preference): make_policy(spec) for preference, spec in table.items()}
    return ByPreference("teacher", rules)
