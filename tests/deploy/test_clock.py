from __future__ import annotations

import asyncio
import time

import pytest

from deploy.clock import Clock
from env.errors import ConfigError


def test_a_clock_starts_at_the_walls_time_and_never_goes_back() -> None:
    before = time.time()
    clock = Clock()
    readings = [clock.time() for _ in range(100)]
    assert readings == sorted(readings)
    assert before - 1.0 < readings[0] < time.time() + 1.0


def test_a_faster_clock_runs_ahead_by_its_factor() -> None:
    clock, fast = Clock(), Clock(1000.0)
    start, fast_start = clock.time(), fast.time()
    asyncio.run(fast.sleep(20.0))
    passed, fast_passed = clock.time() - start, fast.time() - fast_start
    assert passed >= 0.02 - 1e-3
    assert fast_passed == pytest.approx(1000.0 * passed, rel=0.5)
    assert fast_passed >= 19.0


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        Clock(factor)
