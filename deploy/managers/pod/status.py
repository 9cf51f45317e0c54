"""What a pod's status means for its worker."""

from __future__ import annotations

import re
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

_SECRET_MISSING: Final = re.compile(r'secret "[^"]*" not found')
"""The kubelet's words."""


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
        if waiting is None or waiting.reason not in _NEVER_STARTS:
            continue
        # The Secret is made right after the pod: the node looks for it again.
        if not _SECRET_MISSING.search(waiting.message or ""):
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
