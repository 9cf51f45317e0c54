"""Many data centres in Python's hands: their arrays, what they play, and their metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from env.engine import layout as at
from env.engine.compiling import entry
from env.engine.episode import EpisodeData
from env.engine.kernel import advance, apply, begin, wake_at
from env.engine.layout import Centre, Floats, Ints
from env.engine.measure import Books, History, TracedRun
from env.engine.view import noise_key_of
from env.errors import DaCircoError
from env.metrics import EpisodeMetrics, measure

_GROWTH: Final = 1.25
"""Rows are so much longer than is needed: copying them takes time."""
_SPARE: Final = 1.1
"""The same of the episodes' rows, which take more memory."""
BEGIN: Final = 0
ADVANCE: Final = 1
APPLY: Final = 2
WAKE: Final = 3
KEY: Final = 4


class Engine:
    """`n` data centres side by side, each with an episode of its own or one that they share.

    Rows grow when an episode needs longer ones: read `f`, `i`, `ef` and `ei` anew after `load`.

    Args:
        n: data centres.

    Attributes:
        f: their state, float64, shape (n, length); see `env.engine.layout`.
        i: likewise, int32.
        ef: the episodes' rows, float64, shape (episodes, length).
        ei: likewise, int32.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise DaCircoError(f"an engine has at least one data centre, not {n}")
        self.n = n
        self.f: Floats = np.zeros((n, 0))
        self.i: Ints = np.zeros((n, 0), dtype=np.int32)
        self.ef: Floats = np.zeros((0, 0))
        self.ei: Ints = np.zeros((0, 0), dtype=np.int32)
        self._playing: list[EpisodeData | None] = [None] * n
        self._slots: dict[EpisodeData, int] = {}
        self._players: dict[EpisodeData, int] = {}
        self._unused: list[int] = []
        self._histories: dict[int, History] = {}
        self._memory = (0, 0)

    @property
    def bytes(self) -> int:
        """What the arrays take."""
        return self.f.nbytes + self.i.nbytes + self.ef.nbytes + self.ei.nbytes

    def load(
        self,
        d: int,
        data: EpisodeData,
        *,
        preference: float | None = None,
        key: int | None = None,
        hand_over: bool = False,
    ) -> None:
        """Data centre d begins an episode, at time 0 and empty.

        Args:
            d: its number.
            data: of the episode; data centres that are given the same one share it.
            preference: w, where it is not the episode's.
            key: of the noise, likewise.
            hand_over: whether nobody else needs the data, and other data centres get their own:
                the engine keeps the jobs in its rows only, and what `episode` returns has none.

        Raises:
            DaCircoError: the data were handed over to an engine, and have no jobs.
        """
        self._play(d, data, hand_over=hand_over)
        operate(
            self.centre(d),
            BEGIN,
            data.key if key is None else key,
            data.preference if preference is None else preference,
        )

    @property
    def memory_ints(self) -> int:
        """Whole numbers at the end of each row that a rule may remember (`reserve`)."""
        return self._memory[1]

    def reserve(self, floats: int, ints: int) -> None:
        """Every data centre's rows have so much room at their ends for what a rule remembers.

        It is all 0 when an episode begins. Rows never become shorter.
        """
        self._memory = max(self._memory[0], floats), max(self._memory[1], ints)
        playing = [data for data in self._playing if data is not None]
        if playing:
            self._widen(max(one.size_f for one in playing), max(one.size_i for one in playing))

    def follow(self, source: int, targets: Iterable[int]) -> None:
        """Data centres become copies of another, at the moment that it has reached."""
        data = self.episode(source)
        for d in targets:
            if d == source:
                continue
            self._play(d, data)
            self.f[d] = self.f[source]
            self.i[d] = self.i[source]
            if source in self._histories:
                self._histories[d] = self._histories[source].copy()

    def episode(self, d: int) -> EpisodeData:
        """What data centre d plays.

        Raises:
            DaCircoError: nothing was loaded.
        """
        data = self._playing[d]
        if data is None:
            raise DaCircoError(f"data centre {d} plays nothing: load an episode first")
        return data

    def centre(self, d: int) -> Centre:
        """Data centre d, for compiled functions."""
        episode = self._slots[self.episode(d)]
        return Centre(self.f[d], self.i[d], self.ef[episode], self.ei[episode])

    def noise_key(self, d: int) -> int:
        """The key of data centre d's noise."""
        return operate(self.centre(d), KEY, 0, 0.0)

    def advance(self, d: int) -> bool:
        """See `Simulator.advance`; one data centre at a time is slow."""
        self.make_room(d)
        going = bool(operate(self.centre(d), ADVANCE, 0, 0.0))
        self._check(d)
        return going

    def apply(self, d: int, action: int) -> bool:
        """See `Simulator.apply`, for an action's index."""
        self.make_room(d)
        return bool(operate(self.centre(d), APPLY, action, 0.0))

    def wake_at(self, d: int, time_s: float) -> None:
        """See `Simulator.wake_at`."""
        operate(self.centre(d), WAKE, 0, time_s)

    def make_room(self, d: int) -> None:
        """Take what data centre d has traced out of its row."""
        size = int(self.centre(d).ei[at.TRACE_SIZE])
        if size:
            self._histories.setdefault(d, History()).take(self.centre(d))

    def books(self, d: int) -> Books:
        """What data centre d has counted and paid so far; any episode will do."""
        return Books(self.centre(d))

    def traced(self, d: int) -> TracedRun:
        """The run of data centre d so far, as `env.metrics` takes it.

        Raises:
            DaCircoError: its episode was not prepared with a trace.
        """
        data, s = self.episode(d), self.centre(d)
        if not s.ei[at.TRACE_SIZE]:
            raise DaCircoError("metrics need an episode that was prepared with trace=True")
        self.make_room(d)
        return TracedRun(data, s, self._histories[d])

    def metrics(self, d: int) -> EpisodeMetrics:
        """The figures of data centre d so far; see `traced`."""
        return measure(self.traced(d))

    def _check(self, d: int) -> None:
        if self.i[d, at.QUEUE_FULL]:
            raise DaCircoError(
                f"data centre {d} has more jobs than max_jobs: it should have been ended"
            )

    def _play(self, d: int, data: EpisodeData, *, hand_over: bool = False) -> None:
        before = self._playing[d]
        if before is not data:
            if before is not None:
                self._leave(before)
            if data not in self._slots:
                slot = self._write(data, self.n if hand_over else 1)
                data = data.handed_over() if hand_over else data
                self._slots[data] = slot
            self._players[data] = self._players.get(data, 0) + 1
            self._playing[d] = data
        self._widen(data.size_f, data.size_i)
        self.i[d, at.EPISODE] = self._slots[data]
        self._histories.pop(d, None)

    def _widen(self, size_f: int, size_i: int) -> None:
        """Rows of an episode of these lengths and a rule's memory find room."""
        self.f = _wider(self.f, size_f + self._memory[0])
        self.i = _wider(self.i, size_i + self._memory[1])

    def _leave(self, data: EpisodeData) -> None:
        self._players[data] -= 1
        if not self._players[data]:
            del self._players[data]
            self._unused.append(self._slots.pop(data))

    def _write(self, data: EpisodeData, expected: int) -> int:
        """Take the data into a row; so many episodes will be there, as far as is known."""
        if not data.whole:
            raise DaCircoError("these data have been handed over to an engine: prepare new ones")
        n = len(self.ef)
        if not self._unused:
            more = max(1, expected - n, min(n, self.n - n))
            # From the back: the places are taken in order, and those behind need no memory yet.
            self._unused.extend(range(n + more - 1, n - 1, -1))
            n += more
        slot = self._unused.pop()
        if n > len(self.ef) or len(data.floats) > self.ef.shape[1]:
            self.ef = _larger(self.ef, n, len(data.floats), self._lengths(at.JOBS_EF))
        if n > len(self.ei) or len(data.ints) > self.ei.shape[1]:
            self.ei = _larger(self.ei, n, len(data.ints), self._lengths(at.JOBS_EI))
        self.ef[slot, : len(data.floats)] = data.floats
        self.ei[slot, : len(data.ints)] = data.ints
        return slot

    def _lengths(self, column: int) -> dict[int, int]:
        """How far each episode's row goes, floats (`layout.JOBS_EF`) or whole numbers."""
        lengths = {}
        for slot in self._slots.values():
            e = self.ei[slot]
            record = int(e[at.JOB_F]) if column == at.JOBS_EF else at.JOB_EI
            lengths[slot] = int(e[column]) + int(e[at.N_JOBS]) * record
        return lengths


