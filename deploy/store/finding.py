"""Finding jobs by their state, labels and time of arrival, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Row, func, select

from deploy.store.records import WebhookRecord, WebhookState
from deploy.store.schema import jobs, labels, webhooks


class UnknownJobError(LookupError):
    """A list cannot go on after an id that is not in it."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are wanted.

    Attributes:
        limit: most jobs.
        after: the id before the first one; empty: from the start.
        offset: how many to pass over.
        states: one of them; none: any.
        labels: all of them.
        since: received then or later, seconds since the epoch.
        before: received earlier, seconds since the epoch.
        newest_first: in the reverse order of arrival.
    """

    limit: int
    after: str = ""
    offset: int = 0
    states: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    before: float | None = None
    newest_first: bool = False


def find(
    connection: Connection, wanted: JobQuery
) -> tuple[Sequence[Row[tuple[object, ...]]], bool]:
    """The rows of the jobs that are wanted, and whether there are more after them.

    Raises:
        UnknownJobError: there is no job `after`.
    """
    number = jobs.c.number
    query = select(jobs).order_by(number.desc() if wanted.newest_first else number)
    if wanted.states:
        query = query.where(jobs.c.state.in_(wanted.states))
    for name, value in wanted.labels.items():
        with_it = select(labels.c.request_id).where(labels.c.name == name, labels.c.value == value)
        query = query.where(jobs.c.request_id.in_(with_it))
    if wanted.since is not None:
        query = query.where(jobs.c.time_received >= wanted.since)
    if wanted.before is not None:
        query = query.where(jobs.c.time_received < wanted.before)
    if wanted.after:
        where = select(number).where(jobs.c.request_id == wanted.after)
        last = connection.execute(where).scalar()
        if last is None:
            raise UnknownJobError(f"there is no {wanted.after!r} after which the list could go on")
        query = query.where(number < last if wanted.newest_first else number > last)
    if wanted.offset:
        query = query.offset(wanted.offset)
    rows = connection.execute(query.limit(wanted.limit + 1)).all()
    return rows[: wanted.limit], len(rows) > wanted.limit


def labels_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The labels of some jobs, by id; those that have none are left out."""
    mine = labels.c.request_id.in_(list(job_ids))
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(select(labels).where(mine).order_by(labels.c.name))
    for row in rows:
        found.setdefault(row.request_id, {})[row.name] = row.value
    return found


def due_webhooks(
    connection: Connection, now: float, limit: int
) -> tuple[list[WebhookRecord], float | None]:
    """The webhooks that are to be tried now, the longest due first; if none, when the next is."""
    waiting = webhooks.c.state == WebhookState.WAITING
    query = select(webhooks).where(waiting, webhooks.c.next_at <= now)
    rows = connection.execute(query.order_by(webhooks.c.next_at).limit(limit)).mappings()
    due = [WebhookRecord(**{**row, "state": WebhookState(row["state"])}) for row in rows]
    if due:
        return due, None
    return [], connection.execute(select(func.min(webhooks.c.next_at)).where(waiting)).scalar()
