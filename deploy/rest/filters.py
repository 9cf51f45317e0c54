"""The query parameters by which jobs are chosen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError

from deploy.job_bounds import MOST_LABEL_VALUE, MOST_LABELS
from deploy.rest.job_calls import Filters
from deploy.rest.job_models import JobLife
from deploy.rest.problems import invalid

_MOST_LABEL_TEXT = 64 + MOST_LABEL_VALUE

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
    list[Annotated[str, Query(max_length=_MOST_LABEL_TEXT)]],
    Query(
        alias="label",
        max_length=MOST_LABELS,
        description="Only jobs with this label, as NAME=VALUE; give it again for jobs that have "
        "all of them.",
        examples=["team=news"],
    ),
]
Since = Annotated[
    datetime | None,
    Query(description="Only jobs received then or later; without an offset it is UTC."),
]
Before = Annotated[datetime | None, Query(description="Only jobs received earlier.")]
NewestFirst = Annotated[bool, Query(description="In the reverse order of arrival.")]


def _filters(
    states: States = [],  # noqa: B006 - FastAPI copies defaults
    labels: LabelTexts = [],  # noqa: B006
    since: Since = None,
    before: Before = None,
    newest_first: NewestFirst = False,
) -> Filters:
    wanted: dict[str, str] = {}
    for text in labels:
        name, equals, value = text.partition("=")
        if not equals or not name or wanted.get(name, value) != value:
            words = "is not NAME=VALUE" if not equals or not name else "has two values for one name"
            raise RequestValidationError([invalid(("query", "label"), f"a label {words}", "label")])
        wanted[name] = value
    return Filters(tuple(states), wanted, _in_utc(since), _in_utc(before), newest_first)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


ChosenBy = Annotated[Filters, Depends(_filters)]
