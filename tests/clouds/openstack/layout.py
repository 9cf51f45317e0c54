"""Where one run of OpenStack has its folders, ports and passwords."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMPUTES = ("compute1", "compute2", "compute3")
SERVICES = Path(__file__).resolve().parent / "services"
PORT_NAMES = (
    "keystone",
    "placement",
    "glance",
    "neutron",
    "nova",
    "postgres",
    "amqp",
    "erlang",
    "epmd",
)


@dataclass(frozen=True)
class Layout:
    """The addresses and folders that services, configurations and seeds share.

    Attributes:
        venv: the virtual environment with the OpenStack services.
        data: a folder that every user can enter.
        logs: for the services' logs.
        ports: of 127.0.0.1, by the names in `PORT_NAMES`.
        password: of every user of this cloud and its database.
    """

    venv: Path
    data: Path
    logs: Path
    ports: Mapping[str, int]
    password: str

    @property
    def etc(self) -> Path:
        """The folder of the configurations."""
        return self.data / "etc"

    @property
    def auth_url(self) -> str:
        """Keystone's address."""
        return f"{self.url('keystone')}/v3"

    @property
    def message_queue(self) -> str:
        """RabbitMQ's address with its user."""
        return f"rabbit://guest:guest@127.0.0.1:{self.ports['amqp']}/"

    def url(self, service: str) -> str:
        """A service's address."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def database(self, name: str) -> str:
        """A database's address with its user."""
        return f"postgresql+psycopg2://os:{self.password}@127.0.0.1:{self.ports['postgres']}/{name}"

    def binary(self, name: str) -> Path:
        """A command of the virtual environment."""
        return self.venv / "bin" / name


def write_ini(path: Path, sections: Mapping[str, Mapping[str, object]]) -> None:
    """Write a configuration as oslo.config reads it."""
    parser = configparser.RawConfigParser(default_section="", delimiters=("=",))
    parser.read_dict(
        {name: {k: str(v) for k, v in values.items()} for name, values in sections.items()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        parser.write(file)


def write_clouds(path: Path, layout: Layout) -> None:
    """clouds.yaml with the project that owns the VMs and the one that sees the hosts."""
    path.touch(mode=0o600)
    clouds = {
        name: {
            "auth": {
                "auth_url": layout.auth_url,
                "username": user,
                "password": layout.password,
                "project_name": user,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": "RegionOne",
            "identity_api_version": 3,
        }
        for name, user in (("openstack", "demo"), ("openstack_admin", "admin"))
    }
    path.write_text(json.dumps({"clouds": clouds}, indent=1))  # JSON is YAML
