"""The numbers of both generations, against the contract's tables."""

from __future__ import annotations

import pytest

from deploy.grpc_api.dialect import DIALECTS, DialectName
from deploy.store.records import WorkerStatus
from tests.deploy.compatibility.wire import worker_not_found, worker_words

BOTH: tuple[DialectName, ...] = ("2022", "2024")


@pytest.mark.parametrize("name", BOTH)
def test_the_numbers_are_the_tables(name: DialectName) -> None:
    dialect = DIALECTS[name]
    assert dict(dialect.state_of) == worker_words(name)
    assert dialect.not_found == worker_not_found(name)


@pytest.mark.parametrize("name", BOTH)
def test_every_state_of_a_worker_has_a_number(name: DialectName) -> None:
    dialect = DIALECTS[name]
    for state in set(WorkerStatus) - {WorkerStatus.DRAINING}:
        word = dialect.state_of[dialect.number_of(state)]
        assert word in (state, "Busy")
        assert (word == "Busy") <= (name == "2024")


def test_a_state_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="Dancing"):
        DIALECTS["2024"].number_of("Dancing")
