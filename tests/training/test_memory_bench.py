"""The lap of memory."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

from training.benchmarks.memory import CENTRES, DayMemory, day_memory


def test_what_few_days_take_tells_what_thousands_do() -> None:
    found = DayMemory(days=4, requests=4000, bytes=4 * 2**20)
    assert found.gib == pytest.approx(CENTRES / 1024)
    assert found.request_bytes == pytest.approx(1048.576)
    assert found.to_dict()["gib"] == found.gib


def test_days_are_whole_and_the_process_grows_with_them() -> None:
    found = day_memory(12)
    assert found.requests / found.days == pytest.approx(13_700, rel=0.05)
    assert found.bytes > 26 * found.requests  # the rows alone take twice that
