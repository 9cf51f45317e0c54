"""A Python that has what an installation without extras has, and nothing else.

Made in a moment and without a network: a fresh virtual environment whose folder of packages holds
links to the installed files of exactly those distributions that the project's dependencies need,
found by following the metadata as pip does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from collections import defaultdict
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("env", "agents", "deploy")
"""Ours that the service is made of."""


def base_requirements() -> list[str]:
    """What the project needs without extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


@cache
def base_distributions() -> dict[str, Distribution]:
    """All distributions that an installation without extras brings, by canonical name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in base_requirements()]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:  # pragma: no cover - the environment is broken
                raise AssertionError(f"{name} is needed but not installed") from None
            todo += [(Requirement(text), wanted) for text in found[name].requires or ()]
    return found


def make_light_python(folder: Path, *, own: bool = True) -> Path:
    """A virtual environment in the folder; returns its Python.

    Args:
        folder: where it is made.
        own: whether the project's own packages are in it, too, as links to their sources.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    for path, source in _entries().items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    for package in PACKAGES if own else ():
        (site / package).symlink_to(ROOT / package)
    return folder / "bin" / "python"


def light_environment(**variables: str) -> dict[str, str]:
    """Our environment without what could lead Python to other packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | variables


def _entries() -> dict[str, Path]:
    """What to link: whole folders, but of those that several distributions share only parts."""
    base = base_distributions()
    files = {
        canonicalize_name(each.name): _recorded(each)
        for each in distributions()
        if each.read_text("RECORD")
    }
    entries: dict[str, Path] = {}
    todo = [("", set(files))]  # a folder, and the distributions that have something in it
    while todo:
        folder, sharing = todo.pop()
        owners: dict[str, set[str]] = defaultdict(set)
        for name in sharing:
            for file in files[name]:
                if file.startswith(folder):
                    owners[folder + file[len(folder) :].partition("/")[0]].add(name)
        for path, names in owners.items():
            if len(names) > 1 and names & set(base):
                todo.append((f"{path}/", names))
            elif names <= set(base):
                entries[path] = Path(str(base[names.pop()].locate_file(path)))
    return entries


def _recorded(each: Distribution) -> list[str]:
    """The files of a distribution in the folder of packages (elsewhere are its scripts)."""
    lines = (each.read_text("RECORD") or "").splitlines()
    paths = [line.rsplit(",", 2)[0].strip('"') for line in lines]
    return [path for path in paths if not path.startswith(("../", "__pycache__/"))]
