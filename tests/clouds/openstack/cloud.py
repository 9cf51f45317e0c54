"""A real OpenStack with three compute nodes whose VMs are processes of this machine."""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.clouds.cloud import Cloud
from tests.clouds.machine import (
    REPOSITORY,
    free_ports,
    install_packages,
    require_disk,
    require_namespaces,
    require_root,
)
from tests.clouds.openstack.configurations import write_configurations
from tests.clouds.openstack.install import install_services
from tests.clouds.openstack.layout import COMPUTES, PORT_NAMES, SERVICES, Layout, write_clouds
from tests.clouds.openstack.seed import PROJECT, seed_resources
from tests.clouds.openstack.startup import Startup, homes, start_api
from tests.clouds.processes import is_alive
from tests.clouds.waiting import answers, wait_for

OWNER, ADMIN = "openstack", "openstack_admin"
"""The two clouds of clouds.yaml."""

WORKER = Path(sys.executable).parent / "dacirco_tc_worker"
"""The worker of the virtual environment that runs the tests."""


@dataclass(frozen=True)
class Guest:
    """What the hypervisor knows of one server.

    Attributes:
        server: the server's id.
        host: its compute node.
        pid: the guest's process: killing it is a crash of the VM; none without a guest.
        created: when that process started, by the kernel's clock.
        folder: its disk, user data and log.
    """

    server: str
    name: str
    host: str
    pid: int | None
    created: float | None
    folder: Path

    @property
    def alive(self) -> bool:
        """Whether the guest runs now."""
        return self.pid is not None and is_alive(self.pid, self.created or 0.0)

    @property
    def log(self) -> str:
        """What the guest and its worker printed."""
        return (self.folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        """End the guest and all it runs at once, as a VM that crashes."""
        assert self.pid is not None, f"{self.name} has no guest"
        psutil.Process(self.pid).kill()
        wait_for(lambda: not self.alive, f"the end of guest {self.name}")

    def kill_worker(self) -> None:
        """End the worker at once and leave the VM running."""
        assert self.pid is not None, f"{self.name} has no guest"
        (system,) = psutil.Process(self.pid).children()  # process 1 of the guest
        for process in system.children(recursive=True):
            process.kill()


class OpenStackCloud(Cloud):
    """Keystone, Placement, Glance, Neutron and Nova with compute1, compute2 and compute3."""

    name = "openstack"

    def __init__(self) -> None:
        super().__init__()
        self._connections: dict[str, Any] = {}

    def install(self) -> None:
        require_root()
        require_namespaces(overlays=True)
        require_disk(self.cache, 2)
        install_packages(["rabbitmq-server", "postgresql"])
        install_services(self.cache)

    def start(self) -> None:
        layout = Layout(
            venv=self.cache / "venv",
            data=self.scratch,
            logs=self.processes.logs,
            ports=dict(zip(PORT_NAMES, free_ports(len(PORT_NAMES)), strict=True)),
            password=secrets.token_urlsafe(16),
        )
        folders = ("images", "staging", "tasks", "nova/lock", "neutron/lock")
        for folder in (*folders, "guests", "behaviour", "home", "tmp"):
            (layout.data / folder).mkdir(parents=True)
        layout.logs.mkdir()
        (self.state / "ports.json").write_text(json.dumps(layout.ports))
        write_clouds(self.clouds_file, layout)
        write_configurations(layout)
        # Keystone's catalog is empty yet: nobody is to keep this connection.
        Startup(self.processes, layout, self.await_ready, lambda: self._connection(ADMIN)).run()
        self.reset_behaviour()
        for host in COMPUTES:
            self.start_compute(host)
        seed_resources(self.connect(ADMIN), self.connect(OWNER))
        self.save_facts(
            clouds_file=self.clouds_file, guests=layout.data / "guests", ports=layout.ports
        )

    def stop(self) -> None:
        """The services first, then what they lean on; none has data that must survive."""
        while self._connections:
            self._connections.popitem()[1].close()
        services = [name for name in self.processes.names() if name != "postgres"]
        self.processes.stop(services, grace_s=1)
        # Killed outright, PostgreSQL would leave its shared memory behind.
        self.processes.stop(["postgres"], ask=signal.SIGQUIT)

    @property
    def clouds_file(self) -> Path:
        """clouds.yaml: set OS_CLIENT_CONFIG_FILE to it."""
        return self.state / "clouds.yaml"

    def connect(self, cloud: str = ADMIN) -> Any:
        """The openstacksdk connection of the owner of the VMs or of the administrator."""
        if cloud not in self._connections:  # one for all who ask: each keeps sockets open
            self._connections[cloud] = self._connection(cloud)
        return self._connections[cloud]

    def _connection(self, cloud: str) -> Any:
        import openstack
        from openstack.config import OpenStackConfig

        config = OpenStackConfig(config_files=[str(self.clouds_file)], load_envvars=False)
        return openstack.connection.Connection(config=config.get_one(cloud))

    # What the hypervisors do with the next servers.

    def set_behaviour(
        self,
        hosts: Iterable[str] = COMPUTES,
        *,
        boot_delay_s: tuple[float, float] = (0.0, 0.0),
        refuse: str | None = None,
        guest: bool = True,
        worker: Path | None = None,
    ) -> None:
        """Say how servers that boot from now on fare on the hosts.

        Args:
            hosts: compute nodes.
            boot_delay_s: least and most seconds in status BUILD before the guest starts.
            refuse: the host fails each build with this reason, after the delay.
            guest: without one a server is ACTIVE and never does anything.
            worker: what the guest starts instead of our `dacirco_tc_worker`.
        """
        behaviour = {
            "boot_delay_s": boot_delay_s,
            "refuse": refuse,
            "guest": guest,
            "worker": str(worker or WORKER),
        }
        for host in hosts:
            path = self.scratch / "behaviour" / f"{host}.json"
            new = path.with_suffix(".new")
            new.write_text(json.dumps(behaviour))
            new.replace(path)

    def reset_behaviour(self) -> None:
        """Every host boots at once and without fail."""
        self.set_behaviour()

    # Guests.

    def guests(self) -> dict[str, Guest]:
        """The servers that the hypervisors hold, by the server's id."""
        found = {}
        for path in (self.scratch / "guests").glob("*/record.json"):
            record = json.loads(path.read_text())
            if record["destroyed"]:
                continue
            found[record["uuid"]] = Guest(
                server=record["uuid"],
                name=record["name"],
                host=record["host"],
                pid=record["pid"],
                created=record["created"],
                folder=path.parent,
            )
        return found

    # Compute nodes and APIs.

    def start_compute(self, host: str) -> None:
        """Start a compute node's nova-compute; guests of before are found again."""
        layout = self._layout
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        guest = [*isolated, sys.executable, "-m", "tests.clouds.openstack.guest", self.cgroup]
        conf = ["--config-file", layout.etc / f"nova-{host}" / "nova.conf"]
        self.processes.start(
            f"nova-{host}",
            [layout.binary("python"), SERVICES / "nova_compute.py", *conf],
            environment={
                **homes(layout),
                "DACIRCO_BEHAVIOUR": str(layout.data / "behaviour"),
                "DACIRCO_GUESTS": str(layout.data / "guests"),
                "DACIRCO_GUEST_COMMAND": json.dumps(guest),
            },
            cwd=REPOSITORY,
        )

    def stop_compute(self, host: str, *, guests: bool = True) -> None:
        """A node goes down at once; with `guests`, its VMs go with it (power cut)."""
        self.processes.stop([f"nova-{host}"], grace_s=0)
        if guests:
            for guest in self.guests().values():
                if guest.host == host and guest.alive:
                    guest.kill()

    def await_compute(self, host: str, *, state: str, timeout_s: float = 180) -> None:
        """Wait until Nova believes that the host is `up` or `down`."""
        compute = self.connect(ADMIN).compute

        def believed() -> bool:
            services = compute.services(binary="nova-compute", host=host)
            return any(service.state == state for service in services)

        wait_for(believed, f"{host} {state}", timeout_s=timeout_s)

    @contextmanager
    def api_down(self, name: str = "nova", *, hang: bool = False) -> Iterator[None]:
        """An API (nova, neutron, keystone, glance, placement) is away inside the block.

        Args:
            name: whose API.
            hang: it takes connections and never answers, instead of refusing them.
        """
        if hang:
            self.processes.pause(name)
        else:
            self.processes.stop([name], grace_s=0)
        try:
            yield
        finally:
            if hang:
                self.processes.resume(name)
            else:
                start_api(self.processes, self._layout, name)
            self.await_ready(name, lambda: answers(self._layout.url(name)))

    # Project.

    @contextmanager
    def quota(self, **limits: int) -> Iterator[None]:
        """Limits of the owner's project inside the block: cores, ram (MiB), instances."""
        admin = self.connect(ADMIN)
        project = admin.identity.find_project(PROJECT, ignore_missing=False).id
        admin.compute.update_quota_set(project, **limits)
        try:
            yield
        finally:
            admin.compute.revert_quota_set(project)

    def servers(self) -> list[Any]:
        """Every server of every project as the administrator sees it, with its host."""
        return list(self.connect(ADMIN).compute.servers(details=True, all_projects=True))

    def leaks(self) -> list[str]:
        """Servers, ports, server groups and guests that exist; empty in a clean project."""
        admin = self.connect(ADMIN)
        found = [f"server {server.name} ({server.status})" for server in self.servers()]
        found += [f"port of {port.device_id}" for port in admin.network.ports()]
        groups = admin.compute.server_groups(all_projects=True)
        found += [f"server group {group.name}" for group in groups]
        return found + [f"guest {guest.name}" for guest in self.guests().values()]

    def clean(self) -> None:
        """Delete every server and server group, whoever made them; hosts are well again."""
        self.reset_behaviour()
        admin = self.connect(ADMIN)
        for host in COMPUTES:
            if not self.processes.alive(f"nova-{host}"):
                self.start_compute(host)
                self.await_compute(host, state="up")
        servers = self.servers()
        for server in servers:
            admin.compute.delete_server(server, ignore_missing=True)
        for server in servers:
            admin.compute.wait_for_delete(server, interval=0.5, wait=180)
        for group in admin.compute.server_groups(all_projects=True):
            admin.compute.delete_server_group(group, ignore_missing=True)

    @property
    def _layout(self) -> Layout:
        """The layout of the run, also in another process than the one that started it."""
        clouds: Mapping[str, Any] = json.loads(self.clouds_file.read_text())["clouds"]
        return Layout(
            venv=self.cache / "venv",
            data=self.scratch,
            logs=self.processes.logs,
            ports=json.loads((self.state / "ports.json").read_text()),
            password=clouds[ADMIN]["auth"]["password"],
        )
