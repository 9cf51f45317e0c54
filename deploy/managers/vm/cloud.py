"""One OpenStack project seen through openstacksdk: plain blocking calls, used in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import openstack
from openstack import exceptions
from openstack.connection import Connection

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.vm.settings import SERVER_GROUP_POLICIES, VmSettings

CONTROLLER_KEY: Final = "dacirco-controller"
WORKER_KEY: Final = "dacirco-worker"
FLAVOR_KEY: Final = "dacirco-flavor"
_SOFT_POLICIES_SINCE: Final = "2.15"
"""Compute API version that knows the soft server group policies."""
_MIB_PER_GIB: Final = 1024

T = TypeVar("T")


class RefusedError(ManagerError):
    """The API answered and said no: the order had no effect."""


@dataclass(frozen=True, slots=True)
class Server:
    """One of this controller's servers.

    Attributes:
        server_id: Nova's id.
        worker_id: of its order.
        name: of its order.
        flavor: name of its flavor.
        status: Nova's, e.g. BUILD, ACTIVE, ERROR, SHUTOFF.
        fault: why it is in ERROR.
    """

    server_id: str
    worker_id: str
    name: str
    flavor: str
    status: str
    fault: str


@dataclass(frozen=True, slots=True)
class FoundFlavor:
    """A flavor as the cloud has it; RAM in GiB."""

    name: str
    flavor_id: str
    vcpus: int
    ram_gib: float


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A node's inventory: physical vCPUs and RAM (GiB), and what may be promised of them."""

    name: str
    vcpus: int
    ram_gib: float
    vcpu_ratio: float
    ram_ratio: float


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left to this controller in the project; none means no limit."""

    instances: int | None
    vcpus: int | None
    ram_gib: float | None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


class Cloud:
    """The project that owns the workers, and optionally an admin's eyes.

    Args:
        settings: names and timeouts.

    Raises:
        ManagerError: clouds.yaml does not hold the cloud, or it refuses the credentials.
    """

    def __init__(self, settings: VmSettings) -> None:
        self.settings = settings
        self._owner = self._connect(settings.cloud)
        self._admin = self._connect_admin()
        self._image_id = self._network_id = ""
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

        def find(
            what: str, name: str, one: Callable[[str], Any], listing: Callable[[], Iterable[Any]]
        ) -> Any:
            found = self._ask(lambda: one(name))
            if found is None:
                names = sorted({str(item.name) for item in self._ask(lambda: list(listing()))})
                there = ", ".join(names) or "none"
                missing.append(f"{what} {name!r} (there is: {there})")
            return found

        owner = self._owner
        image = find(
            "image",
            wanted.image,
            lambda name: owner.image.find_image(name, ignore_missing=True),
            owner.image.images,
        )
        for name in wanted.flavors:
            flavor = find(
                "flavor",
                name,
                lambda name: owner.compute.find_flavor(name, ignore_missing=True),
                owner.compute.flavors,
            )
            if flavor is not None:
                self._flavors[name] = FoundFlavor(
                    name, str(flavor.id), int(flavor.vcpus), flavor.ram / _MIB_PER_GIB
                )
        network = find(
            "network",
            wanted.network,
            lambda name: owner.network.find_network(name, ignore_missing=True),
            owner.network.networks,
        )
        find(
            "key pair",
            wanted.key,
            lambda name: owner.compute.find_keypair(name, ignore_missing=True),
            owner.compute.keypairs,
        )
        find(
            "security group",
            wanted.security_group,
            lambda name: owner.network.find_security_group(name, ignore_missing=True),
            owner.network.security_groups,
        )
        if missing:
            raise ManagerError(
                f"cloud {wanted.cloud!r} lacks: {'; '.join(missing)}: make them, or name others "
                "(--os-image, --os-flavor, --flavors, --os-network, --os-key, --os-security-group)"
            )
        self._image_id, self._network_id = str(image.id), str(network.id)
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
            for node in self._ask(lambda: list(admin.compute.hypervisors(details=True)))
            if node.state == "up" and node.status == "enabled"
        }
        found = []
        for provider in self._ask(lambda: list(admin.placement.resource_providers())):
            if provider.name not in serving:
                continue
            path = f"/resource_providers/{provider.id}/inventories"
            reply = self._ask(partial(admin.placement.get, path))
            inventories = self._checked(reply)["inventories"]
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
        reply = self._checked(self._ask(partial(self._owner.compute.get, "/limits")))
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
        wanted = self.settings
        hints = {"scheduler_hints": {"group": self._group_id}} if self._group_id else {}
        server = self._ask(
            lambda: self._owner.compute.create_server(
                name=order.name,
                image_id=self._image_id,
                flavor_id=flavor.flavor_id,
                networks=[{"uuid": self._network_id}],
                key_name=wanted.key,
                security_groups=[{"name": wanted.security_group}],
                user_data=user_data,
                metadata={
                    CONTROLLER_KEY: wanted.controller_id,
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
        for server in self._ask(lambda: list(self._owner.compute.servers(details=True))):
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
            server = self._ask(lambda: admin.compute.get_server(server_id))
        except RefusedError:
            return None
        return str(server.hypervisor_hostname) if server.hypervisor_hostname else None

    def delete(self, server_id: str) -> None:
        """Order the end of a server; one that is gone is no error.

        Raises:
            ManagerError: the API does not answer.
        """
        self._ask(lambda: self._owner.compute.delete_server(server_id, ignore_missing=True))

    def close(self) -> None:
        """End the connections."""
        self._owner.close()
        if self._admin is not None:
            self._admin.close()

    # -- how --------------------------------------------------------------------------

    def _connect(self, name: str) -> Connection:
        try:
            connection = openstack.connect(
                cloud=name,
                api_timeout=self.settings.api_timeout_s,
                app_name="dacirco",
            )
            connection.authorize()
        except Exception as error:  # the sdk raises types of keystoneauth and of requests too
            raise ManagerError(
                f"cloud {name!r} cannot be used: {_reason(error)}: "
                "check its entry in clouds.yaml (see docs/operations.md)"
            ) from None
        return connection

    def _connect_admin(self) -> Connection | None:
        name = self.settings.admin_cloud
        known = openstack.config.OpenStackConfig().get_cloud_names()
        return self._connect(name) if name and name in known else None

    def _server_group(self) -> str | None:
        policy = SERVER_GROUP_POLICIES.get(self.settings.placement)
        if policy is None:
            return None
        compute = self._owner.compute
        name = f"dacirco-{self.settings.placement}-{self.settings.controller_id}"
        found = self._ask(lambda: list(compute.server_groups()))
        for group in found:
            if group.name == name:
                return str(group.id)
        body = {"server_group": {"name": name, "policies": [policy]}}
        reply = self._ask(
            lambda: self._checked(
                compute.post("/os-server-groups", json=body, microversion=_SOFT_POLICIES_SINCE)
            )
        )
        return str(reply["server_group"]["id"])

    @staticmethod
    def _checked(response: Any) -> Any:
        exceptions.raise_from_response(response)
        return response.json()

    def _ask(self, call: Callable[[], T]) -> T:
        """Ask the API, and turn what the SDK raises into our errors."""
        try:
            return call()
        except exceptions.HttpException as error:
            status = error.status_code or 0
            kind = RefusedError if 400 <= status < 500 and status != 408 else ManagerError
            raise kind(f"OpenStack: {_reason(error)}") from None
        except exceptions.SDKException as error:
            raise ManagerError(f"OpenStack: {_reason(error)}") from None
        except Exception as error:  # keystoneauth's and requests' errors share no base
            raise ManagerError(f"OpenStack does not answer: {_reason(error)}") from None
