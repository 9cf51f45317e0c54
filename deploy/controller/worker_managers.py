"""Worker managers by runner type; what a type needs is imported only for it."""

from __future__ import annotations

from dataclasses import replace

from deploy.clock import Clock
from deploy.controller.flavors import pod_flavors, pod_types, vm_flavors
from deploy.controller.settings import Settings
from deploy.managers.base import WorkerManager
from deploy.managers.environment import WorkerLink
from env.catalog import Catalog
from env.config import Profile


def make_manager(
    settings: Settings,
    link: WorkerLink,
    controller_id: str,
    profile: Profile,
    catalog: Catalog,
    clock: Clock,
) -> WorkerManager:
    """The manager of the settings' runner type, not started.

    Args:
        settings: of the controller.
        link: how workers reach the controller and the storage.
        controller_id: marks in the cloud what is ours.
        profile: the data centre that the simulated manager imitates.
        catalog: the movies that its workers "transcode".
        clock: the controller's.

    Raises:
        DaCircoError: the type is not to be had, or its settings are wrong.
    """
    wished = settings.worker_placement
    match settings.runner_type:
        case "process":
            from deploy.managers.process import ProcessManager

            return ProcessManager(
                link,
                settings.workers_folder,
                controller_id,
                cores=settings.cores,
                boot_delay_s=settings.boot_delay_s,
            )
        case "simulated":
            from deploy.managers.simulated import SimulatedManager

            if wished is not None:
                cluster = replace(profile.cluster, placement=wished)
                profile = replace(profile, cluster=cluster)
            return SimulatedManager(link, profile, catalog, clock, seed=settings.seed)
        case "vm":
            from deploy.managers.vm.manager import VmManager
            from deploy.managers.vm.settings import VmSettings

            names = settings.openstack
            return VmManager(
                VmSettings(
                    controller_id,
                    image=names.image,
                    flavors=vm_flavors(settings, profile),
                    key=names.key,
                    security_group=names.security_group,
                    network=names.network,
                    types=settings.vm_types,
                    placement=wished or names.placement,
                    preferred=wished is not None,
                    nodes=profile.cluster.nodes,
                    service_user=names.service_user,
                    worker_log_file=names.worker_log_file,
                    cloud=names.cloud,
                    admin_cloud=names.admin_cloud,
                ),
                link,
            )
        case "pod":
            from deploy.managers.pod.manager import PodManager
            from deploy.managers.pod.settings import PodSettings, placement, read_selector

            pod, nodes = settings.pod, read_selector(settings.pod.node_selector)
            required = placement(spread=pod.spread, concentrate=pod.concentrate)
            made = PodSettings(
                controller_id,
                flavors=pod_flavors(settings, profile),
                namespace=pod.namespace,
                types=pod_types(settings),
                node_selector=nodes.labels,
                node_name=nodes.name,
                placement=wished or required,
                preferred=wished is not None,
                security=pod.security,
            )
            return PodManager(replace(made, image=pod.image) if pod.image else made, link)
