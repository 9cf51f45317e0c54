"""The calls on jobs that go beyond the contract: all that is known of them, cancel and retry."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from deploy.rest.filters import ChosenBy
from deploy.rest.job_models import JobDetails, JobDetailsList
from deploy.rest.parameters import After, Controller, Offset
from deploy.rest.problems import documented

MAX_DETAILS: Final = 1_000

router = APIRouter(tags=["jobs"])


@router.get(
    "/job-details",
    summary="All that is known of many jobs",
    responses=documented(404, 422, 501, 502, 503, 504),
)
async def list_details(
    controller: Controller,
    chosen: ChosenBy,
    limit: Annotated[int, Query(ge=1, le=MAX_DETAILS, description="How many items at most.")] = 100,
    offset: Offset = 0,
    after: After = "",
) -> JobDetailsList:
    """As `GET /jobs/{job_id}/details` of each job, but without its failed attempts."""
    return await controller.jobs.find_details(chosen, limit, after, offset)


@router.get(
    "/jobs/{job_id}/details",
    summary="All that is known of a job",
    responses=documented(404, 422, 501, 502, 503, 504),
)
async def get_job_details(job_id: str, controller: Controller) -> JobDetails:
    """State, the reason of an error, times of each step, attempts, and progress."""
    return await controller.jobs.details(job_id)


@router.delete(
    "/jobs/{job_id}",
    summary="Cancel a job",
    responses=documented(404, 409, 422, 501, 502, 503, 504),
)
async def cancel_job(job_id: str, controller: Controller) -> JobDetails:
    """End a job that waits or is in process; it stays in the list.

    Its worker drops it at once. To the contract's calls it is then in `Error`, with the reason
    "cancelled by the client". 409: it has ended already.
    """
    return await controller.jobs.cancel(job_id)


@router.post(
    "/jobs/{job_id}/retry",
    summary="Try an ended job again",
    responses=documented(400, 404, 409, 422, 501, 502, 503, 504),
)
async def retry_job(job_id: str, controller: Controller) -> JobDetails:
    """Let a job that has failed or was cancelled be done all the same, under its id.

    409: it has not ended so. 404 also if its input is not there any more.
    """
    return await controller.jobs.retry(job_id)
