"""Which revision of the project this is."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[1]


def git_revision() -> str | None:
    """The project's git revision, with ``+`` if files have changed since; none without git."""
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return revision + ("+" if changed else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_PROJECT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
