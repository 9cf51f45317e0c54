"""A run of the simulator as the tables of a measured run, so that the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan

import pandas as pd

from agents.registry import make_policy
from env.catalog import Catalog
from env.config import Profile
from env.jobs import Request
from env.simulator import Simulator
from env.timeline import Timeline
from env.worker import Worker, WorkerState

_RUNNER = "vm"
_MAX_WORKERS = 5
POLICY = f"grace-period:flavor=s10.tiny,max_workers={_MAX_WORKERS},max_idle_time=10"


class _Record(Timeline):
    """Remembers which worker each job was last given to."""

    def __init__(self) -> None:
        super().__init__()
        self.worker_of: dict[object, object] = {}

    def busy(self, now: float, worker: Worker) -> None:
        super().busy(now, worker)
        assert worker.job is not None
        self.worker_of[worker.job.job_id] = worker.worker_id


def simulated_tables(
    profile: Profile,
    requests: Sequence[Request],
    catalog: Catalog,
    *,
    seed: int = 0,
    policy: str = POLICY,
    run: str = "run01",
    world: Callable[..., Simulator] = Simulator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Play a run.

    Args:
        profile: the truth.
        requests: in order of arrival.
        catalog: their videos.
        seed: of the simulator.
        policy: that is in charge.
        run: what to call it.
        world: the simulator.

    Returns:
        Tasks and workers with the columns of the two-table form, sizes in vCPUs, bitrates in
        kbit/s.
    """
    record = _Record()
    rule = make_policy(policy)
    simulator = world(
        profile, requests, catalog, seed=seed, discipline=rule.discipline, timeline=record
    )
    simulator.run(rule)
    nodes = [node.name for node in profile.cluster.nodes]
    vcpus = [flavor.vcpus for flavor in profile.cluster.flavors]
    place = {lane.worker_id: (nodes[lane.node], vcpus[lane.flavor]) for lane in record.lanes}
    tasks = []
    for i, request in enumerate(requests):
        movie = catalog[request.movie]
        worker = record.worker_of.get(i)
        node, size = place.get(worker, ("", nan))
        failed = i in simulator.failed
        tasks.append(
            {
                "run": run,
                "runner": _RUNNER,
                "algorithm": policy.partition(":")[0],
                "max_workers": _MAX_WORKERS,
                "request": f"request-{i}",
                "video": movie.name,
                "duration_s": movie.duration_s,
                "width": movie.width,
                "height": movie.height,
                "size_bytes": movie.size_bytes,
                "bitrate": request.bitrate_kbps,
                "bitrate_unit": "kbit",
                "speed": request.speed,
                "status": "error" if failed else "completed",
                "node": node,
                "vcpus": size,
                "worker": f"worker-{worker}",
                "t_received": request.arrival_s,
                "t_assigned": simulator.assigned_s[i],
                "t_dwnld_start": simulator.assigned_s[i],
                "t_tc_start": simulator.downloaded_s[i],
                "t_upld_start": simulator.transcoded_s[i],
                "t_completed": nan if failed else simulator.ended_s[i],
                "t_failed": simulator.ended_s[i] if failed else nan,
            }
        )
    workers = []
    for lane in record.lanes:
        draining = [span.start_s for span in lane.spans if span.state is WorkerState.DRAINING]
        node, size = place[lane.worker_id]
        workers.append(
            {
                "run": run,
                "runner": _RUNNER,
                "worker": f"worker-{lane.worker_id}",
                "node": node,
                "vcpus": size,
                "t_created": lane.spans[0].start_s,
                "t_available": lane.spans[1].start_s if len(lane.spans) > 1 else nan,
                "t_stopped": draining[0] if draining else nan,
            }
        )
    return pd.DataFrame(tasks), pd.DataFrame(workers)
