"""What the Job API takes and gives, as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from deploy.names import MAX_NAME_BYTES, VideoNameError, check_video_name
from deploy.rest.job_options import JobOptions
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, Speed

JobState = Literal["Waiting", "Started", "Completed", "Error"]
WorkerState = Literal[
    "Booting", "Downloading File", "Transcoding", "Uploading File", "Busy", "Idle", "Stopped"
]
"""``Busy`` is all that a controller of the dialect 2024 tells of a worker at work."""

_NAME_SCHEMA: Final[dict[str, Any]] = {
    "minLength": 1,
    "maxLength": MAX_NAME_BYTES,
    "pattern": r"^[^./\\\u0000-\u001f\u007f][^/\\\u0000-\u001f\u007f]*$",
}
"""What JSON Schema can say of `check_video_name`."""


def _video_name(name: str) -> str:
    try:
        return check_video_name(name)
    except VideoNameError as error:
        raise PydanticCustomError("video_name", "{reason}", {"reason": str(error)}) from None


class JobRequest(BaseModel):
    """A video to transcode; fields that are not listed are ignored."""

    id_video: Annotated[
        str,
        Strict(),
        AfterValidator(_video_name),
        Field(
            description="Name of the input video, without a folder; at most 200 bytes in UTF-8.",
            examples=["bbb_3.mp4"],
            json_schema_extra=_NAME_SCHEMA,
        ),
    ]
    bitrate: Annotated[
        int,  # also "7000" and 7000.0, as in the existing system
        Field(
            ge=MIN_BITRATE_KBPS,
            le=MAX_BITRATE_KBPS,
            description="Video bitrate of the result, kbit/s.",
            examples=[2000],
        ),
    ]
    speed: Annotated[Speed, Field(description="Preset of the encoder.", examples=["fast"])]


class NewJob(JobRequest):
    """A job with wishes beyond the contract's three fields."""

    options: Annotated[
        JobOptions | None,
        Field(description="What the job has besides; fields that are not listed are refused."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"id_video": "bbb_3.mp4", "bitrate": 2000, "speed": "fast"},
                {
                    "id_video": "bbb_3.mp4",
                    "bitrate": 2000,
                    "speed": "fast",
                    "options": {"labels": {"team": "news", "show": "2026-11-30"}},
                },
            ]
        }
    )


class JobDescription(BaseModel):
    """What a job was asked to do."""

    id_video: str
    bitrate: int
    speed: str


class JobFailure(BaseModel):
    """Why a job ended in Error."""

    error: Annotated[
        str | None,
        Field(description="For people; null if it has not failed, or nobody has told why."),
    ]


class IdList(BaseModel):
    """Identifiers, the oldest first."""

    items: list[str]
    has_more: Annotated[bool, Field(description="Whether there are more after the last item.")]


class WorkerDescription(BaseModel):
    """A worker; empty strings for what is not known (yet)."""

    name: str
    id: str
    cpus: str
    memory: str
    node: str


class Status(BaseModel):
    """How the service is."""

    status: str


class Problem(BaseModel):
    """Why a call failed."""

    detail: str


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    loc: Annotated[list[str | int], Field(description="Where: the way to the field.")]
    msg: Annotated[str, Field(description="What, for people.")]
    type: Annotated[str, Field(description="What, for programs.")]


class InvalidRequest(BaseModel):
    """Why a request is not valid."""

    detail: list[FieldProblem]
