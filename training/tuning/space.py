"""What tuning may choose: for each parameter of each rule the range that makes sense here.

The parameters themselves, their types and their outer bounds come from
`agents.parameters.describe_parameters`; a range only narrows the bounds to what can matter
on a cluster whose jobs and boots take from seconds to minutes. A parameter without a range
is an error, so that no rule is tuned by halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import expm1, floor, log1p, log10
from typing import Final, Literal, Protocol

from agents.parameters import ParameterInfo, describe_parameters, format_value
from agents.registry import policy_class
from env.cluster import Cluster
from env.config import Profile
from env.dispatch import Discipline

DISCIPLINE: Final[Discipline] = "sjf"
"""Every tuned rule serves the queue as the learned policy does."""

_DIGITS: Final = 3
"""Significant digits of a tuned value."""

_FEWEST: Final = 3
"""Fewer workers than this cannot carry half a load on the shipped data centres."""

RELATIVE_TO_PREFERENCE: Final = frozenset({"break-even", "square-root-staffing", "adaptive-flavor"})
"""Rules that may do different things at different preferences."""

_HEED_PREFERENCE: Final = frozenset({"break-even"})
"""Those of them that do so at the settings tuned here."""

_Scale = Literal["linear", "log", "from zero"]


class Chooser(Protocol):
    """What suggests values (an Optuna trial)."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number."""

    def suggest_categorical(self, name: str, choices: tuple[str, ...]) -> str:
        """One of several."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a parameter that tuning tries.

    Attributes:
        low, high: least and most.
        scale: how they are spread: evenly, evenly in the logarithm, or evenly in
            ``log(1 + value)``, which holds zero and gives room to small values.
    """

    low: float
    high: float
    scale: _Scale = "linear"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A parameter that takes one of a few texts."""

    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A parameter that tuning leaves at one value."""

    value: str


_TIMEOUT: Final = Range(0, 600, "from zero")
_PERIOD: Final = Range(1, 60, "log")
_STABILISATION: Final = Range(0, 900, "from zero")
_SHARE: Final = Range(0, 1)
_SWITCH: Final = OneOf(("0", "1"))
"""A threshold on the preference, at one preference: passed or not."""

_RANGES: Final[Mapping[str, Mapping[str, Range | OneOf | Fixed]]] = {
    "minimize-workers": {},
    "grace-period": {"max_idle_time": _TIMEOUT},
    "reserve-k": {"spares": Range(0, 9), "max_idle_time": _TIMEOUT},
    "queue-scaling": {
        "sync_period": _PERIOD,
        "tolerance": Range(0, 0.5),
        "stabilisation": _STABILISATION,
        "target": Range(0.25, 8, "log"),
        "polling_interval": _PERIOD,
        "cooldown": _STABILISATION,
    },
    "target-utilisation": {
        "sync_period": _PERIOD,
        "tolerance": Range(0, 0.5),
        "stabilisation": _STABILISATION,
        "target": Range(0.05, 1),
        "min_workers": Range(0, 6),
    },
    "concurrency-windows": {
        "target": Range(0.25, 8, "log"),
        "stable_window": Range(5, 600, "log"),
        "panic_window": Range(1, 60, "log"),
        "panic_threshold": Range(1, 10, "log"),
        "max_scale_down_rate": Range(1.05, 100, "log"),
        "scale_to_zero_grace": _TIMEOUT,
        "period": Range(1, 30, "log"),
    },
    "break-even": {"factor": Range(0, 20, "from zero")},
    "hybrid-histogram": {
        "bin_width": Range(1, 60, "log"),
        "bins": Range(10, 500, "log"),
        "head": Range(0, 0.5),
        "tail": Range(0.5, 1),
        "margin": _SHARE,
        "min_samples": Range(1, 50, "log"),
        "min_variation": Range(0, 10, "from zero"),
        "max_out_of_bounds": _SHARE,
        "fallback_keep_alive": _TIMEOUT,
    },
    "square-root-staffing": {
        "beta": Range(-4, 4),
        "horizon": OneOf(("short", "medium", "long")),
        "backlog_share": _SHARE,
        "period": _PERIOD,
        "stabilisation": _STABILISATION,
    },
    "adaptive-flavor": {
        "spawn_share": Range(0.05, 1),
        "second_flavor_from": _SWITCH,
        "third_flavor_from": _SWITCH,
        "max_load": Range(0.05, 2, "log"),
        # At one preference one timeout rules; it is written as the one at high preference.
        "long_idle_above": Fixed("0"),
        "short_idle_above": Fixed("0"),
        "long_idle": _TIMEOUT,
        "short_idle": Fixed("0"),
        "lean_idle": Fixed("0"),
    },
}


