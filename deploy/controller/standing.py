"""Where each waiting job stands in the queue."""

from __future__ import annotations

from env.cluster import Cluster


class Standing:
    """The order in which the waiting jobs would be served now; found anew when it may differ.

    Args:
        cluster: what it is read from.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._at: tuple[float, int, int, int] | None = None
        self._positions: dict[str, int] = {}

    def position(self, job_id: str) -> int | None:
        """From 1; none if the job is not in the queue, or is held."""
        cluster = self._cluster
        at = (cluster.now, cluster.waiting, cluster.held, cluster.in_service)
        if at != self._at:
            turn = enumerate(cluster.in_turn(), start=1)
            self._positions = {str(job.job_id): place for place, job in turn}
            self._at = at
        return self._positions.get(job_id)
