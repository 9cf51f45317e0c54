"""The action mask, written by compiled code: the twin of `env.observation.action_mask`.

`tests/env/engine/test_same_as_scalar.py` compares both at every decision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from env.actions import KEEP_INDEX, SPAWN_INDEX
from env.engine.compiling import compiled
from env.engine.layout import (
    FITS,
    FLAVOR_I,
    FLAVORS_I,
    N_BOOTING,
    N_BUSY,
    N_FLAVORS,
    N_IDLE,
    WAITING,
    Centre,
)
from env.engine.view import can_kill


@compiled
def write_mask(s: Centre, mask: NDArray[np.bool_]) -> None:
    """Fill `mask`, shape (1 + 2 * flavors,): which actions may be ordered now."""
    flavors = s.ei[N_FLAVORS]
    any_fits = False
    for flavor in range(flavors):
        fits = s.i[FLAVORS_I + flavor * FLAVOR_I + FITS] != 0
        any_fits = any_fits or fits
        mask[SPAWN_INDEX + flavor] = fits
        mask[SPAWN_INDEX + flavors + flavor] = can_kill(s, flavor)
    served = s.i[WAITING] == 0 or s.i[N_BUSY] > 0 or s.i[N_BOOTING] > 0 or s.i[N_IDLE] > 0
    mask[KEEP_INDEX] = served or not any_fits
