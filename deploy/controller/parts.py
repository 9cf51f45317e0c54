"""The controller's parts, made as the settings say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import grpc.aio

from deploy.clock import Clock
from deploy.controller.settings import Settings
from deploy.eventlog.config_file import write_config
from deploy.eventlog.writer import EventLog
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


async def open_storage(settings: Settings) -> ObjectStorage | None:
    """Where the input videos are, checked; none for simulated workers that need none.

    Raises:
        DaCircoError: it is not told, or cannot be used.
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
    await asyncio.to_thread(storage.check)
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
    log = EventLog(Path(), path=settings.event_log_file, clock=clock.time)
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


def listen_for_grpc(server: grpc.aio.Server, host: str, port: int) -> int:
    """Let the server listen, and return its port.

    Raises:
        DaCircoError: it cannot.
    """
    address = join_host_port(host, port)
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise DaCircoError(
            f"cannot listen on {address} for gRPC: the port is taken or the address is not this "
            "machine's; give another --port or --bind"
        ) from None


def worker_link(settings: Settings, address: str, grpc_port: int) -> WorkerLink:
    """How workers reach the controller at an address and port, and the object storage."""
    minio = settings.minio
    with_keys = minio.server is not None or (settings.storage or "").startswith("s3")
    storage = settings.storage or ""
    if not storage and minio.server is None and settings.runner_type == "process":
        storage = "storage"
    if storage and "://" not in storage:
        storage = Path(storage).absolute().as_uri().replace("file://", "dir://", 1)
    return WorkerLink(
        grpc_server=address,
        grpc_port=settings.worker_port or grpc_port,
        minio_server=minio.server or "",
        minio_port=minio.port,
        minio_access_key=minio.access_key if with_keys else "",
        minio_secret_key=minio.secret_key if with_keys else "",
        storage=storage,
    )


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
        DaCircoError: it is not a preference.
    """
    if settings.preference is not None:
        return check_preference(settings.preference)
    text = await asyncio.to_thread(store.setting, PREFERENCE)
    return DEFAULT_PREFERENCE if text is None else check_preference(float(text))


def catalog_name(settings: Settings) -> str:
    """The catalog of the settings or of their runner type."""
    return settings.catalog or CATALOGS[settings.runner_type]
