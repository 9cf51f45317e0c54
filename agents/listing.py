"""What the registry knows of the policies, as data and as tables."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agents.heuristic import Heuristic
from agents.parameters import ParameterInfo, describe_parameters, format_value


def describe_policy(kind: type[Heuristic]) -> dict[str, Any]:
    """Everything about a rule, ready for JSON."""
    parameters = describe_parameters(kind.parameters_type)
    return {
        "name": kind.name,
        "aliases": list(kind.aliases),
        "summary": kind.summary,
        "source": kind.source,
        "discipline": kind().discipline,
        "description": inspect.getdoc(kind),
        "parameters": [dataclasses.asdict(info) | {"bounds": info.bounds} for info in parameters],
    }


def _default(info: ParameterInfo) -> str:
    unit = f" {info.unit}" if info.unit and info.default is not None else ""
    return f"{format_value(info.default)}{unit}"


def _parameter_table(kind: type[Heuristic]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("parameter", "type", "default", "accepts", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("parameter", "default"))
    for info in describe_parameters(kind.parameters_type):
        table.add_row(
            *(
                escape(text)
                for text in (info.name, info.kind, _default(info), info.bounds, info.meaning)
            )
        )
    return table


def brief(kind: type[Heuristic]) -> RenderableType:
    """Name, one line, source and parameters of a rule."""
    return Group(
        Text.assemble((kind.name, "bold"), "  ", kind.summary),
        Text.assemble(("source: ", "dim"), kind.source),
        _parameter_table(kind),
        "",
    )


def full(kind: type[Heuristic]) -> RenderableType:
    """The brief form, with the rule, its source and its aliases in full."""
    aliases = ", ".join(kind.aliases) or "none"
    return Group(
        Text.assemble((kind.name, "bold"), "  ", kind.summary),
        Text.assemble(("aliases: ", "dim"), aliases, ("; serves: ", "dim"), kind().discipline),
        "",
        Text(inspect.getdoc(kind) or ""),
        "",
        _parameter_table(kind),
        "",
    )
