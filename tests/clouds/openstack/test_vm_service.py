"""The whole service on VMs of a real OpenStack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.clouds.openstack.cloud import Guest, OpenStackCloud
from tests.clouds.openstack.layout import COMPUTES
from tests.clouds.service_scenes import ServiceScenes, Site


class VmSite(Site):
    """See `Site`."""

    runner = "vm"
    spread = ("--os-placement", "spread")
    nodes = COMPUTES

    def __init__(self, cloud: OpenStackCloud, folder: Path) -> None:
        super().__init__(folder)
        self.cloud = cloud

    def credentials(self) -> Mapping[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self.cloud.clouds_file)}

    def workers(self) -> dict[str, str | None]:
        return {server.name: server.hypervisor_hostname for server in self.cloud.servers()}

    def deaths(self) -> tuple[Callable[[str], None], Callable[[str], None]]:
        return lambda name: self._guest(name).kill(), lambda name: self._guest(name).kill_worker()

    def _guest(self, name: str) -> Guest:
        (guest,) = (guest for guest in self.cloud.guests().values() if guest.name == name)
        return guest

    def slow_boots(self, least_s: float, most_s: float) -> None:
        self.cloud.set_behaviour(boot_delay_s=(least_s, most_s))

    def silent_boots(self) -> None:
        self.cloud.set_behaviour(guest=False)

    def good_boots(self) -> None:
        self.cloud.reset_behaviour()

    @contextmanager
    def node_down(self, node: str) -> Iterator[None]:
        self.cloud.stop_compute(node)
        try:
            yield
        finally:
            self.cloud.start_compute(node)
            self.cloud.await_compute(node, state="up")

    def api_down(self) -> AbstractContextManager[None]:
        return self.cloud.api_down("nova")


class TestVmService(ServiceScenes):
    @pytest.fixture
    def bare_site(self, openstack_cloud: OpenStackCloud, tmp_path: Path) -> Site:
        return VmSite(openstack_cloud, tmp_path)