def _wider(rows: np.ndarray, length: int) -> np.ndarray:
    """The data centres' rows, long enough."""
    held, width = rows.shape
    if length <= width:
        return rows
    wide = np.zeros((held, int(length * _GROWTH) if width else length), dtype=rows.dtype)
    wide[:, :width] = rows
    return wide


def _larger(rows: np.ndarray, n: int, length: int, lengths: dict[int, int]) -> np.ndarray:
    """At least so many episodes' rows, each long enough.

    What nobody has written takes address space but no memory, where the system hands out pages of
    zeros: so only the rows in use are copied, as far as they go. (Where the pages are huge the
    spare part does take memory.)
    """
    held, width = rows.shape
    longer = width if length <= width else int(length * _SPARE)
    large = np.zeros((max(n, held), longer), dtype=rows.dtype)
    for row, end in lengths.items():
        large[row, :end] = rows[row, :end]
    return large


@entry
def operate(s: Centre, operation: int, number: int, amount: float) -> int:
    """One of the kernel's functions on one data centre: one entry is compiled once.

    Args:
        s: the data centre.
        operation: which.
        number: the noise's key, or the action.
        amount: the preference, or the time to wake at, seconds.

    Returns:
        What the function returns, if anything.
    """
    if operation == BEGIN:
        begin(s, amount, number)
    elif operation == ADVANCE:
        return int(advance(s))
    elif operation == APPLY:
        return int(apply(s, number))
    elif operation == WAKE:
        wake_at(s, amount)
    else:
        return noise_key_of(s)
    return 0
