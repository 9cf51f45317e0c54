"""The cluster that a measured run is replayed on: its workers' size, and its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from math import ceil, isfinite
from typing import Final

from env.config import ClusterConfig, FlavorConfig
from env.errors import UnknownNameError
from training.validation.errors import ValidationError
from training.validation.measured_run import MeasuredRun


@dataclass(frozen=True)
class PodSize:
    """A pod.

    Attributes:
        limit: CPUs that it may use.
        request: CPUs that it reserves.
        slowness: how many times longer than a flavor of `vcpus` its transcodes take.
        ram_gib: RAM that it reserves.
    """

    limit: float
    request: float
    slowness: float = 1.0
    ram_gib: float = 1.4

    @property
    def vcpus(self) -> int:
        """Of its flavor: a flavor has whole vCPUs."""
        return ceil(self.limit)


POD_SIZES: Final[Mapping[str, PodSize]] = {
    "default": PodSize(4, 1.0),
    "large": PodSize(4, 2.0),
    # Two transcodes of 1080p on half a CPU took 3.6 times what the law gives on one vCPU. Half
    # a CPU explains 2; the rest is what the quota costs an encoder that starts a thread for each
    # core of the node.
    "small": PodSize(0.5, 0.1, slowness=3.6),
}
"""By flavor key of the measured runs."""

RAM_PER_VCPU_GIB: Final = 2.0


@dataclass(frozen=True)
class ReplayCluster:
    """The cluster and the flavors of the run's workers.

    Attributes:
        cluster: nodes and flavors.
        flavor: of most of the tasks' workers.
        of_key: flavor by flavor key, where the run tells keys.
        of_workers: flavor of each worker in the order of creation, up to the first unknown.
        slowness: by flavor, how many times longer than the profile says a transcode takes.
        loads: by flavor, vCPUs that a transcode keeps busy where the profile does not say it.
        limits: by flavor, vCPUs of a quota.
        notes: what is to be said of them.
    """

    cluster: ClusterConfig
    flavor: str
    of_key: Mapping[str, str] = field(default_factory=dict)
    of_workers: tuple[str, ...] = ()
    slowness: Mapping[str, float] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def replay_cluster(
    run: MeasuredRun, cluster: ClusterConfig, override: str | None = None
) -> ReplayCluster:
    """Find or make the flavors of a run's workers.

    A VM's flavor is the profile's smallest with as many vCPUs. A pod may use more CPU
    than it reserves: its flavor has the vCPUs of its limit, and the nodes are
    over-committed by limit / request of the size that did most, so that as many fit as did
    in the measured cluster.

    Args:
        run: tells the sizes.
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
        return _pods(run, cluster)
    if not isfinite(run.vcpus):
        smallest = cluster.flavors[0].name
        note = f"no worker ran a task: taken as {smallest}"
        return ReplayCluster(cluster, smallest, notes=(note,))
    return _machines(run, cluster)


def _machines(run: MeasuredRun, cluster: ClusterConfig) -> ReplayCluster:
    """Flavors by their vCPUs; a size that the profile lacks is made."""
    own = list(_while_known(run.worker_sizes))
    sizes = {ceil(size) for size in (run.vcpus, *(size for _, size in (*run.sizes, *own)))}
    known: dict[int, FlavorConfig] = {}
    for flavor in cluster.flavors:
        known.setdefault(flavor.vcpus, flavor)
    missing = sorted(sizes - set(known))
    for vcpus in missing:
        name = "measured" if len(missing) == 1 else f"measured-{vcpus}"
        known[vcpus] = FlavorConfig(name, vcpus, RAM_PER_VCPU_GIB * vcpus)
    of_workers = [known[ceil(size)].name for _, size in own]
    if missing:
        chosen = tuple(known[vcpus] for vcpus in sorted(sizes))
        cluster = replace(cluster, flavors=chosen)
    return ReplayCluster(
        cluster,
        known[ceil(run.vcpus)].name,
        of_key={key: known[ceil(size)].name for key, size in run.sizes if key},
        of_workers=tuple(of_workers),
        notes=tuple(f"the profile has no flavor of {n} vCPU: one was made" for n in missing),
    )


def _pods(run: MeasuredRun, cluster: ClusterConfig) -> ReplayCluster:
    keys = sorted(
        {run.flavor_key} | {key for key, _ in (*run.sizes, *run.worker_sizes) if key in POD_SIZES},
        key=lambda key: (POD_SIZES[key].vcpus, POD_SIZES[key].request),
    )
    flavors = {
        key: FlavorConfig(f"pod-{key}", POD_SIZES[key].vcpus, POD_SIZES[key].ram_gib)
        for key in keys
    }
    most = POD_SIZES[run.flavor_key]
    overcommit = most.limit / most.request
    wider = replace(cluster, flavors=tuple(flavors.values()), vcpu_overcommit=overcommit)
    sizes = ", ".join(
        f"{key}: request {POD_SIZES[key].request:g}, limit {POD_SIZES[key].limit:g} CPU: "
        f"{POD_SIZES[key].vcpus} vCPU"
        + (f", {POD_SIZES[key].slowness:g} times as slow" if POD_SIZES[key].slowness != 1 else "")
        for key in keys
    )
    of_workers = [
        flavors[key].name for key, _ in takewhile(lambda size: size[0] in flavors, run.worker_sizes)
    ]
    slow = {flavors[key].name: POD_SIZES[key].slowness for key in keys}
    parts = {
        flavors[key].name: POD_SIZES[key].limit
        for key in keys
        if POD_SIZES[key].limit < POD_SIZES[key].vcpus
    }
    return ReplayCluster(
        wider,
        flavors[run.flavor_key].name,
        of_key={key: flavor.name for key, flavor in flavors.items()},
        of_workers=tuple(of_workers),
        slowness=slow,
        loads=parts,
        limits={flavors[key].name: POD_SIZES[key].limit for key in keys},
        notes=(f"pods {sizes}; nodes over-committed by {overcommit:g}",),
    )


def _while_known(sizes: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    return takewhile(lambda size: isfinite(size[1]), sizes)


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


def node_places(run: MeasuredRun, cluster: ClusterConfig) -> dict[str, int]:
    """Index of the profile's node of each measured node.

    Nodes are matched by name or, where a name is not the profile's, in order of names.
    """
    names = [node.name for node in cluster.nodes]
    measured = sorted({node for node in run.worker_nodes if node})
    if set(measured) <= set(names):
        return {node: names.index(node) for node in measured}
    return {node: i for i, node in enumerate(measured) if i < len(names)}


def node_indices(run: MeasuredRun, cluster: ClusterConfig) -> list[int]:
    """Index of the profile's node of each measured worker, up to the first unknown one."""
    place = node_places(run, cluster)
    indices: list[int] = []
    for node in run.worker_nodes:
        if node not in place:
            break
        indices.append(place[node])
    return indices
