"""The same data centres, compiled and plain."""

from __future__ import annotations

from typing import Any

import numpy as np

from env.engine.vector_env import DaCircoVectorEnv
from env.gym_env import DaCircoEnv


def side_by_side(
    n: int, steps: int, world: dict[str, Any]
) -> tuple[DaCircoVectorEnv, list[DaCircoEnv]]:
    """The same data centres, compiled and plain, after the same random decisions."""
    fast = DaCircoVectorEnv(n, threads=1, **world)
    fast.reset(seed=11)
    plain = [DaCircoEnv(**world) for _ in range(n)]
    for d, env in enumerate(plain):
        env.reset(seed=11 + d)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        masks = fast.action_masks()
        actions = (masks * rng.random(masks.shape)).argmax(axis=1)
        fast.step(actions)
        for env, action in zip(plain, actions, strict=True):
            env.step(int(action))
    return fast, plain
