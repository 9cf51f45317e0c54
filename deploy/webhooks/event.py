"""What a webhook says."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

from deploy.steps import Cancelled, Failed, Step, Uploaded, Withdrawn
from deploy.store.records import JobRecord, JobState, WebhookRecord


def webhook_of(step: Step, job: JobRecord | None, moment: float) -> WebhookRecord | None:
    """The webhook that a step makes due: of a job that has ended, if its client wants one.

    Args:
        step: what has happened.
        job: whose it is, if it is a job's.
        moment: seconds since the epoch.
    """
    match step:
        case Uploaded():
            state, error = JobState.COMPLETED, None
        case Failed(reason=reason) | Withdrawn(reason=reason):
            state, error = JobState.ERROR, reason
        case Cancelled(reason=reason):
            state, error = JobState.CANCELLED, reason
        case _:
            return None
    if job is None or not job.webhook:
        return None
    event_id = str(uuid.uuid4())
    body = {
        "id": event_id,
        "event": "job.ended",
        "time": datetime.fromtimestamp(moment, UTC).isoformat(),
        "job": {
            "id": job.request_id,
            "id_video": job.input_video,
            "bitrate": job.bitrate,
            "speed": job.speed,
            "state": str(state),
            "error": error,
        },
    }
    return WebhookRecord(event_id, job.request_id, job.webhook, json.dumps(body), moment)
