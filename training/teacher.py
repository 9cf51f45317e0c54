"""Whom the network imitates first: a rule with parameters chosen for the preference."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Final

from agents.by_preference import ByPreference
from agents.registry import make_policy

TEACHER: Final = "teacher"


def teacher_specs() -> dict[float, str]:
    """The rules of ``teacher.toml`` by preference."""
    text = (resources.files("training") / "teacher.toml").read_text(encoding="utf-8")
    return {float(preference): spec for preference, spec in tomllib.loads(text)["rules"].items()}


def load_teacher() -> ByPreference:
    """A new teacher: at each preference the rule that ``teacher.toml`` names for the nearest."""
    rules = {preference: make_policy(spec) for preference, spec in teacher_specs().items()}
    return ByPreference(TEACHER, rules)
