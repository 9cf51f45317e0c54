"""Discount and advantage for decision epochs of unequal length (a semi-Markov process).

Two events can be milliseconds or minutes apart, so a fixed discount per step would make
the value of the future depend on how many events happen. Here everything is per second:

- the future is discounted by ``exp(-dt / horizon)`` over a step of dt seconds (1 for an
  order that takes no time);
- the cost rate is constant between two epochs, so a step's discounted cost is exactly
  ``rate * horizon * (1 - exp(-dt / horizon))``;
- the trace of generalised advantage estimation fades by ``exp(-dt / trace)``.

This is the usual average-cost SMDP set-up with continuous-time discounting (Bradtke and
Duff 1994, "Reinforcement learning methods for continuous-time Markov decision problems").
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer


class Clock(Protocol):
    """Where the buffer reads what the latest step really brought."""

    elapsed_s: NDArray[np.float32]
    rewards: NDArray[np.float32]


class SemiMarkovRolloutBuffer(MaskableRolloutBuffer):
    """A rollout buffer whose discount and trace follow the time that passed.

    Use it with ``gamma=1`` in the algorithm: stable-baselines3 then adds the value of a
    truncated episode's last state to the reward as it is, and this buffer discounts it.

    Args:
        horizon_s: time constant of the discount, seconds.
        trace_s: time constant of the advantage's trace, seconds.

    Attributes:
        clock: set once the environments are known.
        elapsed_s: seconds that passed in each step, shape (steps, environments).
    """

    elapsed_s: NDArray[np.float32]

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        gae_lambda: float = 1.0,
        gamma: float = 1.0,
        n_envs: int = 1,
        *,
        horizon_s: float = 300.0,
        trace_s: float = 150.0,
    ) -> None:
        self.horizon_s = horizon_s
        self.trace_s = trace_s
        self.clock: Clock | None = None
        super().__init__(
            buffer_size, observation_space, action_space, device, gae_lambda, gamma, n_envs
        )

    def reset(self) -> None:
        """Forget the rollout."""
        self.elapsed_s = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)
        super().reset()

    def add(self, *args: Any, action_masks: NDArray[np.bool_] | None = None, **kwargs: Any) -> None:
        """Store a step with the time that it took.

        Raises:
            RuntimeError: no clock was set.
        """
        if self.clock is None:
            raise RuntimeError("set the buffer's clock to the vectorised environment first")
        observation, action, reward, *rest = args
        elapsed = self.clock.elapsed_s
        self.elapsed_s[self.pos] = elapsed
        # What the reward holds beyond the step's own is the value of a truncated end.
        bootstrap = reward - self.clock.rewards
        share = elapsed / self.horizon_s
        within = np.where(share > 0, -np.expm1(-share) / np.maximum(share, 1e-12), 1.0)
        discounted = self.clock.rewards * within + bootstrap * np.exp(-share)
        super().add(
            observation,
            action,
            discounted.astype(np.float32),
            *rest,
            action_masks=action_masks,
            **kwargs,
        )

    def compute_returns_and_advantage(
        self, last_values: torch.Tensor, dones: NDArray[np.bool_]
    ) -> None:
        """Generalised advantage estimation with a discount and a trace for each step."""
        discount = np.exp(-self.elapsed_s / self.horizon_s)
        trace = np.exp(-self.elapsed_s / self.trace_s)
        following = last_values.clone().cpu().numpy().flatten()
        alive = 1.0 - dones.astype(np.float32)
        advantage: NDArray[Any] = np.zeros(self.n_envs, dtype=np.float32)
        for step in reversed(range(self.buffer_size)):
            if step < self.buffer_size - 1:
                following = self.values[step + 1]
                alive = 1.0 - self.episode_starts[step + 1]
            error = self.rewards[step] + discount[step] * following * alive - self.values[step]
            advantage = error + discount[step] * trace[step] * alive * advantage
            self.advantages[step] = advantage
        self.returns = self.advantages + self.values
