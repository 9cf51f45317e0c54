"""One life of the controller: what it is made of, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import grpc.aio

from agents.guard import Switch
from agents.loading import LivePolicy, live_policy
from deploy.blame import Retries
from deploy.clock import Clock
from deploy.controller.access import open_ports, read_access, workers_tls
from deploy.controller.access import warnings as access_warnings
from deploy.controller.address import workers_address
from deploy.controller.background import Background
from deploy.controller.conductor import Conductor
from deploy.controller.fenced import FencedManager
from deploy.controller.flavors import fitted_spec, with_idle_time
from deploy.controller.http import READY, bind, make_app
from deploy.controller.journal import Keys
from deploy.controller.page_servicer import PageServicer, add_page
from deploy.controller.parts import (
    PROFILES,
    Ports,
    catalog_name,
    first_preference,
    open_event_log,
    open_storage,
    with_limits,
    worker_link,
)
from deploy.controller.reconcile import reconcile, restore
from deploy.controller.service import Service
from deploy.controller.servicer import add_service, make_server
from deploy.controller.settings import Settings
from deploy.controller.shadowing import Shadowing
from deploy.controller.storage_door import StorageDoor
from deploy.controller.timed_policy import TimedPolicy
from deploy.controller.webhook_options import make_sender
from deploy.controller.worker_managers import make_manager
from deploy.estimates import Estimates
from deploy.eventlog.world import world_keys
from deploy.grpc_api.dialect import DIALECTS
from deploy.grpc_api.door import Door
from deploy.managers.base import ManagerEvent, WorkerManager
from deploy.managers.environment import WorkerLink
from deploy.managers.machine import with_boot_delay
from deploy.metrics import Metrics
from deploy.page.board import Board
from deploy.page.what_if import WhatIf
from deploy.scheduler import Scheduler
from deploy.store.fence import StoreLostError
from deploy.store.records import MetaChange
from deploy.store.store import PREFERENCE, Store
from deploy.store.watch import StoreWatch
from deploy.store.writer import Writer
from deploy.system.descriptors import raise_descriptor_limit
from deploy.system.http_guard import HostNames
from deploy.system.http_server import HttpServer
from deploy.webhooks.desk import WebhookDesk
from env.catalog import Catalog, load_catalog
from env.config import Profile, load_profile
from env.errors import DaCircoError
from env.event_log import EventCode

_END_PATIENCE_S: Final = 10.0
_STOP_PATIENCE_S: Final = 60.0
STORE_LOST: Final = 3
"""Exit code of a controller that was replaced by another one on its store."""

_LOGGER = logging.getLogger(__name__)


MakeManager = Callable[[Settings, WorkerLink, str, Profile, Catalog, Clock], WorkerManager]
"""See `deploy.controller.worker_managers.make_manager`."""


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
        ports: where gRPC listens.
        grpc_port, http_port: where all are served, and where HTTP is.
        conductor, service, manager: its parts.
        warnings: what its operator must know, one line each.
        ready: set when jobs are scheduled, not only accepted.
        background: what runs beside it.
    """

    def __init__(
        self,
        conductor: Conductor,
        service: Service,
        manager: WorkerManager,
        ports: Ports,
        http_port: int,
        warnings: tuple[str, ...],
    ) -> None:
        self.conductor, self.service, self.manager = conductor, service, manager
        self.ports, self.grpc_port, self.http_port = ports, ports.main, http_port
        self.warnings = warnings
        self.ready = asyncio.Event()
        self.background = Background()

    async def stop_workers(self) -> None:
        """End all workers; their jobs wait for the next life."""
        self.conductor.give_up_all("the controller ends")
        await self.conductor.flush()
        await self.conductor.workforce.wait_for_stops(_STOP_PATIENCE_S)


def end_at_once(error: StoreLostError) -> None:
    """Be gone before anything more is sent to a worker, a client or the cloud."""
    _LOGGER.critical("this controller ends at once: %s", error)
    print(f"dacirco_controller: {error}; this one ends at once", file=sys.stderr, flush=True)
    os._exit(STORE_LOST)


