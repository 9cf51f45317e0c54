"""The cluster that a measured run is replayed on: its workers' size, and its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Final

from env.config import ClusterConfig, FlavorConfig
from env.errors import UnknownNameError
from training.validation.errors import ValidationError
from training.validation.measured_run import MeasuredRun


@dataclass(frozen=True)
class PodSize:
    """A pod: the CPUs that it may use, those that it reserves, and its RAM (GiB)."""

    limit: int
    request: float
    ram_gib: float = 1.4


POD_SIZES: Final[Mapping[str, PodSize]] = {
    "default": PodSize(4, 1.0),
    "large": PodSize(4, 2.0),
    "small": PodSize(1, 0.1),  # limited to half a CPU: a flavor has whole ones
}
"""By flavor key of the measured runs."""

RAM_PER_VCPU_GIB: Final = 2.0


@dataclass(frozen=True)
class ReplayCluster:
    """The cluster and the flavor of the run's workers, and what is to be said of them."""

    cluster: ClusterConfig
    flavor: str
    notes: tuple[str, ...] = ()


def replay_cluster(
    run: MeasuredRun, cluster: ClusterConfig, override: str | None = None
) -> ReplayCluster:
    """Find or make the flavor of a run's workers.

    A VM's flavor is the profile's smallest with as many vCPUs. A pod may use more CPU
    than it reserves: its flavor has the vCPUs of its limit, and the nodes are
    over-committed by limit / request, so that as many fit as did in the measured cluster.

    Args:
        run: tells the size.
        cluster: of the profile.
        override: name of a flavor of the profile to take whatever the run tells.

    Raises:
        UnknownNameError: the profile has no flavor `override`.
    """
    names = [flavor.name for flavor in cluster.flavors]
    if override is not None:
        if override not in names:
            raise UnknownNameError("flavor", override, names)
        return ReplayCluster(cluster, override)
    if run.runner == "pod" and run.flavor_key in POD_SIZES:
        return _pods(run, cluster, POD_SIZES[run.flavor_key])
    if not isfinite(run.vcpus):
        smallest = cluster.flavors[0].name
        return ReplayCluster(cluster, smallest, (f"no worker ran a task: taken as {smallest}",))
    vcpus = ceil(run.vcpus)
    for flavor in cluster.flavors:
        if flavor.vcpus == vcpus:
            return ReplayCluster(cluster, flavor.name)
    own = FlavorConfig("measured", vcpus, RAM_PER_VCPU_GIB * vcpus)
    note = f"the profile has no flavor of {vcpus} vCPU: one was made"
    return ReplayCluster(replace(cluster, flavors=(own,)), own.name, (note,))


def _pods(run: MeasuredRun, cluster: ClusterConfig, size: PodSize) -> ReplayCluster:
    flavor = FlavorConfig(f"pod-{run.flavor_key}", size.limit, size.ram_gib)
    wider = replace(cluster, flavors=(flavor,), vcpu_overcommit=size.limit / size.request)
    note = (
        f"pods {run.flavor_key}: request {size.request:g}, limit {size.limit} CPU: "
        f"{size.limit} vCPU on nodes over-committed by {size.limit / size.request:g}"
    )
    return ReplayCluster(wider, flavor.name, (note,))


def check_nodes(run: str, nodes: Iterable[str], cluster: ClusterConfig) -> None:
    """Refuse a run of another data centre.

    Raises:
        ValidationError: the run's workers ran on more nodes than the profile has.
    """
    seen = sorted({node for node in nodes if node})
    if len(seen) > len(cluster.nodes):
        named = ", ".join(seen[:5]) + ", ..." * (len(seen) > 5)
        raise ValidationError(
            f"run {run} ran on {len(seen)} nodes ({named}), "
            f"but the profile has {len(cluster.nodes)}: pass --profile with as many"
        )


def node_indices(run: MeasuredRun, cluster: ClusterConfig) -> list[int]:
    """Index of the profile's node of each measured worker, up to the first unknown one.

    Nodes are matched by name or, where a name is not the profile's, in order of names.
    """
    names = [node.name for node in cluster.nodes]
    measured = sorted({node for node in run.worker_nodes if node})
    place = (
        {node: names.index(node) for node in measured}
        if set(measured) <= set(names)
        else {node: i for i, node in enumerate(measured) if i < len(names)}
    )
    indices: list[int] = []
    for node in run.worker_nodes:
        if node not in place:
            break
        indices.append(place[node])
    return indices
