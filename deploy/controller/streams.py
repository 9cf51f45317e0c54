"""The workers' open streams of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from deploy.grpc_api import dacirco_pb2 as pb


class Stream:
    """One open stream: the tasks that are to be sent on it."""

    def __init__(self) -> None:
        self._tasks: asyncio.Queue[pb.TCTask | None] = asyncio.Queue()

    def put(self, task: pb.TCTask | None) -> None:
        """Send a task; none ends the stream."""
        self._tasks.put_nowait(task)

    async def __aiter__(self) -> AsyncIterator[pb.TCTask]:
        while (task := await self._tasks.get()) is not None:
            yield task


class Streams:
    """One stream for each worker, the newest; and the task that each has not acknowledged.

    A task may be assigned while a worker has no stream, and a stream may break with a task on
    its way: so a task is kept until the worker tells of it, and sent again on each new stream.
    A worker knows by the task's id that it has it already.
    """

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._unacknowledged: dict[str, pb.TCTask] = {}
        self._takes_cancels: set[str] = set()

    def open(self, worker_id: str, *, takes_cancels: bool = False, drop: str = "") -> Stream:
        """A worker opens a stream; the one before ends.

        Args:
            worker_id: the worker.
            takes_cancels: it can be told to drop a task.
            drop: a task that it is at, and should not be any more.
        """
        self._end(worker_id)
        stream = self._streams[worker_id] = Stream()
        if takes_cancels:
            self._takes_cancels.add(worker_id)
            if drop:
                stream.put(_cancel(worker_id, drop))
        task = self._unacknowledged.get(worker_id)
        if task is not None:
            stream.put(task)
        return stream

    def left(self, worker_id: str, stream: Stream) -> None:
        """A stream has broken."""
        if self._streams.get(worker_id) is stream:
            del self._streams[worker_id]

    def deliver(self, task: pb.TCTask) -> None:
        """Send a task to its worker, at once or when it opens a stream."""
        self._unacknowledged[task.worker_id] = task
        stream = self._streams.get(task.worker_id)
        if stream is not None:
            stream.put(task)

    def takes_cancels(self, worker_id: str) -> bool:
        """Whether the worker has told that it can be told to drop a task."""
        return worker_id in self._takes_cancels

    def cancel(self, worker_id: str, task_id: str) -> None:
        """A worker need not do a task any more.

        One whose stream is broken just now tells what it is at when it opens the next.
        """
        self.acknowledge(worker_id, task_id)
        stream = self._streams.get(worker_id)
        if stream is not None and worker_id in self._takes_cancels:
            stream.put(_cancel(worker_id, task_id))

    def acknowledge(self, worker_id: str, task_id: str) -> None:
        """The worker has told of the task."""
        task = self._unacknowledged.get(worker_id)
        if task is not None and task.task_id == task_id:
            del self._unacknowledged[worker_id]

    def close(self, worker_id: str) -> None:
        """The worker gets nothing any more."""
        self._unacknowledged.pop(worker_id, None)
        self._takes_cancels.discard(worker_id)
        self._end(worker_id)

    def close_all(self) -> None:
        """The controller ends."""
        for worker_id in list(self._streams):
            self._end(worker_id)

    def is_open(self, worker_id: str) -> bool:
        """Whether the worker has a stream."""
        return worker_id in self._streams

    def _end(self, worker_id: str) -> None:
        stream = self._streams.pop(worker_id, None)
        if stream is not None:
            stream.put(None)


def _cancel(worker_id: str, task_id: str) -> pb.TCTask:
    return pb.TCTask(worker_id=worker_id, task_id=task_id, cancelled=True)