@asynccontextmanager
async def running_controller(
    settings: Settings,
    make_manager: MakeManager = make_manager,
    on_lost: Callable[[StoreLostError], None] = end_at_once,
) -> AsyncIterator[Controller]:
    """Start a controller, and end it on leaving; workers live on.

    Args:
        settings: all settings.
        make_manager: makes the worker manager.
        on_lost: called in any thread when another controller has taken the store over: this one
            must do nothing more.

    Raises:
        DaCircoError: something that it needs is missing or wrong; the message names it.
    """
    raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        profile = load_profile(settings.profile or PROFILES[settings.runner_type])
        catalog = load_catalog(catalog_name(settings))
        access = read_access(settings.access)
        sender = make_sender(settings.webhooks)
        storage = open_storage(settings)
        clock = Clock(settings.speed_up)
        host = settings.bind or (
            "0.0.0.0" if settings.runner_type in ("vm", "pod") else "127.0.0.1"
        )

        store = await asyncio.to_thread(Store, settings.store)
        stack.callback(store.close)
        stack.callback(StoreWatch(store, on_lost).close)

        http_socket = bind(settings.http_host, settings.http_port)
        stack.callback(http_socket.close)
        door = Door(access.front_ends)
        server = make_server(door)
        ports = open_ports(server, host, settings.port, access, settings.access)
        called = workers_address(settings.ip_address, host)
        link = worker_link(settings, called, ports, workers_tls(access, settings.access, called))
        manager = make_manager(settings, link, store.controller_id, profile, catalog, clock)
        reports = Reports()
        cluster = await manager.start(reports)
        stack.push_async_callback(manager.close)
        profile = replace(profile, cluster=with_limits(cluster, settings))
        profile = with_boot_delay(profile, settings.boot_delay_s)

        metrics = Metrics()
        switches: list[Switch] = []
        wanted, fallback = (
            fitted_spec(with_idle_time(spec, settings.max_idle_time_s), profile.cluster.flavors)
            for spec in (settings.scheduler, settings.fallback)
        )
        in_shadow = Shadowing(wanted, fallback) if settings.mode == "shadow" else None
        policy, warnings = live_policy(
            wanted if in_shadow is None else fallback, fallback, on_switch=switches.append
        )
        estimates = Estimates(profile, catalog)
        preference = await first_preference(settings, store)
        scheduler = Scheduler(
            profile,
            TimedPolicy(policy, metrics),
            preference=preference,
            max_attempts=settings.max_attempts,
            retries=Retries(
                first_pause_s=settings.patience.retry_s,
                longest_pause_s=settings.patience.longest_retry_s,
                quarantine_after=settings.quarantine_after,
            ),
            seed=settings.seed,
            boot_s=estimates.boot_s,
            observers=() if in_shadow is None else (in_shadow.shadow,),
        )
        if policy.guard.unusable:
            warnings = (*warnings, policy.guard.unusable)
        warnings = (*warnings, *access_warnings(settings, host))
        metrics.watch(scheduler.cluster)
        writer = Writer(store, on_lost)
        stack.push_async_callback(writer.close)
        fenced = FencedManager(manager, store, on_lost)
        conductor = Conductor(scheduler, writer, metrics, fenced, clock, settings.patience)
        door.on_refused = conductor.refusals.call
        conductor.note(changes=[MetaChange(PREFERENCE, repr(preference))])
        stack.push_async_callback(conductor.workforce.close)
        conductor.follow_switches(switches)
        if in_shadow is not None:
            in_shadow.report_to(conductor)
            warnings = (*warnings, *in_shadow.warnings)
        storage_door = None if storage is None else StorageDoor(storage, conductor, settings)
        service = Service(
            conductor,
            store,
            writer,
            estimates,
            door=storage_door,
            known_videos=frozenset(catalog) if settings.runner_type == "simulated" else None,
            max_queue=settings.max_queue,
            memory_in_mb=settings.runner_type == "vm",
        )
        stack.push_async_callback(service.close)
        service.intake.webhooks = sender
        restored = await restore(conductor, store, estimates, settings.worker_image)
        world = world_keys(
            profile,
            catalog_name(settings),
            estimates.boot_s,
            policy.discipline,
            restored.image_nodes,
        )
        _log_start(
            conductor, settings, store, policy, preference, restored.jobs, restored.workers, world
        )
        conductor.note(*restored.lines)
        reports.go_to(conductor.of_manager)

        controller = Controller(
            conductor, service, manager, ports, http_socket.getsockname()[1], warnings
        )
        app = make_app(
            service,
            metrics,
            health=lambda: "the store does not answer" if writer.failing else "",
            state=lambda: _state(controller, storage_door),
            hosts=HostNames(settings.allowed_hosts),
        )
        background = controller.background
        # Not before all else stands: a start that fails must not use up one of the 99 names.
        log = open_event_log(settings, clock)
        stack.callback(log.close)
        metrics.watch_log(lambda: log.lost)
        await stack.enter_async_context(background.running("outbox", conductor.send_out(log)))
        stack.push_async_callback(_flush, conductor)
        add_service(server, service, DIALECTS[settings.dialect])
        what_if = WhatIf(log.path)
        stack.push_async_callback(what_if.close)
        board = Board(scheduler, clock, policy.spec, policy.guard.fallback.spec)
        conductor.on_steps = board.heard
        add_page(server, PageServicer(board.snapshot, what_if.answer, service.set_preference))
        await stack.enter_async_context(background.running("page", board.keep_sampling()))
        await server.start()
        stack.push_async_callback(_end_server, server, conductor)
        await stack.enter_async_context(
            _serving(HttpServer(app, handle_signals=False), http_socket)
        )

        if storage_door is not None:
            storage_door.tell(found=service.input_found, missing=service.input_missing)
            for name, work in storage_door.work():
                await stack.enter_async_context(background.running(name, work))
            stack.push_async_callback(storage_door.watch.close)

        async def resume_and_keep_time() -> None:
            if storage_door is not None:  # what the first look finds goes before the first decision
                await storage_door.watch.looked.wait()
            await reconcile(conductor, manager)
            controller.ready.set()
            await conductor.keep_time()

        await stack.enter_async_context(background.running("time", resume_and_keep_time()))
        if sender is not None:
            pause_s = settings.webhooks.first_pause_s
            desk = WebhookDesk(store, writer, sender, metrics, clock, first_pause_s=pause_s)
            conductor.on_ended = desk.wake
            await stack.enter_async_context(background.running("webhooks", desk.run()))
        if in_shadow is not None:
            estimates_of_cost = in_shadow.keep_estimating(log.path, policy.spec)
            await stack.enter_async_context(background.running("shadow", estimates_of_cost))
        yield controller


