"""Short words for people."""

from __future__ import annotations

import pytest

from env.labels import clock, describe_preference, flavor_letters


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00:00"), (59.9, "0:00:59"), (3661.0, "1:01:01"), (90000.0, "25:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        (["s10.tiny", "s10.small", "s10.medium"], "tsm"),
        (["m1.small", "m1.medium", "m1.massive"], "sma"),
        (["a", "A", "a.a"], "abc"),
        (["1", "2"], "ab"),
    ],
)
def test_flavor_letters(names: list[str], letters: str) -> None:
    assert flavor_letters(names) == list(letters)


@pytest.mark.parametrize(
    ("preference", "text"),
    [(0.1, "w = 0.10 (lean)"), (0.5, "w = 0.50 (balanced)"), (0.9, "w = 0.90 (fast)")],
)
def test_describe_preference(preference: float, text: str) -> None:
    assert describe_preference(preference) == text
