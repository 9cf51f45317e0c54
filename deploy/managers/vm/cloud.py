"""One OpenStack project seen through openstacksdk: plain blocking calls, used in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.vm.asking import RefusedError, ask, ask_plainly, connect, is_known
from deploy.managers.vm.records import FoundFlavor, Hypervisor, Quota, Server
from deploy.managers.vm.settings import VmSettings

CONTROLLER_KEY: Final = "dacirco-controller"
WORKER_KEY: Final = "dacirco-worker"
FLAVOR_KEY: Final = "dacirco-flavor"
_SOFT_POLICIES_SINCE: Final = "2.15"
"""Compute API version that knows the soft server group policies."""
_MIB_PER_GIB: Final = 1024
_IMAGE: Final = "image"
_NETWORK: Final = "network"


class Cloud:
    """The project that owns the workers, and optionally an admin's eyes.

    Args:
        settings: names and timeouts.

    Raises:
        ManagerError: clouds.yaml does not hold the cloud, or it refuses the credentials.
    """

    def __init__(self, settings: VmSettings) -> None:
        self.settings = settings
        self._owner = connect(settings.cloud, settings.api_timeout_s)
        admin = settings.admin_cloud
        self._admin = connect(admin, settings.api_timeout_s) if is_known(admin) else None
        self._ids: dict[tuple[str, str], str] = {}
        self._flavors: dict[str, FoundFlavor] = {}
        self._group_id: str | None = None

    @property
    def has_admin(self) -> bool:
        """Whether hypervisors can be read."""
        return self._admin is not None

    # -- at start ---------------------------------------------------------------------

    def check(self) -> None:
        """See that everything a server needs exists, and remember it.

        Raises:
            ManagerError: names everything that is missing, and what exists instead.
        """
        wanted = self.settings
        missing: list[str] = []
        asked: dict[tuple[str, str], Any] = {}

        def find(
            what: str, name: str, one: Callable[..., Any], listing: Callable[[], Iterable[Any]]
        ) -> Any:
            if (what, name) in asked:
                return asked[what, name]
            found = asked[what, name] = ask(lambda: one(name, ignore_missing=True))
            if found is None:
                names = sorted({str(item.name) for item in ask(lambda: list(listing()))})
                there = ", ".join(names) or "none"
                missing.append(f"{what} {name!r} (there is: {there})")
            else:
                self._ids[what, name] = str(found.id)
            return found

        compute, network, image = self._owner.compute, self._owner.network, self._owner.image
        for name in wanted.flavors:
            kind = wanted.type_of(name)
            find(_IMAGE, kind.image, image.find_image, image.images)
            flavor = find("flavor", kind.flavor, compute.find_flavor, compute.flavors)
            if flavor is not None:
                self._flavors[name] = FoundFlavor(
                    name, str(flavor.id), int(flavor.vcpus), flavor.ram / _MIB_PER_GIB
                )
            find(_NETWORK, kind.network, network.find_network, network.networks)
            find("key pair", kind.key, compute.find_keypair, compute.keypairs)
            find(
                "security group",
                kind.security_group,
                network.find_security_group,
                network.security_groups,
            )
        if missing:
            raise ManagerError(
                f"cloud {wanted.cloud!r} lacks: {'; '.join(missing)}: make them, or name others "
                "(--os-image, --os-flavor, --flavors, --os-network, --os-key, "
                "--os-security-group, --vm-params-file)"
            )
        self._group_id = self._server_group()

    @property
    def flavors(self) -> list[FoundFlavor]:
        """The flavors, small to large."""
        return sorted(self._flavors.values(), key=lambda flavor: (flavor.vcpus, flavor.ram_gib))

    def hypervisors(self) -> list[Hypervisor]:
        """The inventory of every node that is up and enabled; needs the admin.

        Raises:
            ManagerError: the admin may not read it after all.
        """
        admin = self._admin
        assert admin is not None
        serving = {
            str(node.name)
            for node in ask(lambda: list(admin.compute.hypervisors(details=True)))
            if node.state == "up" and node.status == "enabled"
        }
        found = []
        for provider in ask(lambda: list(admin.placement.resource_providers())):
            if provider.name not in serving:
                continue
            path = f"/resource_providers/{provider.id}/inventories"
            inventories = ask_plainly(partial(admin.placement.get, path))["inventories"]
            if not {"VCPU", "MEMORY_MB"} <= set(inventories):
                continue  # a shared disk pool, for instance
            cpu, ram = inventories["VCPU"], inventories["MEMORY_MB"]
            found.append(
                Hypervisor(
                    str(provider.name),
                    int(cpu["total"] - cpu.get("reserved", 0)),
                    (ram["total"] - ram.get("reserved", 0)) / _MIB_PER_GIB,
                    float(cpu.get("allocation_ratio", 1.0)),
                    float(ram.get("allocation_ratio", 1.0)),
                )
            )
        return sorted(found, key=lambda node: node.name)

    def quota(self) -> Quota:
        """The project's quota less what strangers use of it.

        Raises:
            ManagerError: the API does not answer.
        """
        # Not `compute.get_limits`: it warns of fields that Nova no longer has.
        reply = ask_plainly(partial(self._owner.compute.get, "/limits"))
        limits: Mapping[str, int] = reply["limits"]["absolute"]
        ours = self.servers()
        sizes = [self._flavors[s.flavor] for s in ours if s.flavor in self._flavors]
        mib = sum(flavor.ram_gib for flavor in sizes) * _MIB_PER_GIB

        def left(limit: str, used: str, own: float) -> float | None:
            if limits[limit] < 0:
                return None
            return max(0.0, limits[limit] - max(0.0, limits[used] - own))

        instances = left("maxTotalInstances", "totalInstancesUsed", len(ours))
        vcpus = left("maxTotalCores", "totalCoresUsed", sum(f.vcpus for f in sizes))
        ram = left("maxTotalRAMSize", "totalRAMUsed", mib)
        return Quota(
            None if instances is None else int(instances),
            None if vcpus is None else int(vcpus),
            None if ram is None else ram / _MIB_PER_GIB,
        )

    # -- servers ----------------------------------------------------------------------

    def create(self, order: SpawnOrder, user_data: str) -> str:
        """Order a server and return its id.

        Raises:
            RefusedError: the API said no (quota, bad name, ...).
            ManagerError: it is not known whether the order had an effect.
        """
        flavor = self._flavors.get(order.flavor.name)
        if flavor is None:
            raise RefusedError(f"flavor {order.flavor.name!r} is not one of {list(self._flavors)}")
        kind = self.settings.type_of(flavor.name)
        hints = {"scheduler_hints": {"group": self._group_id}} if self._group_id else {}
        server = ask(
            lambda: self._owner.compute.create_server(
                name=order.name,
                image_id=self._ids[_IMAGE, kind.image],
                flavor_id=flavor.flavor_id,
                networks=[{"uuid": self._ids[_NETWORK, kind.network]}],
                key_name=kind.key,
                security_groups=[{"name": kind.security_group}],
                user_data=user_data,
                metadata={
                    CONTROLLER_KEY: self.settings.controller_id,
                    WORKER_KEY: order.worker_id,
                    FLAVOR_KEY: flavor.name,
                },
                **hints,
            )
        )
        return str(server.id)

    def servers(self) -> list[Server]:
        """This controller's servers, whatever their status; a stranger's are never listed.

        Raises:
            ManagerError: the API does not answer.
        """
        found = []
        for server in ask(lambda: list(self._owner.compute.servers(details=True))):
            tags = server.metadata or {}
            if tags.get(CONTROLLER_KEY) != self.settings.controller_id:
                continue
            fault = (server.fault or {}).get("message", "") if server.fault else ""
            found.append(
                Server(
                    str(server.id),
                    str(tags.get(WORKER_KEY, "")),
                    str(server.name),
                    str(tags.get(FLAVOR_KEY, "")),
                    str(server.status),
                    str(fault),
                )
            )
        return found

    def node_of(self, server_id: str) -> str | None:
        """On which hypervisor the server runs, none if that is not told.

        Raises:
            ManagerError: the API does not answer.
        """
        if self._admin is None:
            return None
        admin = self._admin
        try:
            server = ask(lambda: admin.compute.get_server(server_id))
        except RefusedError:
            return None
        return str(server.hypervisor_hostname) if server.hypervisor_hostname else None

    def delete(self, server_id: str) -> None:
        """Order the end of a server; one that is gone is no error.

        Raises:
            ManagerError: the API does not answer.
        """
        ask(lambda: self._owner.compute.delete_server(server_id, ignore_missing=True))

    def close(self) -> None:
        """End the connections."""
        self._owner.close()
        if self._admin is not None:
            self._admin.close()

    # -- how --------------------------------------------------------------------------

    def _server_group(self) -> str | None:
        policy = self.settings.server_group_policy
        if policy is None:
            return None
        compute = self._owner.compute
        what = self.settings.placement if policy != "soft-affinity" else policy
        name = f"dacirco-{what}-{self.settings.controller_id}"
        found = ask(lambda: list(compute.server_groups()))
        for group in found:
            if group.name == name:
                return str(group.id)
        body = {"server_group": {"name": name, "policies": [policy]}}
        reply = ask_plainly(
            lambda: compute.post("/os-server-groups", json=body, microversion=_SOFT_POLICIES_SINCE)
        )
        return str(reply["server_group"]["id"])
