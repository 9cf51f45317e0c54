"""What a pod's status means for its worker."""

from __future__ import annotations

from typing import Any, Final

_NEVER_STARTS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Reasons of a waiting container that only a person can mend."""


def unschedulable(pod: Any) -> str | None:
    """Why no node takes the pod, none if one did or may yet."""
    for condition in pod.status.conditions or []:
        if (
            condition.type == "PodScheduled"
            and condition.status == "False"
            and condition.reason == "Unschedulable"
        ):
            return f"Unschedulable: {condition.message or 'no node takes it'}"
    return None


def never_starts(pod: Any) -> str | None:
    """Why the pod's container will never run, none if it may."""
    for container in pod.status.container_statuses or []:
        waiting = container.state.waiting if container.state else None
        if waiting is not None and waiting.reason in _NEVER_STARTS:
            return f"{waiting.reason}: {waiting.message or 'the container cannot start'}"
    return None


def ended(pod: Any) -> str | None:
    """Why the pod's container runs no more, none if it may still run."""
    if pod.status.phase not in ("Failed", "Succeeded"):
        return None
    if pod.status.reason:  # Evicted, for instance: the container only tells how it was killed
        message = f": {pod.status.message}" if pod.status.message else ""
        return f"{pod.status.reason}{message}"
    for container in pod.status.container_statuses or []:
        end = container.state.terminated if container.state else None
        if end is not None:
            return f"{end.reason or pod.status.phase} (exit code {end.exit_code})"
    return str(pod.status.phase)
