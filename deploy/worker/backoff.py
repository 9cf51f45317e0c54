"""Growing pauses between tries, drawn at random so that many workers do not come back at once."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 0.2
LONGEST_S: Final = 5.0


class Backoff:
    """Pauses that double from `FIRST_S` to `LONGEST_S`, each shortened by up to a half."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def pause_s(self) -> float:
        """How long to wait now, seconds."""
        pause, self._next_s = self._next_s, min(LONGEST_S, 2 * self._next_s)
        return random.uniform(pause / 2, pause)

    def reset(self) -> None:
        """It went well: the next pause is a short one."""
        self._next_s = FIRST_S
