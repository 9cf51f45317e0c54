"""Whatever somebody sends: one line that a log, a database and a terminal can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.text import MOST_MESSAGE, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain words, ü and 日本語 🎬", "plain words, ü and 日本語 🎬"),
        ("a\0b", "a b"),
        ("two\nlines\r\n\tand a tab", "two lines and a tab"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;the title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("an escape alone \x1b", "an escape alone"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("a\u2028b\u2029c", "a b c"),
        ("half a pair \ud800.", "half a pair ."),
        ("  blanks   around  ", "blanks around"),
        ("\x7f\x80\x9f", ""),
        ("", ""),
    ],
)
def test_what_is_left(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_what_is_too_long_is_cut_and_shows_it() -> None:
    assert clean("x" * MOST_MESSAGE) == "x" * MOST_MESSAGE
    cut = clean("x" * 10_000_000)
    assert len(cut) == MOST_MESSAGE
    assert cut.endswith("x…")
    assert clean("ab", 1) == "…"


@given(st.text(st.characters(), max_size=200), st.integers(1, 60))
def test_always_one_printable_line_that_cleaning_leaves_alone(text: str, most: int) -> None:
    cleaned = clean(text, most)
    assert len(cleaned) <= most
    assert cleaned.isprintable()
    assert cleaned == cleaned.strip()
    cleaned.encode("utf-8")
    assert clean(cleaned, most) == cleaned
