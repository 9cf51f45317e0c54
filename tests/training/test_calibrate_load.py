"""The load of nodes, and the slow-down that follows from it."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.config import load_profile
from training.calibration.crowding import Crowding, knees
from training.calibration.node_load import LoadHistory, Pieces, loads, node_histories, speedup
from training.calibration.observations import tidy

MOMENTS = st.integers(0, 400).map(lambda i: i / 4)
INTERVALS = st.lists(
    st.tuples(MOMENTS, st.integers(1, 100).map(lambda i: i / 4), st.sampled_from([0.5, 1.0, 2.0])),
    min_size=1,
    max_size=12,
)


def pieces(*parts: tuple[float, float]) -> Pieces:
    return Pieces(np.array([p[0] for p in parts]), np.array([p[1] for p in parts]))


@given(INTERVALS, MOMENTS, st.integers(1, 200).map(lambda i: i / 4))
def test_load_integrates_to_the_overlap_of_its_intervals(
    intervals: list[tuple[float, float, float]], start: float, length: float
) -> None:
    starts, lengths, weights = (np.array(column) for column in zip(*intervals, strict=True))
    cut = LoadHistory(starts, starts + lengths, weights).between(start, start + length)
    overlap = np.minimum(starts + lengths, start + length) - np.maximum(starts, start)
    assert cut.seconds.sum() == pytest.approx(length)
    assert (cut.seconds > 0).all()
    total = float((cut.seconds * cut.load).sum())
    assert total == pytest.approx(float((np.maximum(overlap, 0) * weights).sum()), abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 12)), min_size=1, max_size=8),
    st.floats(0.0, 1.0),
    st.floats(0.5, 6),
)
def test_derivative_of_the_slowdown(
    parts: list[tuple[float, float]], slope: float, knee: float
) -> None:
    crowding, step = Crowding(knee, cores=6.0), 1e-6
    _, derivative = crowding.log_slowdown([pieces(*parts)], slope)
    above, _ = crowding.log_slowdown([pieces(*parts)], slope + step)
    below, _ = crowding.log_slowdown([pieces(*parts)], slope - step)
    assert derivative[0] == pytest.approx((above - below)[0] / (2 * step), abs=1e-4)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 50), st.floats(0, 12), st.sampled_from([4.0, 8.0])),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.0, 1.0),
)
def test_derivative_of_the_throttled_time(
    parts: list[tuple[float, float, float]], log_throttle: float
) -> None:
    seconds, load, limits = (np.array(column) for column in zip(*parts, strict=True))
    cut = Pieces(seconds, load, limits)
    crowding, step = Crowding(3.0, cores=6.0, slope=0.1), 1e-6
    value, derivative = crowding.log_throttled([cut], log_throttle)
    above, _ = crowding.log_throttled([cut], log_throttle + step)
    below, _ = crowding.log_throttled([cut], log_throttle - step)
    assert derivative[0] == pytest.approx((above - below)[0] / (2 * step), abs=1e-4)
    plain, _ = Crowding(3.0, cores=6.0).log_slowdown([cut], 0.1)
    assert 0.0 <= value[0] - plain[0] <= log_throttle + 1e-9
    if (limits <= 6).all():
        assert value[0] - plain[0] == pytest.approx(log_throttle)
    if (limits > 6).all():
        assert value[0] == pytest.approx(plain[0])


def test_the_limits_of_the_transcodes_on_a_node_add_up() -> None:
    starts, ends = np.array([0.0, 4.0]), np.array([10.0, 6.0])
    cut = LoadHistory(starts, ends, np.ones(2), np.array([4.0, 0.5])).between(0.0, 10.0)
    assert cut.limits is not None
    assert cut.seconds.tolist() == [4.0, 2.0, 4.0]
    assert cut.limits.tolist() == [4.0, 4.5, 4.0]


def test_slowdown_under_a_constant_load_is_the_profiles_law() -> None:
    crowded = Crowding(3.0, cores=6.0)
    value, derivative = crowded.log_slowdown([pieces((10, 5)), pieces((10, 8))], 0.1)
    assert value[0] == pytest.approx(0.2)
    assert derivative[0] == pytest.approx(2.0)
    assert value[1] == pytest.approx(0.5 + log(8 / 6))


def test_slowdown_weighs_progress_not_time() -> None:
    # Half the time at full speed and half at half speed: 3/4 of the work is done.
    value, _ = Crowding(3.0).log_slowdown([pieces((10, 1), (10, 4))], log(2))
    assert exp(value[0]) == pytest.approx(4 / 3)


def test_slowdown_is_limited() -> None:
    value, _ = Crowding(3.0, limit=2.5).log_slowdown([pieces((10, 9))], 1.0)
    assert exp(value[0]) == pytest.approx(2.5)


def test_knees_are_loads_that_enough_steps_exceed() -> None:
    steps = [pieces((10, 2)), pieces((10, 3)), pieces((10, 3)), pieces((10, 5))]
    assert knees(steps, least=2) == [1.0, 2.0]
    assert knees(steps, least=1, limit=3.0) == [1.0, 2.0, 3.0]
    assert knees([], least=1) == []


def test_speedup_by_size() -> None:
    law = load_profile("openstack").timing.transcode
    gain = speedup(np.array([0.5, 1.0, 4.0, 4.0]), np.array([1.0, 1.0, 1.0, 4.0]), law)
    assert gain[:2].tolist() == [0.5, 1.0]
    assert gain[2] == pytest.approx(4**law.parallel_exponent)
    assert gain[3] > gain[2]
    # The frame size of a task whose request is in another log is not known.
    assert speedup(np.array([1.0]), np.array([np.nan]), law).tolist() == [1.0]


def test_a_nodes_load_counts_boots_and_unfinished_transcodes() -> None:
    law = load_profile("openstack").timing.transcode
    place = {"run": "r", "node": "n", "vcpus": 1.0, "width": 1920, "height": 1080}
    tasks = pd.DataFrame(
        [
            place | {"worker": "a", "t_tc_start": 20.0, "t_upld_start": 50.0},
            place | {"worker": "b", "t_tc_start": 30.0},  # runs until its worker stops
            place | {"worker": "c", "t_tc_start": 35.0, "t_failed": 40.0},
        ]
    )
    workers = pd.DataFrame(
        [
            place | {"worker": "a", "t_created": 0.0, "t_available": 20.0},
            place | {"worker": "b", "t_created": 10.0, "t_available": 30.0, "t_stopped": 60.0},
            place | {"worker": "d", "t_created": 55.0},  # still boots when the run ends
        ]
    )
    histories = node_histories(tidy(tasks, workers), law, boot_load=1.0)
    cut = histories["r", "n"].between(0.0, 60.0)
    assert cut.seconds.tolist() == [10, 10, 10, 5, 5, 10, 5, 5]
    assert cut.load.tolist() == [1, 2, 2, 2, 3, 2, 1, 2]
    rows = pd.DataFrame({"run": "r", "node": ["n", ""], "from": 20.0, "to": 40.0})
    known, unknown = loads(histories, rows, "from", "to")
    assert known.mean_load == pytest.approx(2.25)
    assert unknown.mean_load == 1.0
    calm = node_histories(tidy(tasks, workers), law, boot_load=0.0)
    assert calm["r", "n"].between(0.0, 20.0).mean_load == 0.0
