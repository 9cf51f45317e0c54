"""The controller's settings, as the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from deploy.grpc_api.dialect import DEFAULT_DIALECT, DialectName
from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from env.config import PlacementName

RunnerType = Literal["vm", "pod", "process", "simulated"]
Mode = Literal["active", "shadow"]
PodSecurity = Literal["restricted", "baseline", "image"]

DEFAULT_SCHEDULER: Final = "minimize-workers"
DEFAULT_PORT: Final = 50051
DEFAULT_HTTP_PORT: Final = 9464
"""Where Prometheus exporters of applications usually listen."""
DEFAULT_EVENT_LOG_MIB: Final = 64
"""At most so large grows one file of the event log."""
SIGNS_WITHIN_TIMEOUT: Final = 3
"""So many signs of life does a worker give within the time after which it is lost without one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, seconds.

    Attributes:
        call_interval_s: period of the scheduler's tick.
        boot_s: from the order to spawn until the worker registers.
        keepalive_s: a worker that gives no sign of life for longer is lost.
        task_s: from assigning a job to its end on one worker.
        retry_s: before a job that failed is handed out again; doubles each time.
        longest_retry_s: the longest that pause becomes.
        storage_look_s: between two looks at the object storage.
    """

    call_interval_s: float = 1.0
    boot_s: float = 300.0
    keepalive_s: float = 60.0
    task_s: float = 3600.0
    retry_s: float = 1.0
    longest_retry_s: float = 60.0
    storage_look_s: float = 15.0


@dataclass(frozen=True, slots=True)
class OpenStackSettings:
    """How VMs are made (names of what exists in the cloud)."""

    image: str = "dacirco"
    flavor: str = "m1.small"
    key: str = "mykey"
    security_group: str = "ssh"
    network: str = "external"
    placement: PlacementName = "least-loaded"
    cloud: str = "openstack"
    admin_cloud: str = "openstack_admin"
    service_user: str = "ubuntu"
    worker_log_file: str = "/home/ubuntu/dacirco_tc_worker.log"


@dataclass(frozen=True, slots=True)
class PodSettings:
    """How pods are made."""

    image: str | None = None
    size: PodType = field(default_factory=lambda: PodType("", "2", "1.4Gi", "2", "1.4Gi"))
    node_selector: str | None = None
    concentrate: bool = False
    spread: bool = False
    namespace: str = "dacirco"
    security: PodSecurity = "baseline"


@dataclass(frozen=True, slots=True)
class MinioSettings:
    """The object storage of VMs and pods.

    Attributes:
        server, port, bucket: where it is.
        access_key, secret_key: the controller's user.
        worker_access_key, worker_secret_key: the workers' user; none: the controller's.
    """

    server: str | None = None
    port: int = 9000
    access_key: str = "minio"
    secret_key: str = field(default="pass4minio", repr=False)
    bucket: str = "videos"
    worker_access_key: str | None = None
    worker_secret_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may call over gRPC, and over which wire.

    Attributes:
        front_end_token_file: holds what front ends on other machines show.
        trusted_front_ends: networks whose front ends show nothing.
        local_needs_token: front ends of this machine need it, too.
        front_end_port: for front ends that show a certificate.
        front_end_ca: has signed it.
        tls_cert: the controller's certificate.
        tls_key: its private key.
        tls_ca: what workers check it with.
        tls_server_name: what they find in it; none: the address that they call.
        plaintext_port: beside the encrypted one, for workers and front ends that know no TLS.
    """

    front_end_token_file: Path | None = None
    trusted_front_ends: tuple[str, ...] = ()
    local_needs_token: bool = False
    front_end_port: int | None = None
    front_end_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    tls_server_name: str | None = None
    plaintext_port: int | None = None


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Whether clients may have webhooks, and where these may go.

    Attributes:
        secret_file: holds what they are signed with; none: there are no webhooks.
        allow: hosts and networks beside the public internet.
        first_pause_s: after the first try that failed; doubles each time.
    """

    secret_file: Path | None = None
    allow: tuple[str, ...] = ()
    first_pause_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them. See ``dacirco_controller --help``."""

    runner_type: RunnerType = "vm"
    bind: str | None = None
    port: int = DEFAULT_PORT
    http_host: str = "127.0.0.1"
    http_port: int = DEFAULT_HTTP_PORT
    allowed_hosts: tuple[str, ...] = ()
    ip_address: str | None = None
    scheduler: str = DEFAULT_SCHEDULER
    fallback: str = "grace-period"
    mode: Mode = "active"
    preference: float | None = None
    max_idle_time_s: float = 60.0
    max_workers: int | None = None
    max_attempts: int = 3
    quarantine_after: int = 3
    max_queue: int = 10_000
    flavors: tuple[str, ...] = ()
    profile: str | None = None
    catalog: str | None = None
    store: str = "sqlite:///dacirco.db"
    storage: str | None = None
    workers_folder: Path = Path("workers")
    event_log_file: Path | None = None
    event_log_max_mib: int = DEFAULT_EVENT_LOG_MIB
    speed_up: float = 1.0
    seed: int = 0
    cores: int | None = None
    boot_delay_s: float = 0.0
    stop_workers: bool = False
    patience: Patience = field(default_factory=Patience)
    openstack: OpenStackSettings = field(default_factory=OpenStackSettings)
    pod: PodSettings = field(default_factory=PodSettings)
    minio: MinioSettings = field(default_factory=MinioSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    # What the existing system's version of 2024 has besides.
    dialect: DialectName = DEFAULT_DIALECT
    tag: str = ""
    worker_port: int | None = None
    worker_placement: PlacementName | None = None
    vm_types: Mapping[str, VmType] = field(default_factory=dict)
    pod_types: Mapping[str, PodType] = field(default_factory=dict)

    @property
    def worker_image(self) -> str | None:
        """What nodes must hold before a worker boots quickly; none if they forget it each life."""
        images = {
            "vm": _named({kind.image for kind in self.vm_types.values()} or {self.openstack.image}),
            "pod": _named({kind.image for kind in self.pod_types.values()} - {""})
            or self.pod.image
            or "default",
        }
        if self.runner_type == "simulated":
            return None
        return f"{self.runner_type} {images.get(self.runner_type, '')}".strip()


def _named(names: set[str]) -> str:
    return ",".join(sorted(names))
