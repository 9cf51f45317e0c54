"""What a client may wish for a job beside the contract's fields, as JSON."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from deploy.job_bounds import LABEL_NAME, MOST_LABEL_VALUE, MOST_LABELS, MOST_URL
from deploy.rest.moments import AwareMoment
from deploy.urgency import Priority

_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"

LabelName = Annotated[str, StringConstraints(pattern=f"^{LABEL_NAME}$")]
LabelValue = Annotated[
    str, StringConstraints(max_length=MOST_LABEL_VALUE, pattern=_PRINTABLE, strict=True)
]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=MOST_LABELS)]


class JobOptions(BaseModel):
    """Wishes; all of them may be left out."""

    model_config = ConfigDict(extra="forbid")

    labels: Annotated[
        Labels,
        Field(
            description="Names and values by which jobs are found: see `label` at `GET /jobs`.",
            examples=[{"team": "news"}],
        ),
    ] = {}
    priority: Annotated[
        Priority,
        Field(
            description="`high` counts as if the job had waited half an hour longer, `low` as if "
            "half an hour less; so nobody waits for ever."
        ),
    ] = "normal"
    deadline: Annotated[
        AwareMoment | None,
        Field(
            description="When it should be complete. As that comes near the job goes before "
            "others; it is done all the same if it is late.",
            examples=["2026-11-30T18:00:00Z"],
        ),
    ] = None
    webhook: Annotated[
        str | None,
        Field(
            max_length=MOST_URL,
            pattern=r"^https?://[\x21-\x7e]+$",
            description="Is sent a POST when the job has ended: `job.ended` with the job's id, "
            "state and error, signed in `DaCirco-Signature`. Only where the operator has set a "
            "secret; public hosts, and those that the operator allows.",
            examples=["https://client.example.com/hooks/dacirco"],
        ),
    ] = None
