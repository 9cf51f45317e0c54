"""One task from its download to its upload."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.names import check_output_name, check_video_name, is_safe_job_id, result_key
from deploy.storage.base import ObjectStorage, StorageUnavailableError, StoredObject
from deploy.system.in_background import in_background
from deploy.worker.backoff import Backoff
from deploy.worker.controller_link import Answer
from deploy.worker.settings import WorkerSettings
from deploy.worker.transcoder import OnProgress, TranscodeRequest, transcode

T = TypeVar("T")


class Announce(Protocol):
    """Reports an event of the task; what it returns is there when the controller has answered."""

    def __call__(
        self, kind: pb.GrpcEventTypeEnum, stored: StoredObject | None = None
    ) -> Awaitable[Answer]:
        """Report an event, and with the last one what was stored."""


_SOURCE: Final = "input"
_TARGET: Final = "output.mp4"
"""Names of our own: a client's never becomes a local file's."""

log = logging.getLogger(__name__)


class DroppedError(RuntimeError):
    """The controller does not want the task's result."""


async def process(
    task: pb.TCTask,
    folder: Path,
    storage: ObjectStorage,
    settings: WorkerSettings,
    announce: Announce,
    on_progress: OnProgress = lambda _share, _speed: None,
) -> None:
    """Download, transcode and upload; reports each step.

    The result is stored under the job's id, which no other job writes to, and then copied to the
    name that the contract has for the latest result of the video.

    Args:
        task: as the controller sent it; its strings are not trusted.
        folder: empty, for this task only.
        storage: where input and output are.
        settings: of the worker.
        announce: reports a step.
        on_progress: is told how far the transcode is.

    Raises:
        VideoNameError: a name that could lead out of the folders of videos.
        StorageError: the input is not there, or the storage failed for too long.
        TranscodingError: the input or the request is bad.
        SickWorkerError: ffmpeg does not work here, or the disk is full.
        DroppedError: the controller does not want the result.
    """
    source = f"{settings.input_path}/{check_video_name(task.input_video)}"
    target = f"{settings.output_path}/{check_output_name(task.output_video)}"
    patience_s = settings.storage_patience_s
    await _patiently(lambda: storage.download(source, folder / _SOURCE), patience_s)
    announce(pb.EVENT_FILE_DOWNLOADED)
    request = TranscodeRequest(task.bitrate, task.speed, settings.bitrate_unit_bps)
    await transcode(
        folder / _SOURCE, folder / _TARGET, request, cpus=settings.cpus, on_progress=on_progress
    )
    # While we transcoded the controller may have given us up and handed the job to another
    # worker: only who still has the task puts its result in place.
    if (await announce(pb.EVENT_TRANSCODING_COMPLETED)).refused_for_good:
        raise DroppedError
    # An old controller's id may be anything: then there is only the latest result.
    safe = is_safe_job_id(task.request_id)
    own = result_key(task.request_id, task.output_video) if safe else target
    stored = await _patiently(lambda: storage.upload(folder / _TARGET, own), patience_s)
    if own != target:
        await _patiently(lambda: storage.copy(own, target), patience_s)
    announce(pb.EVENT_FILE_UPLOADED, stored)


async def _patiently(call: Callable[[], T], patience_s: float) -> T:
    """Call the storage, again and again while it cannot be reached."""
    loop = asyncio.get_running_loop()
    deadline, backoff = loop.time() + patience_s, Backoff()
    while True:
        try:
            return await in_background(call)
        except StorageUnavailableError as error:
            if loop.time() >= deadline:
                raise
            log.warning("trying again: %s", error)
        await asyncio.sleep(backoff.pause_s())
