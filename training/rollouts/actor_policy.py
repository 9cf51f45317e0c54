"""A network in training as a policy."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from agents.network_policy import NetworkPolicy
from training.network import Actor

NAME: Final = "network"


class ActorPolicy(NetworkPolicy):
    """Decides by the actor's likeliest action; the actor is not copied.

    Args:
        actor: the network.
    """

    def __init__(self, actor: Actor) -> None:
        self.name, self.discipline = NAME, "sjf"
        self._actor = actor

    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output before the mask: (n, features) to (n, actions)."""
        with torch.no_grad():
            logits: NDArray[np.float32] = self._actor(torch.as_tensor(observations)).numpy()
        return logits
