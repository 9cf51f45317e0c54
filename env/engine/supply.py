"""Episodes ahead of time: made in a background thread, so that a step need not wait for them.

To draw an episode and to lay it out takes milliseconds of Python, as long as the engine needs to
play it. The background thread does it while compiled code runs, which holds no lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Final

import numpy as np
from gymnasium.utils import seeding

from env.arguments import World
from env.engine.episode import EpisodeData, prepare_episode

_MOST_BYTES: Final = 256 * 2**20
"""Of episodes that wait to be played: long ones of thousands of data centres would double what
they take."""

_REQUEST_BYTES: Final = 128
"""What a request takes in Python's hands, about."""


class EpisodeSupply:
    """The next episodes of data centres that each have random numbers of their own.

    Which episodes they are depends on the seeds alone, not on whether they were ordered: a
    sampler must depend on its generator only. It is never called twice at the same time.

    Args:
        world: where they come from.
        n: data centres.
        trace: whether the metrics of the episodes are wanted.
    """

    def __init__(self, world: World, n: int, *, trace: bool) -> None:
        self._world = world
        self._trace = trace
        self._rngs: list[np.random.Generator | None] = [None] * n
        self._ordered: list[Future[EpisodeData] | None] = [None] * n
        self._lock = Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._largest = 1

    @property
    def room(self) -> int:
        """So many more episodes may be ordered, judged by the largest so far."""
        return max(0, max(1, _MOST_BYTES // self._largest) - self._waiting)

    def seed(self, d: int, seed: int) -> None:
        """From now on the data centre's episodes follow from the seed; what was ordered is void."""
        self._void(d)
        self._rngs[d] = seeding.np_random(seed)[0]

    def order(self, ds: Sequence[int]) -> None:
        """Have the next episodes of these data centres made in the background."""
        for d in ds:
            if self._ordered[d] is None:
                if self._thread is None:
                    self._thread = ThreadPoolExecutor(1, "episodes")
                self._ordered[d] = self._thread.submit(self._make, d)
                self._waiting += 1

    def take(self, d: int) -> EpisodeData:
        """The data centre's next episode.

        Raises:
            DaCircoError: the sampler draws episodes that do not fit.
        """
        ordered = self._withdraw(d)
        if ordered is None or ordered.cancel():
            return self._make(d)
        return ordered.result()

    def close(self) -> None:
        """Make no more."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None

    def _withdraw(self, d: int) -> Future[EpisodeData] | None:
        ordered, self._ordered[d] = self._ordered[d], None
        self._waiting -= ordered is not None
        return ordered

    def _void(self, d: int) -> None:
        ordered = self._withdraw(d)
        if ordered is not None and not ordered.cancel():
            ordered.exception()  # it is being made: wait, for its generator is given up

    def _make(self, d: int) -> EpisodeData:
        rng = self._rngs[d]
        if rng is None:
            rng = self._rngs[d] = seeding.np_random()[0]
        with self._lock:
            episode = self._world.draw(rng)
        most = self._world.max_jobs_per_core
        data = prepare_episode(episode, max_jobs_per_core=most, trace=self._trace)
        # Without a trace nobody asks for the requests, which take more than the rows.
        data = data if self._trace else replace(data, requests=())
        self._largest = max(self._largest, data.nbytes + _REQUEST_BYTES * len(data.requests))
        return data
