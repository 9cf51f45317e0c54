"""Text from workers, clients and clouds, made fit for a log, a store and a terminal.

A NUL makes PostgreSQL refuse the row, an escape sequence steers the terminal of whoever reads the
log, and a line break forges a line of it.
"""

from __future__ import annotations

import re
from typing import Final

MOST_MESSAGE: Final = 2000
"""Of what a worker says of a failure, characters."""
MOST_REASON: Final = 300
"""Of a reason in a line of the event log, characters."""

_CUT: Final = "…"
_SEQUENCE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor (CSI)
    r"|[\x1b\x9d][\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, device control (OSC, ..)
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
"""The escape sequences of ECMA-48: without their first character the rest would stay as litter."""


def clean(text: str, most: int = MOST_MESSAGE) -> str:
    """The text on one line, of printable characters only, each run of others one space.

    Characters that cannot be shown are control characters, line separators, marks that turn the
    direction of writing, lone surrogates, and what Unicode has not assigned.

    Args:
        text: anything.
        most: how long the result may be, characters; what is cut off shows as an ellipsis.
    """
    # Beyond this nothing could be left of it: a message of megabytes is not gone through.
    given = _SEQUENCE.sub(" ", text[: 8 * most])
    letters = "".join(letter if letter.isprintable() else " " for letter in given)
    line = " ".join(letters.split())
    if len(line) <= most and len(text) <= 8 * most:
        return line
    return line[: most - len(_CUT)].rstrip() + _CUT
