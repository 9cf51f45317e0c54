"""The calls by which a supervisor watches the Job API; they need no key."""

from __future__ import annotations

from fastapi import APIRouter

from deploy.rest.models import Status
from deploy.rest.parameters import Controller
from deploy.rest.problems import documented

router = APIRouter(tags=["status"])


@router.get("/health", summary="Does the Job API live?")
async def health() -> Status:
    """Answers as long as the process can answer at all."""
    return Status(status="ok")


@router.get("/ready", summary="Can the Job API take jobs?", responses=documented(502, 503, 504))
async def ready(controller: Controller) -> Status:
    """Answers 200 if the controller answers too."""
    await controller.ping()
    return Status(status="ready")
