"""Users, catalogue and the resources by the names that the service expects."""

from __future__ import annotations

import base64
import os
import struct
from typing import Any

from tests.clouds.openstack.layout import COMPUTES, Layout
from tests.clouds.waiting import wait_for

FLAVORS = {"s10.tiny": 1, "s10.small": 2, "s10.medium": 4}
"""vCPUs of each flavor; 2 GiB of RAM go with each."""
IMAGE, NETWORK, KEY_PAIR, SECURITY_GROUP = "dacirco", "external", "mykey", "ssh"
PROJECT = "demo"


def seed_identity(admin: Any, layout: Layout) -> None:
    """Service user, the project that owns the VMs with its member, and the catalogue."""
    identity = admin.identity
    roles = {role.name: role for role in identity.roles()}
    for name in ("service", "member"):
        if name not in roles:
            roles[name] = identity.create_role(name=name)
    for name, granted in (("services", ("admin", "service")), (PROJECT, ("member",))):
        project = identity.create_project(name=name, domain_id="default")
        user = identity.create_user(name=name, password=layout.password, domain_id="default")
        for role in granted:
            identity.assign_project_role_to_user(project=project, user=user, role=roles[role])
    for kind, name, path in (
        ("placement", "placement", ""),
        ("image", "glance", ""),
        ("network", "neutron", ""),
        ("compute", "nova", "/v2.1"),
    ):
        service = identity.create_service(type=kind, name=name)
        for interface in ("public", "internal", "admin"):
            identity.create_endpoint(
                service_id=service.id,
                interface=interface,
                region_id="RegionOne",
                url=layout.url(name) + path,
            )


def seed_resources(admin: Any, owner: Any) -> None:
    """Flavors, image, network, key pair and security group; waits for the three hosts."""
    for name, vcpus in FLAVORS.items():
        admin.compute.create_flavor(name=name, vcpus=vcpus, ram=2048 * vcpus, disk=5)
    admin.image.create_image(
        name=IMAGE,
        disk_format="raw",
        container_format="bare",
        visibility="public",
        data=bytes(4096),
        validate_checksum=False,
    )
    network = admin.network.create_network(name=NETWORK, is_shared=True)
    admin.network.create_subnet(
        network_id=network.id,
        name=NETWORK,
        ip_version=4,
        cidr="10.99.0.0/24",
        gateway_ip="10.99.0.1",
        is_dhcp_enabled=False,
    )
    owner.compute.create_keypair(name=KEY_PAIR, public_key=_public_key())
    group = owner.network.create_security_group(name=SECURITY_GROUP)
    owner.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
    )

    # The scheduler itself maps the hosts to the cell soon after they have registered.
    wait_for(
        lambda: {host.name for host in admin.compute.hypervisors()} == set(COMPUTES),
        "the three hypervisors",
    )


def _public_key() -> str:
    """The form of an ed25519 key: any 32 bytes will do, and nobody holds the private half."""
    kind = b"ssh-ed25519"
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", 32) + os.urandom(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} test"
