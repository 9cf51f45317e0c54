from __future__ import annotations

from dataclasses import replace

import pytest

from agents.breaker import Breaker, BreakerLimits, BreakerState
from env.errors import DaCircoError

LIMITS = BreakerLimits(failures=3, window_s=10.0, cool_down_s=30.0, trials=2)
CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def fail_at(breaker: Breaker, *times: float) -> BreakerState:
    for time_s in times:
        assert breaker.allows(time_s)
        breaker.failed(time_s)
    return breaker.state


def test_opens_at_so_many_failures_within_the_window() -> None:
    assert fail_at(Breaker(LIMITS), 0.0, 5.0) is CLOSED
    assert fail_at(Breaker(LIMITS), 0.0, 5.0, 10.0) is OPEN
    assert fail_at(Breaker(LIMITS), 0.0, 5.0, 10.1) is CLOSED
    assert fail_at(Breaker(LIMITS), 0.0, 5.0, 10.1, 15.0) is OPEN


def test_failures_at_one_instant_count_once() -> None:
    assert fail_at(Breaker(LIMITS), 0.0, 0.0, 0.0, 0.0, 1.0) is CLOSED


def test_successes_do_not_hide_failures_while_it_is_closed() -> None:
    breaker = Breaker(LIMITS)
    for time_s in (0.0, 1.0, 2.0):
        breaker.succeeded()
        breaker.failed(time_s)
    assert breaker.state is OPEN


def test_stays_open_for_the_cool_down_then_tries() -> None:
    breaker = Breaker(LIMITS)
    fail_at(breaker, 0.0, 1.0, 2.0)
    assert breaker.retry_at == 32.0
    assert not breaker.allows(31.9)
    assert breaker.state is OPEN
    assert breaker.allows(32.0)
    assert breaker.state is HALF_OPEN
    assert breaker.retry_at is None


def test_closes_after_enough_trials_and_has_forgotten() -> None:
    breaker = Breaker(LIMITS)
    fail_at(breaker, 0.0, 1.0, 2.0)
    assert breaker.allows(32.0)
    breaker.succeeded()
    assert breaker.state is HALF_OPEN
    breaker.succeeded()
    assert breaker.state is CLOSED
    assert fail_at(breaker, 33.0, 34.0) is CLOSED


def test_one_failure_on_trial_opens_it_again_for_the_whole_cool_down() -> None:
    breaker = Breaker(LIMITS)
    fail_at(breaker, 0.0, 1.0, 2.0)
    assert breaker.allows(40.0)
    breaker.succeeded()
    breaker.failed(41.0)
    assert (breaker.state, breaker.retry_at, breaker.opened) == (OPEN, 41.0 + 60.0, 2)


def test_the_cool_down_doubles_with_each_failed_trial_up_to_a_limit() -> None:
    breaker = Breaker(replace(LIMITS, cool_down_limit_s=100.0))
    fail_at(breaker, 0.0, 1.0, 2.0)
    waits = []
    for _ in range(4):
        opened_at = breaker.retry_at
        assert opened_at is not None
        fail_at(breaker, opened_at)
        assert breaker.retry_at is not None
        waits.append(breaker.retry_at - opened_at)
    assert waits == [60.0, 100.0, 100.0, 100.0]
    assert breaker.allows(1e4)
    breaker.succeeded()
    breaker.succeeded()
    assert fail_at(breaker, 2e4, 2e4 + 1, 2e4 + 2) is OPEN
    assert breaker.retry_at == 2e4 + 2 + 30.0


@pytest.mark.parametrize(
    "key", ["failures", "window_s", "cool_down_s", "cool_down_limit_s", "trials"]
)
def test_limits_that_make_no_sense(key: str) -> None:
    with pytest.raises(DaCircoError, match=key):
        BreakerLimits(**{key: 0})
