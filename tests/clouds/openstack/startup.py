"""Starting PostgreSQL, RabbitMQ and the OpenStack services in the order that they need."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

from tests.clouds.openstack.layout import SERVICES, Layout
from tests.clouds.openstack.seed import seed_identity
from tests.clouds.processes import Processes
from tests.clouds.waiting import answers, listens

_DATABASES = ("keystone", "placement", "glance", "neutron")
_DATABASES += ("nova_api", "nova_cell0", "nova_cell1")
_READY_S = 240.0

AwaitReady = Callable[[str, Callable[[], object]], None]


class Startup:
    """One start of the control plane, without its compute nodes.

    Args:
        processes: where to start them.
        layout: their folders and ports.
        await_ready: waits until a named process serves.
        administrator: connects as the administrator, once Keystone serves.
    """

    def __init__(
        self,
        processes: Processes,
        layout: Layout,
        await_ready: AwaitReady,
        administrator: Callable[[], Any],
    ) -> None:
        self._processes = processes
        self._layout = layout
        self._await_ready = await_ready
        self._administrator = administrator
        self._queue_ready, self._users_ready = Event(), Event()

    def run(self) -> None:
        """Start everything; as much at once as possible, since importing them takes seconds."""
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(self._rabbitmq)]
            self._postgresql()
            steps = (self._nova, self._keystone, self._neutron, self._placement, self._glance)
            jobs += [pool.submit(step) for step in steps]
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            if any(job.exception() for job in done):
                self._queue_ready.set()  # a step that waits for a failed one fails at once
                self._users_ready.set()
            for job in jobs:
                job.result()
        for name in ("placement", "glance", "neutron", "nova"):
            self._await_ready(name, lambda name=name: answers(self._layout.url(name)))

    def _postgresql(self) -> None:
        folder, port = self._layout.data / "postgres", self._layout.ports["postgres"]
        binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        folder.mkdir()
        shutil.chown(folder, "postgres", "postgres")
        initial = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        ]
        self._processes.run([binaries / "initdb", "-D", folder / "data", *initial], user="postgres")
        # Nothing here must survive a power cut.
        settings = ["listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off"]
        settings += ["full_page_writes=off", "max_connections=300", "shared_buffers=128MB"]
        self._processes.start(
            "postgres",
            [
                *(binaries / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            user="postgres",
        )

        def sql(*statements: str) -> str:
            words = [word for statement in statements for word in ("-c", statement)]
            server = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
            return self._processes.run([binaries / "psql", *server, *words])

        self._await_ready("postgres", lambda: sql("SELECT 1"))
        sql(
            f"CREATE ROLE os LOGIN SUPERUSER PASSWORD '{self._layout.password}'",
            *(f"CREATE DATABASE {name} OWNER os" for name in _DATABASES),
        )

    def _rabbitmq(self) -> None:
        folder, ports = self._layout.data / "rabbitmq", self._layout.ports
        folder.mkdir()
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{ports['amqp']}\n"
            "loopback_users = none\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            "log.file = false\n"
            "vm_memory_high_watermark.absolute = 1GB\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "environment.conf").touch()
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "rabbitmq", "rabbitmq")
        environment = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "dacirco@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(ports["erlang"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        options = {"user": "rabbitmq", "environment": environment}
        mapper = shutil.which("epmd") or min(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
        arguments = ["-port", str(ports["epmd"]), "-address", "127.0.0.1"]
        self._processes.start("epmd", [mapper, *arguments], **options)
        self._await_ready("epmd", lambda: listens(ports["epmd"]))
        server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        self._processes.start("rabbitmq", [server], **options)
        self._await_ready("rabbitmq", lambda: listens(ports["amqp"]))
        self._queue_ready.set()

    def _keystone(self) -> None:
        # What `keystone-manage fernet_setup` leaves: key 0 is staged, key 1 signs.
        for name in ("fernet", "credential-keys"):
            folder = self._layout.data / name
            folder.mkdir(mode=0o700)
            for key in "01":
                (folder / key).touch(mode=0o600)
                (folder / key).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        place = ["--config-dir", self._layout.etc / "keystone"]
        urls = [
            word
            for kind in ("public", "internal", "admin")
            for word in (f"--bootstrap-{kind}-url", self._layout.auth_url)
        ]
        self._python(
            *(SERVICES / "in_turn.py", "keystone.cmd.manage:main", *place, "db_sync", "--"),
            *(*place, "bootstrap", "--bootstrap-region-id", "RegionOne", *urls),
            environment={"OS_BOOTSTRAP_PASSWORD": self._layout.password},
        )
        start_api(self._processes, self._layout, "keystone")
        self._await_ready("keystone", lambda: answers(self._layout.auth_url))
        seed_identity(self._administrator(), self._layout)
        self._users_ready.set()

    def _nova(self) -> None:
        place = ["--config-file", self._layout.etc / "nova-manage/nova.conf"]
        cell0 = ["--database_connection", self._layout.database("nova_cell0")]
        cell1 = ["--transport-url", self._layout.message_queue]
        cell1 += ["--database_connection", self._layout.database("nova_cell1")]
        self._python(
            *(SERVICES / "in_turn.py", "nova.cmd.manage:main", *place, "api_db", "sync", "--"),
            *(*place, "cell_v2", "map_cell0", *cell0, "--", *place, "db", "sync", "--"),
            *(*place, "cell_v2", "create_cell", "--name", "cell1", *cell1),
            environment={"OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"},
        )
        # Both take a token when they start, and end when the service user is not there yet.
        self._need(self._queue_ready, "RabbitMQ")
        self._need(self._users_ready, "Keystone's users")
        for name in ("nova-conductor", "nova-scheduler"):
            conf = ["--config-file", self._layout.etc / name / "nova.conf"]
            self._processes.start(
                name, [self._layout.binary(name), *conf], environment=homes(self._layout)
            )
        start_api(self._processes, self._layout, "nova")

    def _neutron(self) -> None:
        conf = self._layout.etc / "neutron/neutron.conf"
        self._python(SERVICES / "neutron_schema.py", self._layout.database("neutron"), conf)
        self._need(self._queue_ready, "RabbitMQ")
        start_api(self._processes, self._layout, "neutron")

    def _placement(self) -> None:
        conf = ["--config-file", self._layout.etc / "placement/placement.conf"]
        self._python(self._layout.binary("placement-manage"), *conf, "db", "sync")
        start_api(self._processes, self._layout, "placement")

    def _glance(self) -> None:
        conf = ["--config-file", self._layout.etc / "glance/glance-api.conf"]
        self._python(self._layout.binary("glance-manage"), *conf, "db_sync")
        start_api(self._processes, self._layout, "glance")

    def _python(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self._processes.run(
            [self._layout.binary("python"), *arguments],
            environment={**homes(self._layout), **(environment or {})},
        )

    @staticmethod
    def _need(event: Event, what: str) -> None:
        if not event.wait(_READY_S):
            raise TimeoutError(f"waited {_READY_S:g} s for {what}")


_APIS = {  # module and threads
    "keystone": ("keystone.wsgi.api", 8),
    "placement": ("placement.wsgi.api", 8),
    "glance": ("glance.wsgi.api", 8),
    "neutron": ("neutron.wsgi.api", 8),
    "nova": ("nova.wsgi.osapi_compute", 12),
}


def start_api(processes: Processes, layout: Layout, name: str) -> None:
    """Start one service's API; it serves some seconds later."""
    module, threads = _APIS[name]
    prefix = f"OS_{name.upper()}_CONFIG"
    environment = {f"{prefix}_DIR": str(layout.etc / name)}
    if name == "neutron":
        environment[f"{prefix}_FILES"] = "neutron.conf"
    if name == "nova":
        environment[f"{prefix}_DIR"] = str(layout.etc / "nova-api")
        environment[f"{prefix}_FILES"] = "api-paste.ini;nova.conf"
    serve = [SERVICES / "serve.py", module, str(layout.ports[name]), str(threads)]
    processes.start(
        name,
        [layout.binary("python"), *serve],
        environment={**homes(layout), **environment},
    )


def homes(layout: Layout) -> dict[str, str]:
    """Keeps what libraries cache and what they write for a moment in the run's own folder."""
    return {
        "HOME": str(layout.data / "home"),
        "XDG_CACHE_HOME": str(layout.data / "home"),
        "TMPDIR": str(layout.data / "tmp"),
        "OSLO_LOCK_PATH": str(layout.data / "tmp"),
    }
