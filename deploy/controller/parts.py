"""The controller's parts, made as the settings say."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import grpc.aio

from deploy.clock import Clock
from deploy.controller.settings import SIGNS_WITHIN_TIMEOUT, Settings
from deploy.eventlog.config_file import write_config
from deploy.eventlog.writer import MIB, EventLog
from deploy.listening import join_host_port
from deploy.managers.environment import WorkerLink
from deploy.storage.base import ObjectStorage
from deploy.storage.factory import make_storage, s3_url
from deploy.store.store import PREFERENCE, Store
from env.config import ClusterConfig
from env.cost import check_preference
from env.errors import DaCircoError

PROFILES: Final = {
    "vm": "openstack",
    "pod": "kubernetes",
    "process": "local",
    "simulated": "openstack",
}
CATALOGS: Final = {"vm": "bbb", "pod": "bbb", "process": "local", "simulated": "bbb"}
_MOST_WORKERS: Final = 1_000_000
"""What a `ClusterConfig` can say; as good as no limit."""
OLD_LIMIT: Final = 2
"""Most workers of VMs and pods by default, as in the existing system."""
DEFAULT_PREFERENCE: Final = 0.5
USUAL_KEEPALIVE_S: Final = 15
"""The contract's period of a worker's signs of life, seconds."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the gRPC server listens; none where it was not told to.

    Attributes:
        main: for all, over TLS if there is a certificate.
        plaintext: for those who know no TLS.
        front_ends: for front ends with a certificate of their own.
    """

    main: int
    plaintext: int | None = None
    front_ends: int | None = None


_LOGGER = logging.getLogger(__name__)


def open_storage(settings: Settings) -> ObjectStorage | None:
    """Where the videos are, be it there or not; none for simulated workers that need none.

    Raises:
        DaCircoError: it is not told, or what is told is no storage.
    """
    minio = settings.minio
    if settings.storage is not None:
        storage = make_storage(settings.storage, **_keys(settings))
    elif settings.runner_type == "simulated":
        return None
    elif minio.server is not None:
        url = s3_url(minio.server, minio.port, minio.bucket)
        storage = make_storage(url, access_key=minio.access_key, secret_key=minio.secret_key)
    elif settings.runner_type == "process":
        storage = make_storage("storage")
    else:
        raise DaCircoError(f"runner type {settings.runner_type} needs --minio-server HOST")
    return storage


def _keys(settings: Settings) -> dict[str, str]:
    if settings.storage is None or not settings.storage.startswith("s3"):
        return {}
    return {"access_key": settings.minio.access_key, "secret_key": settings.minio.secret_key}


def open_event_log(settings: Settings, clock: Clock) -> EventLog:
    """The event log of this life, with the settings beside it.

    Raises:
        DaCircoError: it cannot be written.
    """
    log = EventLog(
        Path(),
        path=settings.event_log_file,
        clock=clock.time,
        max_bytes=settings.event_log_max_mib * MIB,
    )
    parameters: dict[str, object] = {}
    for name in settings.__slots__:
        value = getattr(settings, name)
        if hasattr(value, "__slots__") and not isinstance(value, Path):
            parameters |= {f"{name}.{key}": getattr(value, key) for key in value.__slots__}
        else:
            parameters[name] = value
    try:
        write_config(log.path, parameters)
    except BaseException:
        log.close()
        raise
    return log


def listen_for_grpc(
    server: grpc.aio.Server,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None = None,
) -> int:
    """Let the server listen, over TLS if it is given credentials, and return its port.

    Raises:
        DaCircoError: it cannot.
    """
    address = join_host_port(host, port)
    try:
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise DaCircoError(
            f"cannot listen on {address} for gRPC: the port is taken or the address is not this "
            "machine's; give another --port or --bind"
        ) from None


def worker_link(
    settings: Settings, address: str, ports: Ports, tls: tuple[str, str] = ("", "")
) -> WorkerLink:
    """How workers reach the controller and the object storage.

    Args:
        settings: of the controller.
        address: that they call.
        ports: where gRPC listens. One for plaintext is told to all, as workers that know no TLS
            know no other; ours are told of the encrypted one beside it.
        tls: the CA and the name to look for; empty: no TLS.
    """
    minio = settings.minio
    with_keys = minio.server is not None or (settings.storage or "").startswith("s3")
    storage = settings.storage or ""
    if not storage and minio.server is None and settings.runner_type == "process":
        storage = "storage"
    if storage and "://" not in storage:
        storage = Path(storage).absolute().as_uri().replace("file://", "dir://", 1)
    return WorkerLink(
        keepalive_interval_s=keepalive_interval_s(settings.patience.keepalive_s),
        grpc_server=address,
        grpc_port=settings.worker_port or ports.plaintext or ports.main,
        tls_port=(settings.worker_port or ports.main) if ports.plaintext else 0,
        tls_ca=tls[0],
        tls_server_name=tls[1],
        minio_server=minio.server or "",
        minio_port=minio.port,
        minio_access_key=(minio.worker_access_key or minio.access_key) if with_keys else "",
        minio_secret_key=(minio.worker_secret_key or minio.secret_key) if with_keys else "",
        storage=storage,
    )


def keepalive_interval_s(timeout_s: float) -> int:
    """How often workers are told to give a sign of life, for one that is lost after a timeout.

    Whole seconds, as all workers read them; two signs in a row may be lost.
    """
    return max(1, min(USUAL_KEEPALIVE_S, int(timeout_s / SIGNS_WITHIN_TIMEOUT)))


def with_limits(cluster: ClusterConfig, settings: Settings) -> ClusterConfig:
    """The data centre with the settings' limit of workers, if that is tighter."""
    limit = settings.max_workers
    if limit is None and settings.runner_type in ("vm", "pod"):
        limit = OLD_LIMIT
    if limit is None:
        return cluster
    limit = min(limit, _MOST_WORKERS)
    known = cluster.max_workers
    return replace(cluster, max_workers=limit if known is None else min(limit, known))


async def first_preference(settings: Settings, store: Store) -> float:
    """The dial at the start: as the settings say, else as it was last.

    Raises:
        DaCircoError: the settings' is not a preference.
    """
    if settings.preference is not None:
        return check_preference(settings.preference)
    text = await asyncio.to_thread(store.setting, PREFERENCE)
    try:
        return DEFAULT_PREFERENCE if text is None else check_preference(float(text))
    except (ValueError, DaCircoError):
        _LOGGER.warning(
            "the store's preference %.40r is none: going on with %g", text, DEFAULT_PREFERENCE
        )
        return DEFAULT_PREFERENCE


def catalog_name(settings: Settings) -> str:
    """The catalog of the settings or of their runner type."""
    return settings.catalog or CATALOGS[settings.runner_type]