class Space:
    """The settings of one rule that tuning may try in one data centre.

    Args:
        rule: its name.
        profile: the data centre, for flavors and the number of workers.
    """

    def __init__(self, rule: str, profile: Profile) -> None:
        kind = policy_class(rule)
        self.rule = kind.name
        self._infos = {info.name: info for info in describe_parameters(kind.parameters_type)}
        cluster = Cluster(profile)
        self._most_workers = max(cluster.capacity_of(f) for f in range(cluster.n_flavors))
        flavors = tuple(
            flavor.name for f, flavor in enumerate(cluster.flavors) if cluster.capacity_of(f) > 0
        )
        common: dict[str, Range | OneOf | Fixed] = {
            "max_workers": Range(min(_FEWEST, self._most_workers), self._most_workers),
            "flavor": OneOf(flavors),
            "discipline": Fixed(DISCIPLINE),
        }
        own = _RANGES.get(kind.name, {})
        self._ranges = {name: own.get(name, common.get(name)) for name in self._infos}
        missing = [name for name, given in self._ranges.items() if given is None]
        if missing:
            raise ValueError(f"{kind.name}: no range to tune {', '.join(missing)} in")

    @property
    def heeds_preference(self) -> bool:
        """Whether one setting does different things at different preferences."""
        return self.rule in _HEED_PREFERENCE

    def __repr__(self) -> str:
        return f"<space of {self.rule}: {self._ranges}>"

    @property
    def free(self) -> tuple[str, ...]:
        """The parameters that are varied."""
        return tuple(name for name, r in self._ranges.items() if not isinstance(r, Fixed))

    def choose(self, chooser: Chooser) -> dict[str, str]:
        """Texts of all parameters, as suggested."""
        return {
            name: self._choose(chooser, name, given)
            for name, given in self._ranges.items()
            if given is not None
        }

    def _choose(self, chooser: Chooser, name: str, given: Range | OneOf | Fixed) -> str:
        if isinstance(given, Fixed):
            return given.value
        if isinstance(given, OneOf):
            return chooser.suggest_categorical(name, given.choices)
        if self._infos[name].kind == "whole number":
            number = chooser.suggest_int(
                name, int(given.low), int(given.high), log=given.scale == "log"
            )
            everybody = name == "max_workers" and number == self._most_workers
            return "none" if everybody else str(number)
        if given.scale == "from zero":
            drawn = chooser.suggest_float(name, log1p(given.low), log1p(given.high))
            return _text(expm1(drawn), given)
        return _text(
            chooser.suggest_float(name, given.low, given.high, log=given.scale == "log"), given
        )

    def spec(self, values: Mapping[str, str]) -> str:
        """The rule with the values that differ from its defaults."""
        changed = ",".join(
            f"{name}={text}"
            for name, text in values.items()
            if text != format_value(self._infos[name].default)
        )
        return f"{self.rule}:{changed}" if changed else self.rule

    def start(self) -> dict[str, str]:
        """The rule's defaults, but for what tuning fixes."""
        return {
            name: given.value if isinstance(given, Fixed) else _default(self._infos[name])
            for name, given in self._ranges.items()
        }


def _default(info: ParameterInfo) -> str:
    return format_value(info.default)


def _text(value: float, given: Range) -> str:
    """A value with three significant digits, within the range."""
    if value != 0.0:
        value = round(value, _DIGITS - 1 - floor(log10(abs(value))))
    return format_value(min(max(value, given.low), given.high))
