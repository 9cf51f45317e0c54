"""One life of the controller: what it is made of, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grpc.aio

from agents.decision import Decision
from agents.guard import Switch
from agents.loading import LivePolicy, live_policy
from agents.shield import Shielded
from deploy.clock import Clock
from deploy.controller.address import workers_address
from deploy.controller.conductor import Conductor
from deploy.controller.estimates import Estimates
from deploy.controller.flavors import fitted_spec
from deploy.controller.http import READY, HttpServer, bind, make_app
from deploy.controller.journal import Keys
from deploy.controller.reconcile import reconcile, restore
from deploy.controller.service import Service
from deploy.controller.settings import Settings
from deploy.controller.shadowing import Shadowing
from deploy.eventlog.config_file import write_config
from deploy.eventlog.world import world_keys
from deploy.eventlog.writer import EventLog
from deploy.grpc_api.servicer import add_service, make_server
from deploy.listening import join_host_port
from deploy.managers.base import ManagerEvent, WorkerManager
from deploy.managers.environment import WorkerLink
from deploy.managers.factory import make_manager
from deploy.managers.machine import with_boot_delay
from deploy.metrics import Metrics
from deploy.scheduler import Scheduler
from deploy.storage.base import ObjectStorage
from deploy.storage.factory import make_storage, s3_url
from deploy.store.records import MetaChange
from deploy.store.store import PREFERENCE, Store
from deploy.store.writer import Writer
from env.actions import Action
from env.catalog import Catalog, load_catalog
from env.cluster import Cluster
from env.config import ClusterConfig, Profile, load_profile
from env.cost import check_preference
from env.errors import DaCircoError
from env.event_log import EventCode

PROFILES: Final = {
    "vm": "openstack",
    "pod": "kubernetes",
    "process": "local",
    "simulated": "openstack",
}
CATALOGS: Final = {"vm": "bbb", "pod": "bbb", "process": "local", "simulated": "bbb"}
OLD_LIMIT: Final = 2
"""Most workers of VMs and pods by default, as in the existing system."""
DEFAULT_PREFERENCE: Final = 0.5
_END_PATIENCE_S: Final = 10.0
_STOP_PATIENCE_S: Final = 60.0

_LOGGER = logging.getLogger(__name__)


MakeManager = Callable[[Settings, WorkerLink, str, Profile, Catalog, Clock], WorkerManager]
"""See `deploy.managers.factory.make_manager`."""


class TimedPolicy:
    """The policy stack, with a stop-watch on its decisions.

    Args:
        policy: guarded and shielded.
        metrics: counts the time.
    """

    def __init__(self, policy: Shielded, metrics: Metrics) -> None:
        self._policy, self._metrics = policy, metrics
        self.name, self.discipline = policy.spec, policy.discipline

    def reset(self, cluster: Cluster) -> None:
        """See `Policy.reset`."""
        self._policy.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """See `Policy.act`."""
        return self.decide(cluster).action

    def decide(self, cluster: Cluster) -> Decision:
        """See `Explained.decide`."""
        begin = time.perf_counter()
        try:
            return self._policy.decide(cluster)
        finally:
            self._metrics.decided_in(time.perf_counter() - begin)

    def wake_at(self, cluster: Cluster) -> float | None:
        """See `Policy.wake_at`."""
        return self._policy.wake_at(cluster)


class Reports:
    """What the cloud tells before there is anyone to hear it is kept."""

    def __init__(self) -> None:
        self._early: list[ManagerEvent] = []
        self._to: Callable[[ManagerEvent], None] | None = None

    def __call__(self, event: ManagerEvent) -> None:
        """Take a report."""
        (self._early.append if self._to is None else self._to)(event)

    def go_to(self, listener: Callable[[ManagerEvent], None]) -> None:
        """Hand on what was kept, and all that comes."""
        self._to = listener
        for event in self._early:
            listener(event)
        self._early.clear()


class Controller:
    """A controller that runs; made by `running_controller`.

    Attributes:
        grpc_port, http_port: where it listens.
        conductor, service, manager: its parts.
        warnings: what its operator must know, one line each.
    """

    def __init__(
        self,
        conductor: Conductor,
        service: Service,
        manager: WorkerManager,
        grpc_port: int,
        http_port: int,
        warnings: tuple[str, ...],
    ) -> None:
        self.conductor, self.service, self.manager = conductor, service, manager
        self.grpc_port, self.http_port = grpc_port, http_port
        self.warnings = warnings
        self.ready = asyncio.Event()

    async def stop_workers(self) -> None:
        """End all workers; their jobs wait for the next life."""
        self.conductor.give_up_all("the controller ends")
        await self.conductor.flush()
        await self.conductor.workforce.wait_for_stops(_STOP_PATIENCE_S)


@asynccontextmanager
async def running_controller(
    settings: Settings, make_manager: MakeManager = make_manager
) -> AsyncIterator[Controller]:
    """Start a controller, and end it on leaving; workers live on.

    Args:
        settings: all settings.
        make_manager: makes the worker manager.

    Raises:
        DaCircoError: something that it needs is missing or wrong; the message names it.
    """
    async with AsyncExitStack() as stack:
        profile = load_profile(settings.profile or PROFILES[settings.runner_type])
        catalog = load_catalog(_catalog_name(settings))
        storage = await _storage(settings)
        clock = Clock(settings.speed_up)
        host = settings.bind or (
            "0.0.0.0" if settings.runner_type in ("vm", "pod") else "127.0.0.1"
        )

        store = await asyncio.to_thread(Store, settings.store)
        stack.callback(store.close)
        log = _event_log(settings, clock)
        stack.callback(log.close)

        http_socket = bind(settings.http_host, settings.http_port)
        stack.callback(http_socket.close)
        server = make_server()
        grpc_port = _listen(server, host, settings.port)
        link = _link(settings, workers_address(settings.ip_address, host), grpc_port)
        manager = make_manager(settings, link, store.controller_id, profile, catalog, clock)
        reports = Reports()
        cluster = await manager.start(reports)
        stack.push_async_callback(manager.close)
        profile = replace(profile, cluster=_limited(cluster, settings))
        profile = with_boot_delay(profile, settings.boot_delay_s)

        metrics = Metrics()
        switches: list[Switch] = []
        wanted, fallback = (
            fitted_spec(_spec(spec, settings), profile.cluster.flavors)
            for spec in (settings.scheduler, settings.fallback)
        )
        in_shadow = Shadowing(wanted, fallback) if settings.mode == "shadow" else None
        policy, warnings = live_policy(
            wanted if in_shadow is None else fallback, fallback, on_switch=switches.append
        )
        estimates = Estimates(profile, catalog)
        preference = await _preference(settings, store)
        scheduler = Scheduler(
            profile,
            TimedPolicy(policy, metrics),
            preference=preference,
            max_attempts=settings.max_attempts,
            boot_s=estimates.boot_s,
            observers=() if in_shadow is None else (in_shadow.shadow,),
        )
        if policy.guard.unusable:
            warnings = (*warnings, policy.guard.unusable)
        metrics.watch(scheduler.cluster)
        writer = Writer(store)
        stack.push_async_callback(writer.close)
        conductor = Conductor(scheduler, writer, log, metrics, manager, clock, settings.patience)
        conductor.note(changes=[MetaChange(PREFERENCE, repr(preference))])
        stack.push_async_callback(conductor.workforce.close)
        conductor.follow_switches(switches)
        if in_shadow is not None:
            in_shadow.report_to(conductor)
            warnings = (*warnings, *in_shadow.warnings)
        service = Service(
            conductor,
            store,
            writer,
            estimates,
            storage=storage,
            known_videos=frozenset(catalog) if settings.runner_type == "simulated" else None,
            max_queue=settings.max_queue,
        )
        restored = await restore(conductor, store, estimates)
        world = world_keys(profile, _catalog_name(settings), estimates.boot_s, policy.discipline)
        _log_start(
            conductor, settings, store, policy, preference, restored.jobs, restored.workers, world
        )
        conductor.note(*restored.lines)
        reports.go_to(conductor.of_manager)

        controller = Controller(
            conductor, service, manager, grpc_port, http_socket.getsockname()[1], warnings
        )
        app = make_app(
            service,
            metrics,
            health=lambda: "the store does not answer" if writer.failing else "",
            state=lambda: READY if controller.ready.is_set() else "waiting for the cloud",
        )
        await stack.enter_async_context(_in_background("outbox", conductor.send_out()))
        stack.push_async_callback(_flush, conductor)
        add_service(server, service)
        await server.start()
        stack.push_async_callback(_end_server, server, conductor)
        await stack.enter_async_context(_serving(HttpServer(app), http_socket))

        async def resume_and_keep_time() -> None:
            await reconcile(conductor, manager)
            controller.ready.set()
            await conductor.keep_time()

        await stack.enter_async_context(_in_background("time", resume_and_keep_time()))
        if in_shadow is not None:
            estimates_of_cost = in_shadow.keep_estimating(log.path, policy.spec)
            await stack.enter_async_context(_in_background("shadow", estimates_of_cost))
        yield controller


async def run_controller(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run a controller until a signal ends it; a second signal ends it at once.

    Args:
        settings: all settings.
        announce: is told one line when it listens and one when it is ready.

    Raises:
        DaCircoError: see `running_controller`.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end(number: int) -> None:
        if ended.is_set():
            os._exit(128 + number)
        _LOGGER.info("ending after signal %d", number)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    try:
        async with running_controller(settings) as controller:
            for line in controller.warnings:
                _LOGGER.warning("%s", line)
            where = f"gRPC port {controller.grpc_port}, HTTP port {controller.http_port}"
            announce(f"controller listens: {where}")
            waiting = asyncio.create_task(controller.ready.wait())
            ending = asyncio.create_task(ended.wait())
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
            if controller.ready.is_set():
                announce(f"controller ready: {where}")
            await ending
            waiting.cancel()
            if settings.stop_workers:
                await controller.stop_workers()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


# -- the parts ------------------------------------------------------------------------


async def _storage(settings: Settings) -> ObjectStorage | None:
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


def _event_log(settings: Settings, clock: Clock) -> EventLog:
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


def _listen(server: grpc.aio.Server, host: str, port: int) -> int:
    address = join_host_port(host, port)
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise DaCircoError(
            f"cannot listen on {address} for gRPC: the port is taken or the address is not this "
            "machine's; give another --port or --bind"
        ) from None


def _link(settings: Settings, address: str, grpc_port: int) -> WorkerLink:
    minio = settings.minio
    with_keys = minio.server is not None or (settings.storage or "").startswith("s3")
    storage = settings.storage or ""
    if not storage and minio.server is None and settings.runner_type == "process":
        storage = "storage"
    if storage and "://" not in storage:
        storage = Path(storage).absolute().as_uri().replace("file://", "dir://", 1)
    return WorkerLink(
        grpc_server=address,
        grpc_port=grpc_port,
        minio_server=minio.server or "",
        minio_port=minio.port,
        minio_access_key=minio.access_key if with_keys else "",
        minio_secret_key=minio.secret_key if with_keys else "",
        storage=storage,
    )


def _limited(cluster: ClusterConfig, settings: Settings) -> ClusterConfig:
    limit = settings.max_workers
    if limit is None and settings.runner_type in ("vm", "pod"):
        limit = OLD_LIMIT
    if limit is None:
        return cluster
    known = cluster.max_workers
    return replace(cluster, max_workers=limit if known is None else min(limit, known))


def _spec(spec: str, settings: Settings) -> str:
    """The existing system's option gives the default of grace-period's parameter."""
    if spec.strip() in ("grace-period", "grace_period"):
        return f"grace-period:max_idle_time={settings.max_idle_time_s:g}"
    return spec


async def _preference(settings: Settings, store: Store) -> float:
    if settings.preference is not None:
        return check_preference(settings.preference)
    text = await asyncio.to_thread(store.setting, PREFERENCE)
    return DEFAULT_PREFERENCE if text is None else check_preference(float(text))


def _catalog_name(settings: Settings) -> str:
    return settings.catalog or CATALOGS[settings.runner_type]


def _log_start(
    conductor: Conductor,
    settings: Settings,
    store: Store,
    policy: LivePolicy,
    preference: float,
    jobs: int,
    workers: int,
    world: dict[str, str],
) -> None:
    keys: Keys = {
        "controller_id": store.controller_id,
        "policy": policy.spec,
        "fallback": policy.guard.fallback.spec,
        "mode": settings.mode,
        "preference": f"{preference:g}",
        "jobs": jobs,
        "workers": workers,
        **world,
    }
    conductor.note((EventCode.CONTROLLER_STARTED, keys))


# -- the end --------------------------------------------------------------------------


@asynccontextmanager
async def _in_background(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOGGER.critical("the controller's %s ended", task.get_name(), exc_info=task.exception())
        # Half a controller would accept jobs and never run them: its supervisor starts a whole one.
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def _serving(server: HttpServer, listener: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(server.serve([listener]), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def _flush(conductor: Conductor) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_PATIENCE_S):
            await conductor.flush()


async def _end_server(server: grpc.aio.Server, conductor: Conductor) -> None:
    conductor.streams.close_all()
    await server.stop(1.0)
