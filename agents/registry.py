"""Policies by name: ``NAME[:key=value,...]``, ``tuned:NAME``, ``models/NAME`` or a path."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

from agents.adaptive_flavor import AdaptiveFlavor
from agents.adaptive_grace_period import AdaptiveGracePeriod
from agents.break_even import BreakEven
from agents.by_preference import ByPreference
from agents.concurrency_windows import ConcurrencyWindows
from agents.grace_period import GracePeriod
from agents.heuristic import Heuristic
from agents.hybrid_histogram import HybridHistogram
from agents.minimize_workers import MinimizeWorkers
from agents.parameters import parse_parameters
from agents.policy import Policy
from agents.priority_based_dynamic import PriorityBasedDynamic
from agents.queue_scaling import QueueScaling
from agents.reserve_k import ReserveK
from agents.scheduler_with_queue import SchedulerWithQueue
from agents.scheduler_with_reserve import SchedulerWithReserve
from agents.shipped import model_folder
from agents.square_root_staffing import SquareRootStaffing
from agents.target_utilisation import TargetUtilisation
from agents.tuned import TUNED, tuned_name, tuned_specs
from env.errors import PolicyError, UnknownNameError

NAIVE: Final = ("minimize-workers", "grace-period")
"""The two algorithms of the existing system."""

FURTHER: Final = (
    "scheduler-with-queue",
    "scheduler-with-reserve",
    "adaptive-grace-period",
    "priority-based-dynamic",
)
"""The four that its 2024 version has besides; they are what they are, and nobody tunes them."""

MODELS: Final = Path("models")
"""Where frozen policies live; `agents.shipped` says from which places that is taken."""

HeuristicType = TypeVar("HeuristicType", bound=type[Heuristic])

_by_name: dict[str, type[Heuristic]] = {}
_aliases: dict[str, str] = {}


def register(kind: HeuristicType) -> HeuristicType:
    """Make a rule known by its name and aliases (usable as a class decorator).

    Raises:
        ValueError: the name or an alias is taken.
    """
    for name in (kind.name, *kind.aliases):
        if name in _by_name or name in _aliases or name == TUNED:
            raise ValueError(f"the policy name {name!r} is taken")
    _by_name[kind.name] = kind
    _aliases.update(dict.fromkeys(kind.aliases, kind.name))
    return kind


def policy_names() -> list[str]:
    """Names of all rules in the order in which they were registered, naive ones first."""
    return list(_by_name)


def tunable_names() -> list[str]:
    """Names of the rules whose settings are tuned: all but the existing system's further ones."""
    return [name for name in _by_name if name not in FURTHER]


def _key(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def is_rule(name: str) -> bool:
    """Whether a rule is known by this name or alias."""
    return _aliases.get(_key(name), _key(name)) in _by_name


def policy_class(name: str) -> type[Heuristic]:
    """The class of a rule by name or alias; ``_`` counts as ``-``.

    Raises:
        UnknownNameError: there is no such rule.
    """
    key = _key(name)
    try:
        return _by_name[_aliases.get(key, key)]
    except KeyError:
        raise UnknownNameError("policy", name, [*_by_name, *_aliases, *model_names()]) from None


def model_names() -> list[str]:
    """Frozen policies in the working directory's ``models`` folder, as ``models/NAME``."""
    if not MODELS.is_dir():
        return []
    return sorted(
        path.as_posix()
        for path in MODELS.iterdir()
        if path.is_dir() and not path.name.startswith(".")  # that is an export at work
    )


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split ``NAME:key=value,key=value`` into the name and the texts by key.

    Raises:
        PolicyError: a part is not ``key=value``, or a key is given twice.
    """
    name, colon, rest = spec.partition(":")
    given: dict[str, str] = {}
    if not colon:
        return name.strip(), given
    for part in rest.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals or not value:
            raise PolicyError(
                f"policy {spec!r}: {part.strip()!r} is not key=value: "
                "write NAME:key=value,key=value"
            )
        if key in given:
            raise PolicyError(f"policy {spec!r}: {key} is given twice: give it once")
        given[key] = value
    return name.strip(), given


def make_policy(spec: str) -> Policy:
    """Create a policy from its text.

    Args:
        spec: a rule with parameters (``reserve-k:spares=2,flavor=s10.tiny``), a rule as it
            was tuned for each preference (``tuned:reserve-k``), or a frozen policy:
            ``models/NAME`` or the path of an existing folder.

    Raises:
        UnknownNameError: no such policy or parameter; suggests the closest.
        PolicyError: a parameter's value is of the wrong type or out of range, or the
            frozen policy cannot be used.
    """
    name = spec.partition(":")[0].strip()
    if not name:
        raise PolicyError(f"policy {spec!r} has no name: write NAME:key=value,key=value")
    if name == TUNED:
        return _tuned(spec)
    if not is_model(name):
        kind = policy_class(name)
        return kind(parse_parameters(kind.parameters_type, kind.name, split_spec(spec)[1]))
    path = model_folder(name)
    if not _is_folder(path):
        raise UnknownNameError("policy", name, [*_by_name, *model_names()])
    if split_spec(spec)[1]:
        raise PolicyError(f"policy {spec!r}: a frozen policy takes no parameters: write {name}")
    # Imported when needed: loading onnxruntime costs more than all the rules together.
    from agents.frozen import FrozenPolicy

    return FrozenPolicy(path)


def _tuned(spec: str) -> Policy:
    """The tuned rule that ``tuned:RULE`` names."""
    rule = spec.partition(":")[2].strip()
    if not rule:
        raise PolicyError(f"policy {spec!r} names no rule: write {TUNED}:NAME")
    name, settings = policy_class(rule).name, tuned_specs()
    if name not in settings:
        raise PolicyError(f"policy {spec!r}: {name} was not tuned: run python -m training.tune")
    rules = {preference: make_policy(tuned) for preference, tuned in settings[name].items()}
    return ByPreference(tuned_name(name), rules)


def is_model(name: str) -> bool:
    """Whether a name means a frozen policy; a registered rule goes before a folder."""
    path = Path(name)
    if path.is_absolute() or len(path.parts) > 1:
        return True
    return _is_folder(path) and name not in _by_name and name not in _aliases


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for instance a name that is too long for the file system
        return False


for _kind in (
    MinimizeWorkers,
    GracePeriod,
    ReserveK,
    QueueScaling,
    TargetUtilisation,
    ConcurrencyWindows,
    BreakEven,
    HybridHistogram,
    SquareRootStaffing,
    AdaptiveFlavor,
    SchedulerWithQueue,
    SchedulerWithReserve,
    AdaptiveGracePeriod,
    PriorityBasedDynamic,
):
    register(_kind)
