"""The query parameters by which jobs are chosen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, Query
from pydantic import StringConstraints

from deploy.job_bounds import LABEL_NAME, MOST_LABEL_VALUE, MOST_LABELS
from deploy.rest.job_calls import Filters
from deploy.rest.job_models import JobLife
from deploy.rest.moments import Moment

_LABEL_TEXT: Final = rf"^{LABEL_NAME}=[^\x00-\x1f\x7f]{{0,{MOST_LABEL_VALUE}}}$"

States = Annotated[
    list[JobLife],
    Query(
        alias="state",
        max_length=5,
        description="Only jobs in this state; give it again for more. `Cancelled` is told apart "
        "from `Error` here.",
    ),
]
LabelTexts = Annotated[
    list[Annotated[str, StringConstraints(pattern=_LABEL_TEXT)]],
    Query(
        alias="label",
        max_length=MOST_LABELS,
        description="Only jobs with this label, as NAME=VALUE; give it again for jobs that have "
        "all of them.",
        examples=["team=news"],
    ),
]
Since = Annotated[
    Moment | None,
    Query(description="Only jobs received then or later; without an offset it is UTC."),
]
Before = Annotated[Moment | None, Query(description="Only jobs received earlier.")]
NewestFirst = Annotated[bool, Query(description="In the reverse order of arrival.")]


def _filters(
    states: States = [],  # noqa: B006 - FastAPI copies defaults
    labels: LabelTexts = [],  # noqa: B006
    since: Since = None,
    before: Before = None,
    newest_first: NewestFirst = False,
) -> Filters:
    wanted: dict[str, str] = {}
    impossible = False
    for name, _, value in (text.partition("=") for text in labels):
        impossible |= wanted.setdefault(name, value) != value
    return Filters(tuple(states), wanted, _in_utc(since), _in_utc(before), newest_first, impossible)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


ChosenBy = Annotated[Filters, Depends(_filters)]
