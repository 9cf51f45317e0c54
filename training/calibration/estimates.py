"""Fitted figures with how sure they are, and what a whole fit says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Origin = Literal["fitted", "prior", "bound"]

FROM_THE_BENCH: Final = "the encoder bench shows it, these runs do not"


@dataclass(frozen=True)
class Estimate:
    """One figure of a profile.

    Attributes:
        value: the figure, in the unit of its key.
        standard_error: of the figure; none unless it is fitted.
        n: how many observations it rests on.
        origin: ``fitted`` to the data; ``prior``: the data cannot show it and the base
            profile's figure is kept; ``bound``: the data ask for a value that the law
            does not allow (say, negative) and the nearest allowed one is taken.
        note: why it is not fitted.
    """

    value: float
    standard_error: float | None = None
    n: int = 0
    origin: Origin = "fitted"
    note: str = ""


@dataclass
class SectionFit:
    """The fit of one table of a profile.

    Attributes:
        section: the table, e.g. ``timing.boot``.
        estimates: by key.
        quality: goodness of fit and sample sizes, by name.
        notes: what the data show beyond the figures, and what they cannot show.
    """

    section: str
    estimates: dict[str, Estimate] = field(default_factory=dict)
    quality: dict[str, float | int | str | list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def value(self, key: str) -> float:
        """The figure of one key."""
        return self.estimates[key].value
