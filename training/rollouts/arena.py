"""Cells on the compiled engine: rules one data centre after another, networks many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agents.by_preference import ByPreference
from agents.compiled.rules import Form, form_of
from agents.compiled.running import run_rules
from agents.network_policy import NetworkPolicy, masked_argmax
from env.actions import KEEP_INDEX, n_actions
from env.cluster import Cluster
from env.config import Profile
from env.engine.engine import Engine
from env.engine.episode import EpisodeData, prepare
from env.engine.stepping import room_for_outcome, room_to_see, step_centres
from env.noise import noise_key
from env.observation import bounds
from env.timing import TimingModel
from training.rollouts.cells import Cell, Played, Totals

WAVE: Final = 16
"""Data centres under rules between two looks at what has ended."""
BATCH: Final = 128
"""Data centres that a network decides for at once: more do not fit the processor's cache."""
_MOST_BYTES: Final = 512 * 2**20
"""Of episodes that are kept."""

T = TypeVar("T")
Read = Callable[[Engine, int], T]
"""From an engine and the number of a data centre whose run has ended."""


class _Episodes:
    """Episodes in the engine's form, kept while there is room: the latest ones."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[EpisodeData, Cell]] = {}
        self._bytes = 0
        self._lock = Lock()

    def get(self, cell: Cell, *, trace: bool) -> EpisodeData:
        """Of a cell; cells that share their objects share it."""
        # The cell is kept too: while it is there, no other object has the same id.
        which = (
            *(id(x) for x in (cell.profile, cell.requests, cell.catalog, cell.believed)),
            cell.seed,
            cell.policy.discipline,
            trace,
        )
        with self._lock:
            if which in self._kept:
                return self._kept[which][0]
        data = prepare(
            cell.profile,
            cell.requests,
            cell.catalog,
            seed=cell.seed,
            preference=cell.preference,
            discipline=cell.policy.discipline,
            believed=cell.believed,
            trace=trace,
        )
        with self._lock:
            if which not in self._kept:
                self._kept[which] = (data, cell)
                self._bytes += data.nbytes
            while self._bytes > _MOST_BYTES and len(self._kept) > 1:
                first = next(iter(self._kept))
                self._bytes -= self._kept.pop(first)[0].nbytes
        return data


class Arena:
    """Plays cells whose policies are networks or have a compiled form."""

    def __init__(self) -> None:
        self._episodes = _Episodes()
        self._clusters: dict[tuple[int, int], tuple[Profile, Profile | None, Cluster]] = {}
        self._idle: dict[int, list[Engine]] = {}
        self._simulating = Lock()

    def play(
        self, cells: Sequence[Cell], threads: int, on_cell: Callable[[], None]
    ) -> list[Played]:
        """See `Stage.play`."""
        return self._run(
            cells,
            lambda engine, d: Played.of(engine.traced(d)),
            lambda cell: Played.of(cell.simulate()),
            True,
            threads,
            on_cell,
        )

    def totals(
        self, cells: Sequence[Cell], threads: int, on_cell: Callable[[], None]
    ) -> list[Totals]:
        """See `Stage.totals`."""

        def read(engine: Engine, d: int) -> Totals:
            return Totals.of(len(engine.episode(d).requests), engine.books(d))

        def simulated(cell: Cell) -> Totals:
            return Totals.of(len(cell.requests), cell.simulate().cluster)

        return self._run(cells, read, simulated, False, threads, on_cell)

    def _run(
        self,
        cells: Sequence[Cell],
        read: Read[T],
        simulated: Callable[[Cell], T],
        trace: bool,
        threads: int,
        on_cell: Callable[[], None],
    ) -> list[T]:
        rules: list[tuple[int, Form]] = []
        networks: dict[tuple[object, ...], list[int]] = {}
        for i, cell in enumerate(cells):
            player = self._player(cell)
            if isinstance(player, Form):
                rules.append((i, player))
            else:
                flavors = tuple(flavor.name for flavor in cell.profile.cluster.flavors)
                networks.setdefault((id(player), flavors), []).append(i)
        found: dict[int, T] = {}
        lock, stop = Lock(), Event()

        def told(i: int, what: T) -> None:
            with lock:
                found[i] = what
                on_cell()
            if stop.is_set():
                raise _StoppedError

        def load(engine: Engine, d: int, i: int) -> None:
            cell = cells[i]
            data = self._episodes.get(cell, trace=trace)
            engine.load(d, data, preference=cell.preference, key=noise_key(cell.seed))

        def follow_rules(engine: Engine, mine: Sequence[tuple[int, Form]]) -> None:
            for first in range(0, len(mine), WAVE):
                wave = mine[first : first + WAVE]
                for d, (i, _) in enumerate(wave):
                    load(engine, d, i)
                forms = [form for _, form in wave]
                overflown = run_rules(engine, range(len(wave)), forms).tolist()
                for d, (i, _) in enumerate(wave):
                    if overflown[d]:
                        with self._simulating:  # the policy may be that of other cells
                            told(i, simulated(cells[i]))
                    else:
                        told(i, read(engine, d))

        def part(number: int) -> None:
            if mine := rules[number::threads]:
                with self._engine(WAVE) as engine:
                    follow_rules(engine, mine)
            for group in networks.values():
                if some := group[number::threads]:
                    with self._engine(BATCH) as engine:
                        for d, i in _follow_network(engine, cells, some, load):
                            told(i, read(engine, d))

        threads = max(1, min(threads, len(cells)))
        if threads == 1:
            part(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                try:
                    list(pool.map(part, range(threads)))
                except BaseException:
                    stop.set()
                    raise
        return [found[i] for i in range(len(cells))]

    @contextmanager
    def _engine(self, n: int) -> Iterator[Engine]:
        """An engine of so many data centres for one thread at a time."""
        idle = self._idle.setdefault(n, [])
        engine = idle.pop() if idle else Engine(n)
        yield engine
        idle.append(engine)

    def _player(self, cell: Cell) -> Form | NetworkPolicy:
        """Who decides in a cell.

        Raises:
            DaCircoError: the policy cannot serve the data centre.
        """
        cluster = self._cluster(cell)
        policy = cell.policy
        if isinstance(policy, ByPreference):
            policy = policy.rule_at(cell.preference)
        if isinstance(policy, NetworkPolicy):
            policy.reset(cluster)
            return policy
        form = form_of(policy, cluster)
        assert form is not None
        return form

    def _cluster(self, cell: Cell) -> Cluster:
        """An empty one as the policy would see it, but for the preference."""
        which = id(cell.profile), id(cell.believed)
        if which not in self._clusters:
            expected = TimingModel(cell.believed or cell.profile)
            cluster = Cluster(expected.profile, boot_s=expected.boot_s)
            self._clusters[which] = cell.profile, cell.believed, cluster
        return self._clusters[which][2]


class _StoppedError(Exception):
    """Another thread has failed: this one need not go on."""


def _follow_network(
    engine: Engine,
    cells: Sequence[Cell],
    numbers: Sequence[int],
    load: Callable[[Engine, int, int], None],
) -> Iterator[tuple[int, int]]:
    """Play cells under one network, a batch at a time: who has ended makes room for the next.

    Args:
        engine: all of its data centres are used.
        cells: among others those that are played.
        numbers: which are played, all of the same policy and the same flavors.
        load: lets a data centre begin a cell.

    Yields:
        A data centre and the cell that has ended in it.
    """
    n = min(engine.n, len(numbers))
    first = cells[numbers[0]]
    policy = first.policy
    assert isinstance(policy, NetworkPolicy)
    flavors = [flavor.name for flavor in first.profile.cluster.flavors]
    low, high = bounds(flavors)
    seen, outcome = room_to_see(n, low, high, n_actions(len(flavors))), room_for_outcome(n)
    playing: NDArray[np.intp] = np.arange(n)  # place in `numbers` of each data centre's
    for d in range(n):
        load(engine, d, numbers[d])
    following = n
    actions = np.full(n, KEEP_INDEX, dtype=np.int64)  # time passes to the first decision
    paused = np.zeros(n, dtype=np.bool_)
    while not paused.all():
        step_centres(engine.f, engine.i, engine.ef, engine.ei, 0, n, actions, paused, seen, outcome)
        for d in np.flatnonzero(outcome.full & ~paused).tolist():
            engine.make_room(d)
        ended = outcome.terminated | outcome.truncated
        going = np.flatnonzero(~(ended | paused))
        for d in np.flatnonzero(ended).tolist():
            yield d, numbers[playing[d]]
            if following < len(numbers):
                load(engine, d, numbers[following])
                playing[d] = following
                following += 1
                actions[d] = KEEP_INDEX
            else:
                paused[d] = True
        if len(going):
            logits = policy.logits(seen.observations[going])
            actions[going] = masked_argmax(logits, seen.masks[going])
