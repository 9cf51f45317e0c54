"""The calls on workers."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from deploy.rest.models import IdList, WorkerDescription, WorkerState
from deploy.rest.parameters import After, Controller, Limit, Offset, id_list
from deploy.rest.problems import documented

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get(
    "",
    summary="List all workers",
    response_model=IdList,
    responses=documented(404, 422, 502, 503, 504),
)
async def list_workers(
    controller: Controller, limit: Limit = None, offset: Offset = 0, after: After = ""
) -> IdList | StreamingResponse:
    """The ids of all workers, those that have stopped too; in pages if `limit` is given."""
    return await id_list(controller.worker_page, limit, after, offset)


@router.get(
    "/{worker_id}", summary="What a worker is", responses=documented(404, 422, 502, 503, 504)
)
async def get_worker(worker_id: str, controller: Controller) -> WorkerDescription:
    """Name, size and node of a worker."""
    worker = await controller.worker(worker_id)
    if worker is None:
        raise HTTPException(404, "there is no such worker")
    return worker


@router.get(
    "/{worker_id}/state",
    summary="State of a worker",
    responses=documented(404, 422, 502, 503, 504),
)
async def get_worker_state(worker_id: str, controller: Controller) -> WorkerState:
    """What a worker does."""
    state = await controller.worker_state(worker_id)
    if state is None:
        raise HTTPException(404, "there is no such worker")
    return state