def _state(controller: Controller, storage_door: StorageDoor | None) -> str:
    if not controller.ready.is_set():
        return "waiting for the cloud"
    if storage_door is not None and storage_door.watch.reason:
        return f"waiting for the object storage: {storage_door.watch.reason}"
    return READY


async def run_controller(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run a controller until a signal ends it; a second signal ends it at once.

    Args:
        settings: all settings.
        announce: is told one line when it listens and one when it is ready.

    Raises:
        DaCircoError: see `running_controller`; or a part of the controller broke.
    """
    loop, whole = asyncio.get_running_loop(), asyncio.current_task()
    assert whole is not None
    ended, listening = asyncio.Event(), False

    def end(number: int) -> None:
        if ended.is_set():
            os._exit(128 + number)
        _LOGGER.info("ending after signal %d", number)
        ended.set()
        if not listening:  # a cloud that does not answer at the start keeps nobody
            whole.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    try:
        async with running_controller(settings) as controller:
            listening = True
            await _tell_and_wait(controller, ended, announce)
            if settings.stop_workers:
                await controller.stop_workers()
            if controller.background.broken.is_set():
                raise DaCircoError("the controller broke (see its log): start it again")
    except asyncio.CancelledError:
        if not ended.is_set():
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _tell_and_wait(
    controller: Controller, ended: asyncio.Event, announce: Callable[[str], None]
) -> None:
    for line in controller.warnings:
        _LOGGER.warning("%s", line)
    where = f"gRPC port {controller.grpc_port}, HTTP port {controller.http_port}"
    announce(f"controller listens: {where}")
    ready = asyncio.create_task(controller.ready.wait())
    over = {
        asyncio.create_task(ended.wait()),
        asyncio.create_task(controller.background.broken.wait()),
    }
    try:
        await asyncio.wait({ready, *over}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            announce(f"controller ready: {where}")
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ready, *over):
            task.cancel()


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
        # What our workers take the asked bitrate for; those of the existing system take bit/s.
        "bitrate_unit": "kbit",
        **world,
        **({"tag": settings.tag} if settings.tag else {}),
    }
    conductor.note((EventCode.CONTROLLER_STARTED, keys))


# -- the end --------------------------------------------------------------------------


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
