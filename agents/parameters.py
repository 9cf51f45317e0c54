"""A policy's parameters: frozen, validated, and able to tell what they mean.

A parameter is a field of a frozen pydantic dataclass, written as
``name: Annotated[type, Field(bounds, description=...), Unit("s")] = default``.
From that alone come the checks, the listing of ``python -m agents`` and the
parsing of ``name:key=value``.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from env.errors import PolicyError, UnknownNameError

STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Configuration of every parameter dataclass."""

DAY_S: Final = 86_400.0
"""Upper bound of every duration: no timeout longer than a day makes sense here."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """The unit of a parameter's value, kept beside its bounds."""

    symbol: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Parameters:
    """Base of all parameter sets; every field has a default."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorkerLimitParameters(Parameters):
    """For policies that bound how many workers they start."""

    max_workers: Annotated[
        int | None,
        Field(ge=1, description="most workers at once; none: as many as the cluster holds"),
    ] = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneFlavorParameters(WorkerLimitParameters):
    """For policies whose workers are all of one size."""

    flavor: Annotated[str, Field(min_length=1, description="flavor of every worker")] = "s10.small"


ServedNext = Annotated[
    Literal["fcfs", "sjf"],
    Field(description="who is served next: first come, or shortest expected job (with ageing)"),
]
"""The type of a parameter that chooses the queue discipline."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DisciplineParameters(Parameters):
    """For policies that can serve the queue in either order."""

    discipline: ServedNext = "sjf"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneFlavorRivalParameters(DisciplineParameters, OneFlavorParameters):
    """One flavor, either discipline."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NaiveParameters(OneFlavorRivalParameters):
    """One flavor, and by default the discipline of the existing system."""

    discipline: ServedNext = "fcfs"


P = TypeVar("P", bound=Parameters)


@dataclasses.dataclass(frozen=True)
class ParameterInfo:
    """What can be said of one parameter without an instance.

    Attributes:
        name: as written before the ``=``.
        kind: ``number``, ``whole number``, ``text`` or ``choice``.
        default: the default value.
        optional: whether ``none`` is a value.
        minimum, maximum: bounds, none where open.
        above: the minimum itself is excluded.
        choices: the values of a ``choice``.
        unit: unit of the value, empty for none.
        meaning: one line.
    """

    name: str
    kind: Literal["number", "whole number", "text", "choice"]
    default: float | int | str | None
    optional: bool
    minimum: float | None
    maximum: float | None
    above: bool
    choices: tuple[str, ...]
    unit: str
    meaning: str

    @property
    def bounds(self) -> str:
        """The accepted values in words, e.g. ``0 to 86400 s`` or ``fcfs or sjf``."""
        if self.kind == "choice":
            text = " or ".join(self.choices)
        elif self.minimum is not None and self.maximum is not None:
            text = f"{'above ' if self.above else ''}{self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            text = f"above {self.minimum:g}" if self.above else f"{self.minimum:g} or more"
        else:
            text = "any"
        unit = f" {self.unit}" if self.unit and text != "any" else ""
        return f"{text}{unit}{', or none' if self.optional else ''}"


def _scalar(annotation: Any) -> tuple[Any, bool]:
    """Split ``T | None`` into T and whether none is allowed."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return inner[0], len(inner) < len(get_args(annotation))
    return annotation, False


def _describe(name: str, field: FieldInfo) -> ParameterInfo:
    annotation, optional = _scalar(field.annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    kinds = {float: "number", int: "whole number", str: "text"}
    marks: dict[str, Any] = {}
    for mark in field.metadata:
        marks |= dataclasses.asdict(mark)
    return ParameterInfo(
        name=name,
        kind="choice" if choices else kinds[annotation],  # type: ignore[arg-type]
        default=field.default,
        optional=optional,
        minimum=marks.get("ge", marks.get("gt")),
        maximum=marks.get("le"),
        above="gt" in marks,
        choices=choices,
        unit=marks.get("symbol", ""),
        meaning=field.description or "",
    )


def describe_parameters(kind: type[Parameters]) -> tuple[ParameterInfo, ...]:
    """All parameters of a parameter set, in the order in which they are declared."""
    fields: Mapping[str, FieldInfo] = kind.__pydantic_fields__  # type: ignore[attr-defined]
    return tuple(_describe(name, field) for name, field in fields.items())


def parse_parameters(kind: type[P], policy: str, given: Mapping[str, str]) -> P:
    """Turn the texts of ``key=value`` into a validated parameter set.

    Args:
        kind: the parameter set's class.
        policy: the policy's name, for errors.
        given: text of each value by key; ``-`` and ``_`` in keys are the same.

    Raises:
        UnknownNameError: a key that the policy lacks.
        PolicyError: a value of the wrong type or out of range, or a key given twice.
    """
    infos = {info.name: info for info in describe_parameters(kind)}
    values: dict[str, Any] = {}
    for key, text in given.items():
        name = key.replace("-", "_")
        if name not in infos:
            if not infos:
                raise PolicyError(f"{policy} takes no parameters: remove {key!r}")
            raise UnknownNameError(f"parameter of {policy}", key, infos)
        if name in values:
            raise PolicyError(f"{policy}: {name} is given twice: give it once")
        values[name] = None if infos[name].optional and text.lower() == "none" else text
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # a check of several values together, which says so itself
            reason = first["msg"].removeprefix("Value error, ")
            raise PolicyError(f"{policy}: {reason}") from None
        name = str(first["loc"][0])
        info = infos[name]
        what = "" if info.kind == "choice" else f"{info.kind}, "
        text = str(values[name])
        raise PolicyError(
            f"{policy}: {name}={text if text.isprintable() else repr(text)} is not usable: "
            f"give {what}{info.bounds} (default {format_value(info.default)})"
        ) from None


def format_value(value: float | int | str | None) -> str:
    """Write a value as `parse_parameters` reads it."""
    if value is None:
        return "none"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def changed_values(parameters: Parameters) -> dict[str, str]:
    """The values that differ from their defaults, as text."""
    values = {
        info.name: (getattr(parameters, info.name), info.default)
        for info in describe_parameters(type(parameters))
    }
    return {k: format_value(value) for k, (value, default) in values.items() if value != default}
