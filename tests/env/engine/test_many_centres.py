"""Data centres side by side: copies, shared episodes, rows that grow, traces that fill up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from env.catalog import load_catalog
from env.config import load_profile
from env.engine import compiling
from env.engine import layout as at
from env.engine.engine import Engine
from env.engine.episode import EpisodeData, prepare, prepare_episode
from env.episodes import family_episodes
from env.errors import DaCircoError, UnknownNameError
from tests.env.worlds import make_profile, make_work


def work(n: int, *, max_jobs: float = np.inf, trace: bool = True) -> EpisodeData:
    requests, catalog = make_work([2.0 * i for i in range(n)], [5.0 + i % 3 for i in range(n)])
    profile = make_profile(tick_s=5.0, timing={"boot": {"sigma": 0.1}, "stop": {"median_s": 1.0}})
    return prepare(profile, requests, catalog, seed=4, max_jobs=max_jobs, trace=trace)


def play(engine: Engine, d: int, decisions: int) -> bool:
    """A worker for each waiting job, an end for each idle one; whether it goes on."""
    for _ in range(decisions):
        if not engine.advance(d):
            return False
        while engine.i[d, at.WAITING] > engine.i[d, at.N_BOOTING] and engine.apply(d, 1):
            pass
        if engine.i[d, at.WAITING] == 0:
            engine.apply(d, 4)
    return True


def test_a_copy_goes_on_like_its_source_and_another_key_makes_another_future() -> None:
    engine = Engine(3)
    engine.load(0, work(30))
    play(engine, 0, 20)
    engine.follow(0, [1, 2])
    engine.i[2, at.KEY_LOW] ^= 77
    for d in range(3):
        assert not play(engine, d, 1000)
    first, same, other = (engine.metrics(d) for d in range(3))
    assert first == same
    assert first.completed == 30
    assert other.cost != first.cost
    assert len(engine.ef) == 1  # they share the episode


def test_data_centres_do_not_disturb_each_other_and_rows_grow() -> None:
    alone = Engine(1)
    alone.load(0, work(12))
    play(alone, 0, 1000)
    engine = Engine(2)
    engine.load(0, work(12))
    play(engine, 0, 7)
    engine.load(1, work(60))  # longer rows, in the midst of the other's run
    for _ in range(400):
        play(engine, 0, 1)
        play(engine, 1, 1)
    assert engine.metrics(0) == alone.metrics(0)
    assert engine.metrics(1).completed == 60


def test_an_episode_that_nobody_plays_leaves_its_place_to_the_next() -> None:
    engine = Engine(2)
    for _ in range(5):
        engine.load(0, work(3, trace=False))
        engine.load(1, work(4, trace=False))
    assert len(engine.ef) == 2


def test_the_trace_is_taken_out_before_it_is_full() -> None:
    engine = Engine(1)
    data = work(400)
    engine.load(0, data)
    assert not play(engine, 0, 10_000)
    assert engine.metrics(0).completed == 400
    assert data.ints[at.TRACE_SIZE] // 2 < 2 * 400  # it was longer than the room


def test_an_overfull_queue_is_an_error_and_no_memory_is_overwritten() -> None:
    engine = Engine(1)
    engine.load(0, work(30, max_jobs=3.0))
    while engine.i[0, at.WAITING] < 5:  # room for two more than max_jobs
        engine.advance(0)
    with pytest.raises(DaCircoError, match="more jobs than max_jobs"):
        _until_the_next_arrival(engine)


def _until_the_next_arrival(engine: Engine) -> None:
    before = engine.i[0, at.ARRIVED]
    while engine.i[0, at.ARRIVED] == before:
        engine.advance(0)


def test_bad_input_is_told() -> None:
    requests, catalog = make_work([3.0, 1.0], [1.0, 1.0])
    profile = make_profile()
    with pytest.raises(ValueError, match="not in order of arrival"):
        prepare(profile, requests, catalog)
    with pytest.raises(UnknownNameError, match="discipline"):
        prepare(profile, [], catalog, discipline="none")
    with pytest.raises(ValueError, match="limit_s 0"):
        prepare(profile, [], catalog, limit_s=0.0)
    with pytest.raises(DaCircoError, match="at least one data centre"):
        Engine(0)
    with pytest.raises(DaCircoError, match="plays nothing"):
        Engine(1).metrics(0)
    huge = make_profile(nodes=((1_000_000, 16.0),), cluster={"vcpu_overcommit": 10.0})
    with pytest.raises(DaCircoError, match="more than the engine counts"):
        prepare(huge, [], catalog)


def test_metrics_need_a_trace() -> None:
    engine = Engine(1)
    engine.load(0, work(2, trace=False))
    with pytest.raises(DaCircoError, match="trace=True"):
        engine.metrics(0)


def test_a_home_data_centre_is_small() -> None:
    data = prepare(load_profile("openstack"), [], load_catalog(), max_jobs=90.0)
    assert 8 * data.size_f + 4 * data.size_i < 5_000


def test_thousands_of_different_days_fit_in_four_gib() -> None:
    """4096 data centres at half load, each with arrivals of its own."""
    sample = family_episodes(load_profile("openstack"), "poisson", 0.5, 7200.0)
    data = prepare_episode(sample(np.random.default_rng(0)), max_jobs_per_core=5.0)
    jobs = len(data.requests)
    assert jobs > 900
    a_job = (data.nbytes - data.handed_over().nbytes) / jobs
    assert a_job == 56
    day = (
        data.handed_over().nbytes + 8 * data.size_f + 4 * data.size_i + 12 * jobs * (a_job + 1 / 8)
    )
    assert 4096 * day < 4 * 2**30 * 0.8


def test_an_engine_to_which_data_are_handed_over_keeps_no_second_copy() -> None:
    kept, handed = Engine(1), Engine(1)
    kept.load(0, work(30, trace=False))
    data = work(30, trace=False)
    handed.load(0, data, hand_over=True)
    for engine in (kept, handed):
        assert not play(engine, 0, 1000)
    assert np.array_equal(kept.f, handed.f)
    light = handed.episode(0)
    assert len(light.requests) == 0
    assert light.nbytes < data.nbytes / 2
    assert (light.limit_s, light.last_s, light.n_flavors) == (data.limit_s, 58.0, data.n_flavors)
    with pytest.raises(DaCircoError, match="handed over"):
        Engine(1).load(0, light)


def test_traced_data_that_are_handed_over_still_give_metrics() -> None:
    kept, handed = Engine(1), Engine(1)
    kept.load(0, work(30))
    handed.load(0, work(30), hand_over=True)
    for engine in (kept, handed):
        assert not play(engine, 0, 1000)
    assert kept.metrics(0) == handed.metrics(0)


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    dispatcher = type(compiling._jit(lambda x: x))
    monkeypatch.setattr(dispatcher, "enable_caching", nowhere)

    def twice(x: int) -> int:
        return 2 * x

    assert compiling.entry(twice)(21) == 42


def test_the_stamp_changes_with_any_source(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1\n")
    two.write_text("a = 2\n")
    assert compiling._contents(one) != compiling._contents(two)
    assert compiling._contents(one) == compiling._contents(one)
