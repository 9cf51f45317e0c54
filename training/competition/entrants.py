"""Who competes: the learned policies, and the rules with which settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from agents.frozen import CARD_FILE, NETWORK_FILE
from agents.registry import FURTHER, NAIVE, is_model, policy_class, policy_names, split_spec
from agents.tuned import tuned_specs
from env.errors import DaCircoError
from training.evaluation.plan import SHIPPED_POLICY
from training.teacher import TEACHER, teacher_specs
from training.tuning.space import RELATIVE_TO_PREFERENCE

GRACE_PERIOD: Final = "grace-period"
MINIMIZE_WORKERS: Final = "minimize-workers"
assert set(NAIVE) == {GRACE_PERIOD, MINIMIZE_WORKERS}

_COUNTS: Final = ("max_workers", "spares", "min_workers")
"""Parameters that count workers: on another number of nodes they are also tried scaled."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A rule with one setting.

    Attributes:
        rule: its name.
        spec: with its setting.
        tuned_for: the preference it was tuned for; none: at its defaults.
    """

    rule: str
    spec: str
    tuned_for: float | None

    @property
    def label(self) -> str:
        """For tables."""
        return self.rule if self.tuned_for is None else f"{self.rule} (w = {self.tuned_for:g})"


def rivals(rules: Sequence[str] | None = None) -> list[Rival]:
    """Every rule at its defaults and at each of its tuned settings.

    The existing system's further algorithms compete at their defaults alone: they are what they
    are.

    Unless rules are named, the teacher is among them, which has no defaults: what the policy
    began as must not be what beats it.

    Raises:
        DaCircoError: a rule was not tuned.
    """
    found: list[Rival] = []
    for rule in rules or policy_names():
        name = policy_class(rule).name
        found.append(Rival(name, name, None))
        if name in FURTHER:
            continue
        if name not in tuned_specs():
            raise DaCircoError(f"{name} was not tuned: run python -m training.tune")
        found += [Rival(name, spec, w) for w, spec in sorted(tuned_specs()[name].items())]
    if rules is None:
        found += [Rival(TEACHER, spec, w) for w, spec in sorted(teacher_specs().items())]
    return found


def shipped_seeds(policy: str) -> list[str]:
    """The policies of other training seeds that ship beside the shipped policy."""
    if Path(policy) != SHIPPED_POLICY:
        return []
    found = SHIPPED_POLICY.parent.glob("seed[0-9]*")
    return sorted(path.as_posix() for path in found if (path / CARD_FILE).is_file())


def tuned_rules(everybody: Sequence[Rival]) -> list[str]:
    """Names of the rules that compete with tuned settings."""
    return list(dict.fromkeys(r.rule for r in everybody if r.tuned_for is not None))


def tuned_at(everybody: Sequence[Rival], preference: float) -> list[Rival]:
    """Each rule as it was tuned for the preference nearest to this one."""
    found: dict[str, Rival] = {}
    for rival in everybody:
        if rival.tuned_for is None:
            continue
        known = found.get(rival.rule)
        if known is None or abs(rival.tuned_for - preference) < abs(
            (known.tuned_for or 0.0) - preference
        ):
            found[rival.rule] = rival
    return list(found.values())


def scaled(rival: Rival, factor: float) -> Rival | None:
    """The rival with its counts of workers scaled with the nodes; none if it has none."""
    name, given = split_spec(rival.spec)
    counts = {key: text for key, text in given.items() if key in _COUNTS and text != "none"}
    if not counts or factor == 1.0:
        return None
    changed = given | {key: str(ceil(int(text) * factor)) for key, text in counts.items()}
    spec = f"{name}:{','.join(f'{k}={v}' for k, v in changed.items())}"
    return Rival(rival.rule, spec, rival.tuned_for)


def heeds_preference(spec: str) -> bool:
    """Whether a policy may do different things at different preferences."""
    name = spec.partition(":")[0]
    if is_model(name):
        return True
    return name in RELATIVE_TO_PREFERENCE


def identity(spec: str) -> str:
    """What tells a policy from another of the same name: a network's hash, else the spec."""
    name = spec.partition(":")[0]
    if not is_model(name):
        return spec
    folder = Path(name)
    parts = [(folder / file).read_bytes() for file in (NETWORK_FILE, CARD_FILE)]
    return hashlib.sha256(b"".join(parts)).hexdigest()
