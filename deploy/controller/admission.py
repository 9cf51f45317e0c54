"""Whether a request can become a job: its names and figures, its input, and room in the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager

from deploy.controller.inputs import Inputs
from deploy.names import VideoNameError, check_output_name, check_video_name
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, SPEEDS


class RejectedError(Exception):
    """Something that a client asks for is not done.

    Attributes:
        reason: ``not-found``, ``invalid``, ``storage`` (of jobs), ``overloaded`` or ``conflict``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Admission:
    """Looks at requests before they become jobs.

    Args:
        unfinished: the jobs that wait or are in process.
        inputs: looks for videos; none if there is no storage.
        known_videos: if there is no storage, the names that there are; none: any.
        max_queue: most jobs in the system.
    """

    def __init__(
        self,
        unfinished: Sized,
        inputs: Inputs | None,
        known_videos: frozenset[str] | None,
        max_queue: int,
    ) -> None:
        self._unfinished, self._inputs = unfinished, inputs
        self._known_videos, self._max_queue = known_videos, max_queue
        self._arriving = 0

    async def look(self, video: str, output: str, bitrate: int, speed: str) -> bool:
        """See that a request can be done.

        Returns:
            Whether its input was looked for; false if nobody can tell now.

        Raises:
            RejectedError: it cannot.
        """
        check_request(video, output, bitrate, speed)
        missing = await self.why_missing(video)
        if missing:
            raise RejectedError("not-found", missing)
        return missing is not None

    async def why_missing(self, video: str) -> str | None:
        """Why there is no such input, empty if there is one; none if nobody can tell now."""
        if self._inputs is not None:
            return await self._inputs.why_missing(video)
        if self._known_videos is None or video in self._known_videos:
            return ""
        return f"there is no input video {video!r}"

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place in the queue for a job that is being stored.

        Raises:
            RejectedError: the queue is full.
        """
        if len(self._unfinished) + self._arriving >= self._max_queue:
            raise RejectedError("overloaded", f"{self._max_queue} jobs wait already: try later")
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1


def check_request(video: str, output: str, bitrate: int, speed: str) -> None:
    """See that names and figures are in order.

    Raises:
        RejectedError: one is not.
    """
    try:
        check_video_name(video)
        check_output_name(output)
    except VideoNameError as error:
        raise RejectedError("invalid", str(error)) from None
    if output == video:
        raise RejectedError("invalid", "output_video is the input's name: give another")
    if not MIN_BITRATE_KBPS <= bitrate <= MAX_BITRATE_KBPS:
        raise RejectedError(
            "invalid",
            f"bitrate {bitrate} is not in {MIN_BITRATE_KBPS}..{MAX_BITRATE_KBPS} kbit/s",
        )
    if speed not in SPEEDS:
        raise RejectedError("invalid", f"speed {speed[:40]!r} is not {' or '.join(SPEEDS)}")
