"""The calls on jobs."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from deploy.job_bounds import MOST_KEY
from deploy.rest.controller_client import Page
from deploy.rest.filters import ChosenBy
from deploy.rest.job_calls import Filters
from deploy.rest.job_options import JobOptions
from deploy.rest.models import IdList, JobDescription, JobFailure, JobState, NewJob
from deploy.rest.parameters import After, Controller, Limit, Offset, id_list
from deploy.rest.problems import documented

router = APIRouter(prefix="/jobs", tags=["jobs"])

_CREATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "description": "The job is accepted: its id.",
        "headers": {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Idempotency-Replayed": {
                "description": "`true`: this Idempotency-Key was used for this job before.",
                "schema": {"type": "string"},
            },
        },
    }
}
_ALL: Final = Filters()

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MOST_KEY,
        pattern=r"^[\x20-\x7e]+$",
        description="A text of the client's choice, one for each job, such as a UUID. The same "
        "request with the same key gives the same job, however often it is sent.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]


@router.post(
    "",
    status_code=201,
    summary="Submit a job",
    responses=_CREATED | documented(400, 404, 413, 422, 501, 502, 503, 504),
)
async def submit_job(
    job: NewJob,
    request: Request,
    response: Response,
    controller: Controller,
    idempotency_key: IdempotencyKey = None,
) -> str:
    """Have a video transcoded.

    A job that was answered 201 is not lost. After 503 or 504 the controller may have accepted the
    job without being able to say so: with an `Idempotency-Key` send the same request again, it is
    done once; without one look at the list of jobs first.
    """
    if job.options is None and idempotency_key is None:  # any controller of the contract knows it
        job_id = await controller.submit(job.id_video, job.bitrate, job.speed)
    else:
        job_id, known_before = await controller.jobs.submit(
            job.id_video,
            job.bitrate,
            job.speed,
            idempotency_key or "",
            job.options or JobOptions(),
        )
        if known_before:
            response.headers["Idempotency-Replayed"] = "true"
    response.headers["Location"] = f"{request.base_url}jobs/{quote(job_id, safe='')}"
    return job_id


@router.get(
    "",
    summary="List all jobs",
    response_model=IdList,
    responses=documented(404, 422, 501, 502, 503, 504),
)
async def list_jobs(
    controller: Controller,
    chosen: ChosenBy,
    limit: Limit = None,
    offset: Offset = 0,
    after: After = "",
) -> IdList | StreamingResponse:
    """The ids of all jobs, the oldest first; in pages if `limit` is given."""
    if chosen == _ALL:
        return await id_list(controller.job_page, limit, after, offset)

    async def page_of(limit: int | None, after: str, offset: int) -> Page:
        return Page(*await controller.jobs.find(chosen, limit, after, offset))

    return await id_list(page_of, limit, after, offset)


@router.get(
    "/{job_id}",
    summary="What a job was asked to do",
    responses=documented(404, 422, 502, 503, 504),
)
async def get_job(job_id: str, controller: Controller) -> JobDescription:
    """Video, bitrate (kbit/s) and speed of a job."""
    job = await controller.job(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job")
    return job


@router.get(
    "/{job_id}/state", summary="State of a job", responses=documented(404, 422, 502, 503, 504)
)
async def get_job_state(job_id: str, controller: Controller) -> JobState:
    """How far a job is."""
    state = await controller.job_state(job_id)
    if state is None:
        raise HTTPException(404, "there is no such job")
    return state


@router.get(
    "/{job_id}/error",
    summary="Why a job failed",
    responses=documented(404, 422, 502, 503, 504),
)
async def get_job_error(job_id: str, controller: Controller) -> JobFailure:
    """The reason for which a job ended in Error, for people."""
    status = await controller.job_status(job_id)
    if status is None:
        raise HTTPException(404, "there is no such job")
    return JobFailure(error=status[1])
