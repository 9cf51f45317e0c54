"""A policy that is a network, in steps: what it sees, what is allowed, what it says, what it does.

The steps are apart so that a guard can look at each; `act` takes them in one go.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from agents.policy import Policy
from env.actions import Action, action_from_index, n_actions
from env.observation import Observer, action_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envelope import Envelope
    from env.cluster import Cluster


def masked_argmax(logits: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The likeliest action that can be carried out, along the last axis."""
    best: NDArray[np.int64] = np.where(masks, logits, -np.inf).argmax(axis=-1)
    return best


class NetworkPolicy(Policy):
    """Decides by the likeliest action of a network that can be carried out.

    Attributes:
        envelope: the observations that the network was trained on, none if that is not known.
    """

    envelope: Envelope | None = None
    _cluster: Cluster | None = None

    def reset(self, cluster: Cluster) -> None:
        """Prepare to serve this cluster."""
        self._observer = Observer(cluster)
        self._cluster = cluster
        self._n_flavors = cluster.n_flavors
        self._row: NDArray[np.float32] = np.zeros((1, self._observer.size), dtype=np.float32)
        self._mask: NDArray[np.bool_] = np.zeros(n_actions(cluster.n_flavors), dtype=np.bool_)

    def observe(self, cluster: Cluster) -> NDArray[np.float32]:
        """The observation of this moment, shape (1, features); valid until the next call."""
        if cluster is not self._cluster:
            self.reset(cluster)
        self._observer.write(self._row[0])
        return self._row

    def mask(self, cluster: Cluster) -> NDArray[np.bool_]:
        """Which actions can be carried out now, shape (actions,); valid until the next call."""
        action_mask(cluster, self._mask)
        return self._mask

    @abstractmethod
    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output before the mask: (n, features) to (n, actions)."""

    def choose(self, logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> Action:
        """The likeliest action under the mask; both of shape (actions,)."""
        return action_from_index(int(masked_argmax(logits, mask)), self._n_flavors)

    def act(self, cluster: Cluster) -> Action:
        """The likeliest action that can be carried out."""
        row = self.observe(cluster)
        return self.choose(self.logits(row)[0], self.mask(cluster))
