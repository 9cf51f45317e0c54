"""What a rule remembers on the engine: columns of its own at the end of a data centre's row.

They are 0 when an episode begins. The first two whole numbers are the same for all rules.
"""

from __future__ import annotations

from typing import Final

from env.engine.compiling import compiled
from env.engine.layout import RULE_F, RULE_I, Centre

STARTED: Final = 0
"""Whether the rule has been told that a run begins."""
OVERFLOWN: Final = 1
"""Set when the room was not enough: what the run says is worthless from then on."""
OWN_I: Final = 2
"""The first whole number of a rule's own."""


@compiled
def floats_at(s: Centre) -> int:
    """Where the rule's floats begin in the data centre's row."""
    place: int = s.ei[RULE_F]
    return place


@compiled
def ints_at(s: Centre) -> int:
    """Where the rule's whole numbers begin."""
    place: int = s.ei[RULE_I]
    return place
