"""The observations that a network was trained on, as a box, and what lies outside of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MARGIN: Final = 0.2
"""How far beyond what was seen in training still counts as known, as a share of that range.

Counts and times enter the observation as logarithms: a fifth of the range of `waiting` is
three times the longest queue of the training. Measured in docs/guard.md.
"""

_LEAST_MARGIN: Final = 0.02
"""The same as a share of what the feature can be at all: one that never varied has a margin too."""

_DIALS: Final = frozenset({"preference"})
"""Features that tell what the operator wants, not what the world is like; never outside."""


class Envelope:
    """A box around the training's observations.

    Args:
        features: name and bounds of each feature, in order (see `env.observation.schema`).
        low: least value of each seen in training.
        high: greatest value.

    Raises:
        ValueError: the three differ in length, or a figure is not finite or above its partner.
    """

    def __init__(
        self, features: Sequence[Mapping[str, Any]], low: Sequence[float], high: Sequence[float]
    ) -> None:
        self.names = [str(feature["name"]) for feature in features]
        seen_low, seen_high = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
        if not seen_low.shape == seen_high.shape == (len(self.names),):
            raise ValueError(f"the envelope does not have {len(self.names)} figures each way")
        if not (np.isfinite(seen_low) & np.isfinite(seen_high) & (seen_low <= seen_high)).all():
            raise ValueError("the envelope's figures are not all finite, low before high")
        possible = np.array([feature["high"] - feature["low"] for feature in features])
        margin = np.maximum(MARGIN * (seen_high - seen_low), _LEAST_MARGIN * possible)
        dial = np.array([name in _DIALS for name in self.names])
        self.low: NDArray[np.float32] = np.where(dial, -np.inf, seen_low - margin).astype(
            np.float32
        )
        self.high: NDArray[np.float32] = np.where(dial, np.inf, seen_high + margin).astype(
            np.float32
        )

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Envelope | None:
        """The envelope of a frozen policy's card, none if it has none.

        Raises:
            ValueError, KeyError, TypeError: it has one that cannot be read.
        """
        box = card.get("observation_envelope")
        if box is None:
            return None
        return cls(card["schema"]["observation"], box["low"], box["high"])

    def outside(self, row: NDArray[np.float32]) -> str:
        """What lies outside, one line for people; empty if all lies inside.

        Args:
            row: an observation, shape (features,). A nan is outside.
        """
        inside = (row >= self.low) & (row <= self.high)
        if inside.all():
            return ""
        first = int(inside.argmin())
        more = int(len(inside) - inside.sum()) - 1
        return (
            f"{self.names[first]} is {row[first]:.3g}, known is "
            f"{self.low[first]:.3g} to {self.high[first]:.3g}"
            + (f"; and {more} more" if more else "")
        )
