"""A member of the batch whose every step is written down: time, cost, end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from env.cost import CostVector


@dataclass(frozen=True, slots=True)
class Step:
    """What a decision brings, whatever it is."""

    elapsed_s: float
    cost_rate: float
    terminated: bool = False
    truncated: bool = False


class ScriptedMember:
    """Goes round the script; it observes where in the script it stands and its time."""

    observation_space = spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(3)
    render_mode: str | None = None
    preference = 1.0  # the cost is the job-seconds alone
    reference_cost_rate = 2.0

    def __init__(self, script: Sequence[Step]) -> None:
        self.script = list(script)
        self.position = 0
        self.now = 0.0
        self.seeds: list[int | None] = []
        self.begun = 0

    def reset(self, *, seed: int | None = None) -> Any:
        self.seeds.append(seed)
        self.begin()

    def begin(self) -> None:
        self.begun += 1
        self.now = 0.0

    def decide(self, action: int) -> tuple[CostVector, bool, bool]:
        step = self.script[self.position]
        self.position = (self.position + 1) % len(self.script)
        self.now += step.elapsed_s
        cost = CostVector(step.cost_rate * step.elapsed_s, 1e9)
        return cost, step.terminated, step.truncated

    def observe_into(self, row: NDArray[np.float32]) -> None:
        row[:] = [self.position / len(self.script), self.now / 1000.0]

    def mask_into(self, mask: NDArray[np.bool_]) -> None:
        mask[:] = [True, self.position % 2 == 0, False]
