"""What tells one world from another, so that no kept figure is taken for one of another world."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cache
from pathlib import Path

import agents
import env
from agents.frozen import sha256
from agents.tuned import TUNED_FILE


def code_identity(*folders: Path, but: Collection[str] = ()) -> str:
    """What tells the code and data in the folders from others: a hash of all their files.

    Args:
        folders: looked through with all that is in them.
        but: names of files that do not count.
    """
    files = [
        f"{sha256(path)} {path.relative_to(folder).as_posix()}"
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.name not in but
    ]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


@cache
def world_identity(*, tuned: bool) -> str:
    """What tells this simulator and these rules from others.

    Args:
        tuned: whether the tuned settings of the rules count too.
    """
    folders = [Path(package.__path__[0]) for package in (env, agents)]
    return code_identity(*folders, but=() if tuned else (TUNED_FILE,))
