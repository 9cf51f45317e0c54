"""How far the task at hand is, as a worker tells it beside its signs of life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deploy.grpc_api import dacirco_pb2 as pb

INTERVAL_S: Final = 2.0
"""Between two of these while a task is transcoded, seconds."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """Of one task.

    Attributes:
        task_id: the task.
        done_percent: of the transcode, 0..100; none if the length of the video is not known.
        speed: seconds of video transcoded a second; none if ffmpeg does not tell yet.
    """

    task_id: str
    done_percent: float | None = None
    speed: float | None = None


def sign_of_life(worker_id: str, at_hand: TaskProgress | None) -> pb.GrpcEvent:
    """A KEEPALIVE; a controller of the existing system sees an ordinary one."""
    sign = pb.GrpcEvent(event_type=pb.EVENT_KEEPALIVE, worker_id=worker_id, task_id="")
    if at_hand is not None:
        sign.progress_task_id = at_hand.task_id
        if at_hand.done_percent is not None:
            sign.done_percent = at_hand.done_percent
        if at_hand.speed is not None:
            sign.encoding_speed = at_hand.speed
    return sign
