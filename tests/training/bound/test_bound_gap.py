"""``python -m training.bound.gap`` as a user runs it."""

from __future__ import annotations

import pytest

from env.config import load_profile
from training.bound.gap import gaps, main


def test_prints_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--most-jobs", "2", "--instances", "1"]) == 0
    out = capsys.readouterr().out
    assert "over all 15 instances" in out
    assert "w = 0.9" in out


def test_no_bound_is_above_the_optimum() -> None:
    found = gaps(load_profile("openstack"), 3, 2, 4)
    shares = [share for one in found for share in one.shares]
    assert max(shares) <= 1.0
    assert min(shares) > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--most-jobs", "9"], "--most-jobs 9 is not from 2 to 6"),
        (["--seed", "-1"], "--seed -1 is below 0"),
        (["--profile", "nowhere"], "unknown profile 'nowhere'"),
        (["--instances", "0"], "'0' is not a whole number of 1 or more"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
