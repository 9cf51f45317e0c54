"""Jobs are found, keys are unique and webhooks come due, in both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from deploy.store.finding import JobQuery
from deploy.store.records import (
    JobChange,
    JobRecord,
    JobState,
    LabelRecord,
    WebhookChange,
    WebhookRecord,
    WebhookState,
)
from deploy.store.store import Store, UnknownIdError


@pytest.fixture
def store(any_url: str) -> Iterator[Store]:
    opened = Store(any_url)
    yield opened
    opened.close()


def job(name: str, received: float, key: str | None = None) -> JobRecord:
    return JobRecord(name, "a.mp4", "out-a.mp4", 1000, "fast", received, idempotency_key=key)


def found(store: Store, **wanted: object) -> tuple[list[str], bool]:
    records, more = store.find_jobs(JobQuery(**{"limit": 10, **wanted}))  # type: ignore[arg-type]
    return [record.request_id for record in records], more


def test_jobs_are_found_by_all_that_is_asked_at_once(store: Store) -> None:
    store.apply([job(f"j{n}", 100.0 + n) for n in range(6)])
    store.apply(
        [LabelRecord(f"j{n}", "team", "news" if n % 2 else "sport") for n in range(6)]
        + [LabelRecord("j1", "kind", "x"), LabelRecord("j2", "kind", "x")]
    )
    store.apply([JobChange("j3", {"state": JobState.CANCELLED})])
    assert found(store) == ([f"j{n}" for n in range(6)], False)
    assert found(store, limit=2) == (["j0", "j1"], True)
    assert found(store, limit=2, after="j3") == (["j4", "j5"], False)
    assert found(store, limit=2, newest_first=True, after="j4") == (["j3", "j2"], True)
    assert found(store, offset=4) == (["j4", "j5"], False)
    assert found(store, labels={"team": "news"}) == (["j1", "j3", "j5"], False)
    assert found(store, labels={"team": "news", "kind": "x"}) == (["j1"], False)
    assert found(store, states=["Cancelled"]) == (["j3"], False)
    assert found(store, states=["Waiting", "Cancelled"], since=102.0, before=104.0) == (
        ["j2", "j3"],
        False,
    )
    assert found(store, labels={"team": "news"}, states=["Waiting"], newest_first=True) == (
        ["j5", "j1"],
        False,
    )
    assert store.labels_of(["j1", "j0", "none"]) == {
        "j0": {"team": "sport"},
        "j1": {"kind": "x", "team": "news"},
    }
    with pytest.raises(UnknownIdError):
        found(store, after="none")


def test_a_key_belongs_to_one_job(store: Store) -> None:
    store.apply([job("a", 1.0, "key"), job("b", 2.0), job("c", 3.0)])
    known = store.job_of_key("key")
    assert known is not None
    assert known.request_id == "a"
    assert store.job_of_key("other") is None
    with pytest.raises(IntegrityError):
        store.apply([job("d", 4.0, "key")])
    assert store.job("d") is None


def test_webhooks_come_due_in_their_order(store: Store) -> None:
    def webhook(name: str, next_at: float) -> WebhookRecord:
        return WebhookRecord(name, "job", "http://x/", "{}", next_at)

    assert store.due_webhooks(100.0, 10) == ([], None)
    store.apply([webhook("late", 50.0), webhook("early", 10.0), webhook("future", 200.0)])
    due, next_at = store.due_webhooks(100.0, 10)
    assert ([each.event_id for each in due], next_at) == (["early", "late"], None)
    assert due[0].state is WebhookState.WAITING
    assert [each.event_id for each in store.due_webhooks(100.0, 1)[0]] == ["early"]
    store.apply([WebhookChange("early", {"state": WebhookState.DELIVERED, "tries": 1})])
    store.apply([WebhookChange("late", {"state": WebhookState.GIVEN_UP, "error": "no"})])
    assert store.due_webhooks(100.0, 10) == ([], 200.0)
