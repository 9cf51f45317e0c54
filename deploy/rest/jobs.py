"""The calls on jobs."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from deploy.rest.models import IdList, JobDescription, JobFailure, JobRequest, JobState
from deploy.rest.parameters import After, Controller, Limit, Offset, id_list
from deploy.rest.problems import documented

router = APIRouter(prefix="/jobs", tags=["jobs"])

_CREATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "description": "The job is accepted: its id.",
        "headers": {"Location": {"description": "The job.", "schema": {"type": "string"}}},
    }
}


@router.post(
    "",
    status_code=201,
    summary="Submit a job",
    responses=_CREATED | documented(400, 404, 413, 422, 502, 503, 504),
)
async def submit_job(
    job: JobRequest, request: Request, response: Response, controller: Controller
) -> str:
    """Have a video transcoded.

    A job that was answered 201 is not lost. After 503 or 504 look at the list of jobs before
    you submit again: the controller may have accepted the job without being able to say so.
    """
    job_id = await controller.submit(job.id_video, job.bitrate, job.speed)
    response.headers["Location"] = f"{request.base_url}jobs/{quote(job_id, safe='')}"
    return job_id


@router.get(
    "",
    summary="List all jobs",
    response_model=IdList,
    responses=documented(404, 422, 502, 503, 504),
)
async def list_jobs(
    controller: Controller, limit: Limit = None, offset: Offset = 0, after: After = ""
) -> IdList | StreamingResponse:
    """The ids of all jobs, the oldest first; in pages if `limit` is given."""
    return await id_list(controller.job_page, limit, after, offset)


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
