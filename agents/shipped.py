"""Where frozen policies lie: in the working directory, a checkout, or the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CARD: Final = "card.json"
_PLACES: Final = (Path(__file__).resolve().parents[1], Path(__file__).resolve().parent)
"""The checkout, whose folder ``models`` they lie in; and this package, where a wheel holds them."""


def model_folder(name: str | Path) -> Path:
    """The folder that a frozen policy's name means.

    Args:
        name: a path, taken from the working directory; a relative one that is not there also from
            the checkout or from the installed package, so ``models/dacirco`` works anywhere.

    Returns:
        The path as it was given where it is there or nowhere, else where it was found.
    """
    path = Path(name)
    try:
        if path.is_absolute() or len(path.parts) < 2 or path.is_dir():
            return path
        found = (place / path for place in _PLACES)
        return next((folder for folder in found if (folder / CARD).is_file()), path)
    except OSError:  # for instance a name that is too long for the file system
        return path
