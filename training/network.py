"""The actor-critic network: fixed ratios and standardisation, then two small perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from training.ratios import NAMES, Ratios

_LEAST_SPREAD = 0.05
_IMPOSSIBLE = -1e8


class Standardise(BaseFeaturesExtractor):
    """Clip to the bounds, add ratios, subtract a fixed mean, divide by a fixed spread.

    Mean and spread are found once, on the imitation data, and then belong to the network:
    they are saved, exported and deployed with it.

    Args:
        observation_space: a flat box.
        flavors: names of the flavors of the observation, for its `Ratios`; none: no ratios.
    """

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, observation_space: spaces.Box, flavors: Sequence[str] = ()) -> None:
        size = int(np.prod(observation_space.shape)) + (len(NAMES) if flavors else 0)
        super().__init__(observation_space, size)
        self.ratios = Ratios(flavors) if flavors else None
        self.register_buffer("low", torch.as_tensor(observation_space.low))
        self.register_buffer("high", torch.as_tensor(observation_space.high))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, observations: NDArray[np.float32]) -> None:
        """Take mean and spread from observations of shape (n, features)."""
        seen = self._see(torch.as_tensor(observations)).numpy()
        self.mean.copy_(torch.as_tensor(seen.mean(axis=0)))
        # A feature that hardly varied must not blow up when it varies later.
        spread = np.maximum(seen.std(axis=0), _LEAST_SPREAD)
        self.spread.copy_(torch.as_tensor(spread))

    def _see(self, observations: torch.Tensor) -> torch.Tensor:
        clipped = torch.minimum(torch.maximum(observations, self.low), self.high)
        return clipped if self.ratios is None else torch.cat([clipped, self.ratios(clipped)], 1)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Standardised observations and ratios, shape (n, features + ratios)."""
        return (self._see(observations) - self.mean) / self.spread


def policy_arguments(width: int, flavors: Sequence[str]) -> dict[str, Any]:
    """Arguments of stable-baselines3's policy: actor and critic of two layers each.

    Args:
        width: units of each layer.
        flavors: names of the flavors of the observation.
    """
    return {
        "net_arch": {"pi": [width, width], "vf": [width, width]},
        "activation_fn": nn.Tanh,
        "features_extractor_class": Standardise,
        "features_extractor_kwargs": {"flavors": tuple(flavors)},
        "share_features_extractor": True,
    }


class Actor(nn.Module):
    """The part of the network that decides: observations (n, features) to logits (n, actions)."""

    standardise: Standardise
    hidden: nn.Sequential
    head: nn.Linear

    def __init__(self, model: MaskablePPO) -> None:
        super().__init__()
        self.standardise = standardiser(model)
        self.hidden = model.policy.mlp_extractor.policy_net
        head = model.policy.action_net
        assert isinstance(head, nn.Linear)
        self.head = head

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Logits before the mask."""
        logits: torch.Tensor = self.head(self.hidden(self.standardise(observation)))
        return logits


def standardiser(model: MaskablePPO) -> Standardise:
    """The model's standardisation."""
    extractor = model.policy.features_extractor
    assert isinstance(extractor, Standardise)
    return extractor


def forbid(logits: torch.Tensor, forbidden: torch.Tensor) -> torch.Tensor:
    """Logits of which those of forbidden actions are so low that they never happen."""
    return logits.masked_fill(forbidden, _IMPOSSIBLE)
