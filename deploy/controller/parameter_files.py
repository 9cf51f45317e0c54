"""``--vm-params-file`` and ``--pod-params-file``: TOML, one table for each type of worker.

A table's name is the name of a flavor here: ``default`` for the algorithms with one size of
worker, ``small`` and ``large`` for ``priority-based-dynamic``, any others by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from env.errors import ConfigError, UnknownNameError
from env.textfile import read_lines

DEFAULT_TYPE: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""Fit for a label of a pod and for a policy's parameter."""
_MOST_TEXT: Final = 255
_QUANTITY: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?(m|k|[MGTPE]|[KMGTPE]i)?")
_QUANTITIES: Final = ("cpu_request", "memory_request", "cpu_limit", "memory_limit")

Type = TypeVar("Type", VmType, PodType)


def read_vm_types(path: Path, given: VmType) -> dict[str, VmType]:
    """The types of VM in a file.

    Args:
        path: the file.
        given: what holds where a table says nothing: the options of the command line.

    Raises:
        ConfigError: the file cannot be read, or says what it cannot; names table and key.
    """
    return _read(path, given, _name_in_cloud)


def read_pod_types(path: Path) -> dict[str, PodType]:
    """The types of pod in a file; where a table says nothing there is no request, no limit.

    Raises:
        ConfigError: the file cannot be read, or says what it cannot; names table and key.
    """
    return _read(path, PodType(), _of_pod)


def quantity(text: str) -> str:
    """A quantity as Kubernetes writes it; empty for none, which is also what 0 means.

    Raises:
        ValueError: it is not a quantity.
    """
    text = text.strip()
    match = _QUANTITY.fullmatch(text) if text else None
    if text and match is None:
        raise ValueError("is not a quantity: write for instance 2, 500m or 1.4Gi, or 0 for none")
    if match is None or float(text.removesuffix(match[2] or "")) == 0.0:
        return ""
    return text


def _read(path: Path, given: Type, check: Callable[[str, Any], str]) -> dict[str, Type]:
    found: dict[str, Type] = {}
    for name, table in _tables(path).items():
        where = f"{path}, table [{name}]"
        known = [field.name for field in fields(given)]
        values: dict[str, str] = {}
        for key, value in table.items():
            if key not in known:
                raise ConfigError(f"{where}: {UnknownNameError('key', key, known)}")
            try:
                values[key] = check(key, value)
            except ValueError as error:
                raise ConfigError(f"{where}: {key} = {str(value)[:60]!r} {error}") from None
        found[name] = replace(given, **values)
    return found


def _tables(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        tables = tomllib.loads("\n".join(read_lines(path)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    if not tables:
        raise ConfigError(f"{path} holds no table: write [{DEFAULT_TYPE}] and its keys")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {name[:60]!r} stands outside of a table: write [{DEFAULT_TYPE}] above it"
            )
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: the table's name {name[:80]!r} is not usable: take letters, digits and "
                "hyphens, at most 63"
            )
    return tables


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text: put it in quotes")
    if len(value) > _MOST_TEXT or not value.isprintable():
        raise ValueError("is too long or not printable")
    return value.strip()


def _name_in_cloud(_key: str, value: Any) -> str:
    text = _text(value)
    if not text:
        raise ValueError("is empty: name what is there in the cloud, or leave the key out")
    return text


def _of_pod(key: str, value: Any) -> str:
    if key in _QUANTITIES:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError('is not a quantity: write for instance 2 or "1.4Gi"')
        return quantity(_text(value) if isinstance(value, str) else f"{value}")
    return _text(value)
