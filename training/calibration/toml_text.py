"""TOML text from plain values, with comments at the end of lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

_LONG: Final = 80
"""A longer array has a line for each item."""


def toml_text(data: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Write tables, arrays of tables and scalars as TOML; keys that hold none are left out.

    Args:
        data: nested mappings, lists of mappings or of scalars, and scalars.
        comments: by dotted key (``timing.boot.sigma``), for scalars.
    """
    lines: list[str] = []
    _table(lines, (), data, comments or {})
    return "\n".join(lines).strip() + "\n"


def _table(
    lines: list[str], path: tuple[str, ...], table: Mapping[str, Any], comments: Mapping[str, str]
) -> None:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    arrays = {key: value for key, value in table.items() if _is_tables(value)}
    for key, value in table.items():
        if value is None or key in inner or key in arrays:
            continue
        line = f"{_key(key)} = {_value(value)}"
        comment = comments.get(".".join((*path, key)))
        lines.append(f"{line:<27} # {comment}" if comment else line)
    for key, value in arrays.items():
        for item in value:
            lines += ["", f"[[{_header(*path, key)}]]"]
            _table(lines, (*path, key), item, comments)
    for key, value in inner.items():
        if not value:
            continue
        if any(not isinstance(v, Mapping) and not _is_tables(v) for v in value.values()):
            lines += ["", f"[{_header(*path, key)}]"]
        _table(lines, (*path, key), value, comments)


def _header(*path: str) -> str:
    return ".".join(_key(key) for key in path)


def _is_tables(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(item, Mapping) for item in value)
    )


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if isfinite(value) else ("nan" if value != value else f"{value:+}")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        if sum(map(len, items)) <= _LONG:
            return f"[{', '.join(items)}]"
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    raise TypeError(f"no TOML for {type(value).__name__}")
