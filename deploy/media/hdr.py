"""What tells a screen how bright a film was made: the static data of HDR10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

_MASTERING: Final = "Mastering display metadata"
_LIGHT: Final = "Content light level metadata"
_DYNAMIC: Final = {
    "DOVI configuration record": "Dolby Vision",
    "Dolby Vision RPU Data": "Dolby Vision",
    "Dolby Vision Metadata": "Dolby Vision",
    "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)": "HDR10+",
}
_CHROMA_UNITS: Final = 50_000
_LUMINANCE_UNITS: Final = 10_000
_POINTS: Final = (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white_point"))
"""In the order of libx265's option."""


@dataclass(frozen=True, slots=True)
class Hdr:
    """Static data, as options of libx265, and what else there is.

    Attributes:
        mastering: value of ``master-display``; none if the file has no such data.
        light: value of ``max-cll``; none if the file has no such data.
        dynamic: names of the kinds of data that cannot be kept.
    """

    mastering: str | None = None
    light: str | None = None
    dynamic: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return self.mastering is None and self.light is None

    def x265_options(self) -> list[str]:
        """For ``-x265-params``."""
        options = {"master-display": self.mastering, "max-cll": self.light}
        return [f"{name}={value}" for name, value in options.items() if value is not None]


def read_hdr(side_data: Iterable[Mapping[str, Any]]) -> Hdr:
    """What ffprobe's JSON tells of a stream or a frame."""
    mastering = light = None
    dynamic: list[str] = []
    for entry in side_data:
        kind = str(entry.get("side_data_type"))
        try:
            if kind == _MASTERING:
                mastering = _mastering(entry)
            elif kind == _LIGHT:
                light = f"{int(entry['max_content'])},{int(entry['max_average'])}"
        except (KeyError, ValueError, TypeError, ZeroDivisionError):
            continue  # half of it is no use to a screen
        if kind in _DYNAMIC:
            dynamic.append(_DYNAMIC[kind])
    return Hdr(mastering, light, tuple(dict.fromkeys(dynamic)))


def _mastering(entry: Mapping[str, Any]) -> str:
    def units(name: str, scale: int) -> int:
        return round(Fraction(str(entry[name])) * scale)

    points = "".join(
        f"{letter}({units(f'{name}_x', _CHROMA_UNITS)},{units(f'{name}_y', _CHROMA_UNITS)})"
        for letter, name in _POINTS
    )
    brightest = units("max_luminance", _LUMINANCE_UNITS)
    darkest = units("min_luminance", _LUMINANCE_UNITS)
    return f"{points}L({brightest},{darkest})"
