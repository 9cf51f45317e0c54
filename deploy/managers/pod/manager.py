"""Workers as pods: orders go to the API in threads, a watch tells what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from kubernetes import watch

from deploy.managers.base import (
    FoundWorker,
    Listener,
    ManagerError,
    SpawnError,
    SpawnFailed,
    SpawnOrder,
    WorkerGone,
    WorkerManager,
    WorkerPlaced,
)
from deploy.managers.environment import WorkerLink
from deploy.managers.pod.api import ForgottenError, PodApi, RefusedError
from deploy.managers.pod.body import FLAVOR_LABEL, WORKER_LABEL, pod_body, secret_body
from deploy.managers.pod.capacity import cluster_of
from deploy.managers.pod.settings import PodSettings
from deploy.managers.pod.status import ended, never_starts, unschedulable
from env.config import ClusterConfig

log = logging.getLogger(__name__)

_THREADS: Final = 5
"""One holds the watch, the others carry orders."""
_LONGEST_BACKOFF_S: Final = 15.0

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Pod:
    """A worker's pod.

    Attributes:
        name: of the pod.
        node: where it runs, once that is known.
        created: the API has taken the order.
        started: its container has run.
        stopping: its end was ordered; no report about it is due.
        reported: its end was told.
        stuck: gives it up when it stays unschedulable.
        gone: set once no pod of it exists.
    """

    worker_id: str
    name: str
    node: str | None = None
    created: bool = True
    started: bool = False
    stopping: bool = False
    reported: bool = False
    stuck: asyncio.TimerHandle | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class PodManager(WorkerManager):
    """See `WorkerManager`.

    Args:
        settings: names in the cluster.
        link: what the workers are told.
    """

    name = "pod"

    def __init__(self, settings: PodSettings, link: WorkerLink) -> None:
        self.settings = settings
        self._link = link
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self._api: PodApi | None = None
        self._listener: Listener = lambda event: None
        self._pods: dict[str, _Pod] = {}
        self._watch = watch.Watch()
        self._watcher: asyncio.Task[None] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, listener: Listener) -> ClusterConfig:
        """See `WorkerManager.start`."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._api = api = await self._call(partial(PodApi, self.settings))
        await self._call(api.ensure_namespace)
        nodes = await self._call(api.nodes)
        config = cluster_of(nodes, self.settings)
        self._watcher = asyncio.create_task(self._follow(api), name="pod-manager")
        return config

    async def find(self) -> list[FoundWorker]:
        """See `WorkerManager.find`."""
        found, _ = await self._call(self._connected().pods)
        workers = []
        for pod in found:
            worker_id = pod.metadata.labels.get(WORKER_LABEL, "")
            known = self._pods.setdefault(worker_id, _Pod(worker_id, pod.metadata.name))
            known.node = pod.spec.node_name
            if pod.metadata.deletion_timestamp is not None:
                known.stopping = True
            elif ended(pod) is None:
                workers.append(
                    FoundWorker(
                        worker_id,
                        pod.metadata.name,
                        pod.metadata.labels.get(FLAVOR_LABEL, ""),
                        pod.spec.node_name,
                    )
                )
            else:
                self._discard(known)
        return workers

    async def spawn(self, order: SpawnOrder) -> None:
        """See `WorkerManager.spawn`."""
        api = self._connected()
        environment = self._link.environment(order)
        pod = self._pods[order.worker_id] = _Pod(order.worker_id, order.name, created=False)
        try:
            uid = await self._call(partial(api.create, pod_body(order, self.settings, environment)))
        except RefusedError as error:
            del self._pods[order.worker_id]
            raise SpawnError(str(error)) from None
        except (ManagerError, asyncio.CancelledError) as error:
            # The order may have had an effect, or may have it yet.
            self._discard(pod)
            if isinstance(error, ManagerError):
                raise SpawnError(str(error)) from None
            raise
        secret = secret_body(order, self.settings, environment, uid)
        try:
            await self._call(partial(api.create_secret, secret))
        except (ManagerError, asyncio.CancelledError) as error:
            # Without its Secret the pod waits for ever; with the pod the Secret goes, too.
            self._discard(pod)
            if isinstance(error, ManagerError):
                raise SpawnError(f"the Secret of its pod: {error}") from None
            raise
        pod.created = True
        # The watch may be quicker than the second answer: the order was taken, and its end is told.
        if pod.stopping and not pod.reported:
            self._discard(pod)
            raise SpawnError("the worker was stopped while it was being ordered")

    async def stop(self, worker_id: str) -> None:
        """See `WorkerManager.stop`."""
        api = self._connected()
        pod = self._pods.get(worker_id)
        if pod is None:
            await self.find()
            pod = self._pods.get(worker_id)
        if pod is None:
            return
        pod.stopping = True
        self._forget_stuck(pod)
        await self._call(partial(api.delete, pod.name))
        patience = self.settings.grace_s + self.settings.stop_timeout_s
        if await self._is_gone(api, pod, patience):
            return
        log.warning("pod %s does not end (is its node down?): deleted by force", pod.name)
        await self._call(partial(api.delete, pod.name, force=True))
        if not await self._is_gone(api, pod, self.settings.stop_timeout_s):
            raise ManagerError(f"pod {pod.name} cannot be deleted")

    async def close(self) -> None:
        """See `WorkerManager.close`."""
        self._watch.stop()
        for task in [*self._chores, *([self._watcher] if self._watcher else [])]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for pod in self._pods.values():
            self._forget_stuck(pod)
        if self._api is not None:
            self._api.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- watching ---------------------------------------------------------------------

    async def _follow(self, api: PodApi) -> None:
        """List, then watch; list anew whenever the watch cannot go on."""
        backoff = 0.0
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list(api)
                version = await self._call(partial(self._watch_from, api, version))
                backoff = 0.0
            except ForgottenError:
                version = None
            except ManagerError as error:
                version = None
                backoff = min(_LONGEST_BACKOFF_S, max(0.5, 2 * backoff))
                log.warning("%s; next try in %g s", error, backoff)
                await asyncio.sleep(backoff)

    async def _list(self, api: PodApi) -> str:
        """Take all pods as they are now; returns the version to watch from."""
        # Pods ordered while the list is under way may be missing in it.
        expected = [pod for pod in self._pods.values() if pod.created]
        found, version = await self._call(api.pods)
        there = {pod.metadata.labels.get(WORKER_LABEL, "") for pod in found}
        for known in expected:
            if known.worker_id not in there:
                self._vanished(known)
        for pod in found:
            self._take("MODIFIED", pod)
        return version

    def _watch_from(self, api: PodApi, version: str) -> str:
        """In a thread: hand every change to the loop; returns the last version seen."""
        assert self._loop is not None
        for kind, pod in api.changes(version, self._watch):
            version = str(pod.metadata.resource_version)
            self._loop.call_soon_threadsafe(self._take, kind, pod)
        return version

    def _take(self, kind: str, pod: Any) -> None:
        """One change of one pod."""
        known = self._pods.get(pod.metadata.labels.get(WORKER_LABEL, ""))
        if known is None:
            return
        if kind == "DELETED":
            self._vanished(known)
            return
        if pod.spec.node_name and known.node != pod.spec.node_name:
            known.node = pod.spec.node_name
            if not known.stopping:
                self._listener(WorkerPlaced(known.worker_id, known.node))
        if pod.spec.node_name:
            self._forget_stuck(known)
        known.started = known.started or pod.status.phase == "Running"
        if known.stopping:
            return
        hopeless = never_starts(pod)
        end = ended(pod)
        if end is not None or pod.metadata.deletion_timestamp is not None:
            known.started = known.started or end is not None
            self._report_end(known, end or "the pod was deleted by somebody else")
        elif hopeless is not None:
            self._report_end(known, hopeless)
        else:
            stuck = unschedulable(pod)
            if stuck is not None and known.stuck is None and self._loop is not None:
                known.stuck = self._loop.call_later(
                    self.settings.unschedulable_s, self._report_end, known, stuck
                )

    def _vanished(self, pod: _Pod) -> None:
        self._pods.pop(pod.worker_id, None)
        pod.gone.set()
        if not pod.stopping:
            self._report_end(pod, "the pod was deleted by somebody else")

    def _report_end(self, pod: _Pod, reason: str) -> None:
        pod.reported = True
        self._discard(pod)
        event = WorkerGone if pod.started else SpawnFailed
        self._listener(event(pod.worker_id, reason))

    # -- how --------------------------------------------------------------------------

    def _discard(self, pod: _Pod) -> None:
        """See to it, in the background and for as long as it takes, that the pod is gone."""
        pod.stopping = True
        self._forget_stuck(pod)
        if pod.gone.is_set():
            return
        self._pods[pod.worker_id] = pod
        chore = asyncio.ensure_future(self._remove(pod))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _remove(self, pod: _Pod) -> None:
        backoff = 1.0
        while not pod.gone.is_set():
            try:
                await self.stop(pod.worker_id)
                return
            except ManagerError as error:
                log.warning("%s; next try in %g s", error, backoff)
            await asyncio.sleep(backoff)
            backoff = min(_LONGEST_BACKOFF_S, 2 * backoff)

    async def _is_gone(self, api: PodApi, pod: _Pod, patience_s: float) -> bool:
        try:
            # Not `wait_for`: before Python 3.12 it swallows a cancellation at times.
            async with asyncio.timeout(patience_s):
                await pod.gone.wait()
        except TimeoutError:
            if await self._call(partial(api.exists, pod.name)):
                return False
        self._pods.pop(pod.worker_id, None)
        pod.gone.set()
        return True

    @staticmethod
    def _forget_stuck(pod: _Pod) -> None:
        if pod.stuck is not None:
            pod.stuck.cancel()
            pod.stuck = None

    def _connected(self) -> PodApi:
        if self._api is None:
            raise ManagerError("the pod manager is not started")
        return self._api

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
