"""Networks for rollouts, made in a moment."""

from __future__ import annotations

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from torch import nn

from env.gym_env import DaCircoEnv
from training.network import Actor, policy_arguments, standardiser

FLAVORS = ("s10.tiny", "s10.small", "s10.medium")


def random_actor(seed: int, width: int = 24, *, ratios: bool = True) -> Actor:
    """An untrained actor with a standardisation, decided enough to do all kinds of things."""
    arguments = policy_arguments(width, FLAVORS if ratios else ())
    torch.manual_seed(seed)
    model = MaskablePPO("MlpPolicy", DaCircoEnv(), policy_kwargs=arguments, device="cpu")
    rng = np.random.default_rng(seed)
    seen = standardiser(model)
    seen.mean.copy_(torch.as_tensor(rng.normal(0.3, 0.2, seen.mean.shape)))
    seen.spread.copy_(torch.as_tensor(rng.uniform(0.2, 1.0, seen.spread.shape)))
    actor = Actor(model)
    with torch.no_grad():
        for layer in [module for module in actor.hidden if isinstance(module, nn.Linear)]:
            layer.bias.add_(0.1 * torch.randn(layer.bias.shape))
        actor.head.weight.copy_(torch.randn(actor.head.weight.shape))
    return actor


def with_relu(actor: Actor) -> Actor:
    """The same actor with another activation."""
    for position, module in enumerate(actor.hidden):
        if isinstance(module, nn.Tanh):
            actor.hidden[position] = nn.ReLU()
    return actor
