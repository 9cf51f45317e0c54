"""The errors that users see."""

from __future__ import annotations

import pickle

from env.errors import UnknownNameError


def test_suggests_the_closest_name() -> None:
    error = UnknownNameError("policy", "grace-perod", ["grace-period", "reserve-k"])
    assert str(error) == "unknown policy 'grace-perod': did you mean 'grace-period'?"


def test_lists_the_names_if_none_is_close() -> None:
    error = UnknownNameError("policy", "xyz", ["b", "a"])
    assert str(error) == "unknown policy 'xyz': known: a, b"


def test_survives_the_way_from_a_worker_process() -> None:
    error = UnknownNameError("movie", "bbb_11.mp4", ["bbb_1.mp4"])
    copy = pickle.loads(pickle.dumps(error))  # our own bytes
    assert type(copy) is UnknownNameError
    assert (str(copy), copy.kind, copy.name, copy.known) == (
        str(error),
        "movie",
        "bbb_11.mp4",
        ["bbb_1.mp4"],
    )
