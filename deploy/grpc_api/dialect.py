"""How the generations of the existing system number the states of workers.

The messages are the same; one enum differs. Numbers of proto3 enums travel as they are, also those
that our own `WorkerStatusEnum`, that of 2022, does not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

DialectName = Literal["2022", "2024"]

DEFAULT_DIALECT: Final[DialectName] = "2022"
DIALECT_HELP: Final = (
    "generation of the existing system whose front ends and controllers are spoken to: they number "
    "the states of workers differently (default: %(default)s)"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The numbers of one generation.

    Attributes:
        state_of: the state that a number means, as the Job API writes it.
        not_found: the number of a worker that is not known.
    """

    state_of: Mapping[int, str]
    not_found: int

    def number_of(self, state: str) -> int:
        """The number of a state.

        Args:
            state: as the Job API of 2022 writes it. Where a generation knows only that a worker is
                busy, that is what is told.
        """
        for number, known in self.state_of.items():
            if known == state:
                return number
        if state in BUSY_STATES and BUSY in self.state_of.values():
            return self.number_of(BUSY)
        raise ValueError(f"no state of a worker is called {state!r}")


BUSY: Final = "Busy"
"""What 2024 says of a worker that downloads, transcodes or uploads."""
BUSY_STATES: Final = ("Downloading File", "Transcoding", "Uploading File")

DIALECTS: Final[Mapping[DialectName, Dialect]] = MappingProxyType(
    {
        "2022": Dialect(
            MappingProxyType(
                {
                    1: "Booting",
                    2: "Downloading File",
                    3: "Transcoding",
                    4: "Uploading File",
                    5: "Idle",
                    6: "Stopped",
                }
            ),
            7,
        ),
        "2024": Dialect(MappingProxyType({1: "Booting", 2: BUSY, 3: "Idle", 4: "Stopped"}), 5),
    }
)
