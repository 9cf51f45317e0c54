"""Text files: read with errors that name the file, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from importlib.resources.abc import Traversable
from pathlib import Path

from env.errors import ScenarioError


def read_lines(source: Path | Traversable) -> list[str]:
    """The lines of a UTF-8 text file (a byte order mark is dropped), without line ends.

    Raises:
        ScenarioError: if the file cannot be read or is not UTF-8 text.
    """
    try:
        return source.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ScenarioError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{source} is not UTF-8 text: {error.reason}") from error


def is_there(path: Path) -> bool:
    """Whether a path leads to something; one that cannot be asked for leads to nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, for instance
        return False


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by a file that holds ``text``, in one step.

    The text goes to a temporary file beside it first, so that a reader, a full
    disk or an interrupt never leaves half a file.

    Raises:
        ScenarioError: if the folder is missing or not writable; ``path`` is as before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise ScenarioError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
