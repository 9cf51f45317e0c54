"""Transcodes and boots that share a node, against an integration in small steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import simpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from env.config import BootTiming, ContentionTiming
from env.contention import SharedNode

CORES = 4
NONE = ContentionTiming(boot_load=0.0)
SLOPE = ContentionTiming(knee_share=0.5, slope_per_core=0.2, boot_load=1.0)
BOOT = BootTiming(median_s=1.0, crowd_knee_share=0.75, crowd_slope=0.3, crowd_limit=2.0)


class Bench:
    """A node on which work is started, given up and crowded at given times."""

    def __init__(self, law: ContentionTiming, boot: BootTiming = BOOT, cores: int = CORES) -> None:
        self.env = simpy.Environment()
        self.ends: dict[str, float] = {}
        self.loads: dict[str, float] = {}
        self._tokens: dict[str, str] = {}
        self.node = SharedNode(self.env, cores, law, boot, self._transcoded, self._booted)

    def _transcoded(self, token: str) -> None:
        self.ends[token] = self.env.now
        self.node.change_load(-self.loads[token])

    def _booted(self, token: str) -> None:
        self.ends[token] = self.env.now

    def start(self, at_s: float, token: str, work_s: float, load: float) -> None:
        self.loads[token] = load
        self._at(at_s, lambda: self.node.start(work_s, load, self._same(token)))

    def boot(self, at_s: float, token: str, work_s: float) -> None:
        self._at(at_s, lambda: self.node.start_boot(work_s, self._same(token)))

    def give_up(self, at_s: float, token: str) -> None:
        def act() -> None:
            if token in self.ends:
                return
            if token in self.loads:
                self.node.stop(self.loads[token], self._same(token))
            else:
                self.node.stop_boot(self._same(token))

        self._at(at_s, act)

    def crowd(self, at_s: float, change: float) -> None:
        self._at(at_s, lambda: self.node.change_load(change))

    def _same(self, token: str) -> str:
        """The very object that was started: the node tells its work apart by identity."""
        return self._tokens.setdefault(token, token)

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        timeout = self.env.timeout(at_s)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: act())

    def run(self) -> dict[str, float]:
        self.env.run()
        assert self.node.load == 0.0
        return self.ends


def slowdown(law: ContentionTiming, load: float, cores: int) -> float:
    crowd = max(0.0, load - law.knee_share * cores)
    return math.exp(law.slope_per_core * crowd) * max(1.0, load / cores)


def boot_slowdown(law: BootTiming, load: float, cores: int) -> float:
    crowd = max(0.0, load - law.crowd_knee_share * cores)
    return min(law.crowd_limit, math.exp(law.crowd_slope * crowd))


# -- by hand --------------------------------------------------------------------------


def test_alone_a_transcode_takes_exactly_its_work() -> None:
    bench = Bench(NONE)
    bench.start(3.0, "a", 17.3, 1.0)
    assert bench.run() == {"a": 3.0 + 17.3}


def test_without_contention_nothing_changes_however_often_the_load_does() -> None:
    bench = Bench(NONE, cores=100)
    for i in range(50):
        bench.start(0.5 * i, f"t{i}", 10.0 + i, 1.4)
    ends = bench.run()
    assert ends == pytest.approx({f"t{i}": 10.0 + 1.5 * i for i in range(50)}, rel=1e-12)


def test_cores_are_shared_once_the_load_exceeds_them() -> None:
    # 5 vCPUs on 4 cores: all run at 4/5 of their speed until the short one ends at 12.5.
    bench = Bench(NONE)
    for token in "abcd":
        bench.start(0.0, token, 20.0, 1.0)
    bench.start(0.0, "e", 10.0, 1.0)
    assert bench.run() == pytest.approx({**dict.fromkeys("abcd", 22.5), "e": 12.5})


def test_progress_slows_beyond_the_knee_and_recovers() -> None:
    # Knee at 2: the third job slows all by exp(0.2) while it runs, work 10 of each.
    bench = Bench(SLOPE)
    bench.start(0.0, "a", 30.0, 1.0)
    bench.start(0.0, "b", 30.0, 1.0)
    bench.start(10.0, "c", 10.0, 1.0)
    slow = 10.0 * math.exp(0.2)
    assert bench.run() == pytest.approx({"a": 20 + slow, "b": 20 + slow, "c": 10 + slow})


def test_both_slowdowns_multiply() -> None:
    node = Bench(SLOPE).node
    assert node.slowdown(0.0) == 1.0
    assert node.slowdown(2.0) == 1.0
    assert node.slowdown(3.0) == pytest.approx(math.exp(0.2))
    assert node.slowdown(6.0) == pytest.approx(math.exp(0.8) * 1.5)
    loads = [node.slowdown(0.1 * i) for i in range(100)]
    assert all(later >= earlier for earlier, later in pairwise(loads))


def test_a_boot_next_door_slows_a_transcode_while_it_lasts() -> None:
    bench = Bench(SLOPE)
    bench.start(0.0, "a", 20.0, 2.0)
    bench.crowd(5.0, 1.0)
    bench.crowd(10.0, -1.0)
    assert bench.run() == pytest.approx({"a": 25.0 - 5.0 * math.exp(-0.2)})


def test_a_transcode_that_is_given_up_frees_the_others() -> None:
    bench = Bench(NONE, cores=1)
    bench.start(0.0, "a", 10.0, 1.0)
    bench.start(0.0, "b", 10.0, 1.0)
    bench.give_up(4.0, "a")
    assert bench.run() == pytest.approx({"b": 12.0})


def test_the_next_to_end_may_be_given_up() -> None:
    bench = Bench(NONE)
    bench.start(0.0, "short", 5.0, 1.0)
    bench.start(0.0, "long", 9.0, 1.0)
    bench.give_up(4.0, "short")
    assert bench.run() == {"long": 9.0}


def test_transcodes_that_end_together_all_end() -> None:
    bench = Bench(SLOPE)
    for token in "abcdefgh":
        bench.start(1.0, token, 4.0, 1.4)
    ends = bench.run()
    assert sorted(ends) == list("abcdefgh")
    factor = slowdown(SLOPE, 8 * 1.4, CORES)
    assert ends == pytest.approx(dict.fromkeys("abcdefgh", 1.0 + 4.0 * factor))


def test_a_transcode_without_work_ends_at_once() -> None:
    bench = Bench(SLOPE)
    bench.start(2.0, "a", 0.0, 1.0)
    bench.start(2.0, "b", 3.0, 1.0)
    assert bench.run() == {"a": 2.0, "b": 5.0}


def test_a_boot_is_slowed_by_the_boots_beside_it() -> None:
    # Knee at 3 of 4 cores: four boots run exp(0.3) slower until the short one ends.
    bench = Bench(SLOPE)
    for token in "abc":
        bench.boot(0.0, token, 20.0)
    bench.boot(0.0, "d", 10.0)
    slow = 10.0 * math.exp(0.3)
    assert bench.run() == pytest.approx({**dict.fromkeys("abc", slow + 10.0), "d": slow})


def test_a_boot_is_slowed_only_up_to_the_limit() -> None:
    bench = Bench(SLOPE)
    for i in range(40):
        bench.boot(0.0, f"b{i}", 10.0)
    assert bench.run() == pytest.approx({f"b{i}": 20.0 for i in range(40)})


def test_boots_and_transcodes_slow_one_another_by_their_own_laws() -> None:
    # 1 boot and 3 vCPUs of transcoding: load 4. The transcode suffers exp(0.2 * 2), the boot
    # exp(0.3 * 1); when the boot has ended the transcode suffers exp(0.2) of 3 vCPUs.
    bench = Bench(SLOPE)
    bench.start(0.0, "t", 30.0, 3.0)
    bench.boot(0.0, "b", 10.0)
    booted = 10.0 * math.exp(0.3)
    rest = 30.0 - booted * math.exp(-0.4)
    assert bench.run() == pytest.approx({"b": booted, "t": booted + rest * math.exp(0.2)})


def test_a_boot_that_is_given_up_frees_the_others() -> None:
    bench = Bench(SLOPE)
    for token in "abcd":
        bench.boot(0.0, token, 10.0)
    bench.give_up(math.exp(0.3) * 5.0, "d")
    assert bench.run() == pytest.approx(dict.fromkeys("abc", math.exp(0.3) * 5.0 + 5.0))


# -- against small steps --------------------------------------------------------------

STEP_S = 1 / 64
"""Starts, stops and loads change on this grid; within a step only ends come."""

MOMENTS = st.integers(0, 20 * 64).map(lambda n: n * STEP_S)
LOADS = st.integers(1, 30).map(lambda n: n / 10)


@dataclass(frozen=True)
class Work:
    """A transcode, or a boot (no load of its own); given up `patience` after its start."""

    start: float
    work: float
    load: float | None
    patience: float | None


WORKS = st.lists(
    st.builds(Work, MOMENTS, st.floats(0.1, 20.0), st.none() | LOADS, st.none() | MOMENTS),
    min_size=1,
    max_size=9,
)
CROWDS = st.lists(st.tuples(MOMENTS, MOMENTS, LOADS), max_size=3)
LAWS = st.builds(
    ContentionTiming,
    knee_share=st.floats(0.0, 1.0),
    slope_per_core=st.sampled_from([0.0, 0.1146, 0.5]),
    boot_load=st.sampled_from([0.0, 1.0, 1.5]),
)
BOOTS = st.builds(
    BootTiming,
    median_s=st.just(1.0),
    crowd_knee_share=st.floats(0.0, 1.5),
    crowd_slope=st.sampled_from([0.0, 0.3, 0.64]),
    crowd_limit=st.sampled_from([1.0, 1.5, 10.0]),
)


def small_steps(
    law: ContentionTiming,
    boot: BootTiming,
    works: list[Work],
    crowds: list[tuple[float, float, float]],
) -> dict[int, float]:
    """What is left of each piece of work is lowered step by step at the speed of the moment."""
    left = {i: work.work for i, work in enumerate(works)}
    ends: dict[int, float] = {}
    now = 0.0
    while left:
        grid = (math.floor(now / STEP_S + 1e-9) + 1) * STEP_S
        load = 0.0
        running = []
        for i in list(left):
            work = works[i]
            if now < work.start - 1e-12:
                continue
            if work.patience is not None and work.start + work.patience <= now + 1e-12:
                del left[i]
                continue
            running.append(i)
            load += law.boot_load if work.load is None else work.load
        for start, length, crowd_load in crowds:
            if start <= now + 1e-12 and now + 1e-12 < start + length:
                load += crowd_load
        if not running:
            now = grid
            continue
        factors = slowdown(law, load, CORES), boot_slowdown(boot, load, CORES)
        factor = {i: factors[works[i].load is None] for i in running}
        # To the grid, or to the next end if that comes first.
        step = min(grid - now, *(left[i] * factor[i] for i in running))
        now = grid if step >= grid - now - 1e-12 else now + step
        for i in running:
            left[i] -= step / factor[i]
            if left[i] <= 1e-9:
                ends[i] = now
                del left[i]
    return ends


@settings(deadline=None)
@given(LAWS, BOOTS, WORKS, CROWDS)
@example(
    SLOPE,
    BOOT,
    [
        Work(0.0, 10.0, 3.0, None),
        Work(0.0, 10.0, 3.0, 2.0),
        Work(1.0, 5.0, 2.0, None),
        Work(1.0, 5.0, None, None),
        Work(2.0, 5.0, None, 3.0),
    ],
    [],
)
def test_against_an_integration_in_small_steps(
    law: ContentionTiming,
    boot: BootTiming,
    works: list[Work],
    crowds: list[tuple[float, float, float]],
) -> None:
    bench = Bench(law, boot)
    for i, work in enumerate(works):
        if work.load is None:
            bench.boot(work.start, str(i), work.work)
        else:
            bench.start(work.start, str(i), work.work, work.load)
        if work.patience is not None:
            bench.give_up(work.start + work.patience, str(i))
    for start, length, load in crowds:
        bench.crowd(start, load)
        bench.crowd(start + length, -load)
    ends = {int(token): end for token, end in bench.run().items()}
    expected = small_steps(law, boot, works, crowds)
    # What ends within rounding of the moment when it is given up may do either.
    for i in set(ends) ^ set(expected):
        work = works[i]
        assert work.patience is not None
        moment = work.start + work.patience
        assert ends.get(i, expected.get(i)) == pytest.approx(moment, abs=1e-6)
    both = set(ends) & set(expected)
    assert {i: ends[i] for i in both} == pytest.approx({i: expected[i] for i in both}, abs=1e-6)
