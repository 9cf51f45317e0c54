"""The existing system's default algorithm: no idle worker is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.idle import kill_expired
from agents.one_flavor import OneFlavorPolicy
from agents.parameters import NaiveParameters
from env.actions import KEEP

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


class MinimizeWorkers(OneFlavorPolicy):
    """A new worker for a waiting request; an idle worker with nothing waiting ends at once.

    Source: DaCirco's ``--algorithm minimize-workers``. Differences: a request for which
    a worker is booting already needs no second one, and by default the limit is what the
    cluster holds instead of 2.
    """

    name = "minimize-workers"
    aliases = ("minimise-workers",)
    summary = "a worker for each waiting request, ended as soon as it is idle (naive)"
    source = "DaCirco, --algorithm minimize-workers"
    parameters_type = NaiveParameters

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        if cluster.waiting:
            return self._serve_waiting(cluster)
        return kill_expired(cluster, 0.0) if cluster.n_idle else KEEP
