"""How many decisions a second the compiled engine makes alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.compiled.rules import SETTINGS, Form, form_of, rule_act
from agents.registry import make_policy
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.engine.compiling import compiled, entry
from env.engine.engine import Engine
from env.engine.episode import prepare_episode
from env.engine.kernel import GOES_ON, begin, centre, decide
from env.engine.layout import PREFERENCE, Floats, Ints
from env.engine.mask import write_mask
from env.engine.observe import observe
from env.engine.view import noise_key_of
from env.episodes import family_episodes
from env.observation import bounds
from training.benchmarks.decisions import LOAD, RULE, poisson_env, random_play
from training.benchmarks.laps import Speed, measure

CENTRES: Final = 256
EPISODE_S: Final = 3600.0
_FEW: Final = 64
"""Data centres where each is large."""
_MOST_THREADS: Final = 2
_DIFFERENT: Final = 32
"""Episodes; the data centres share them."""


@compiled
def _draw(state: NDArray[np.uint64]) -> np.uint64:
    """The next number of xorshift64 (Marsaglia 2003)."""
    x: np.uint64 = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return x


@compiled
def _any_legal(mask: NDArray[np.bool_], state: NDArray[np.uint64]) -> int:
    legal = 0
    for one in mask:
        legal += one
    left = int(_draw(state) % np.uint64(legal))
    action = 0
    while not mask[action] or left > 0:
        left -= mask[action]
        action += 1
    return action


@entry
def play_rounds(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    first: int,
    last: int,
    rounds: int,
    kind: int,
    given: Floats,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    rows: NDArray[np.float32],
    masks: NDArray[np.bool_],
    state: NDArray[np.uint64],
) -> None:
    """Make so many decisions in each of these data centres.

    Observation and mask are written before each. An episode that ends begins anew.

    Args:
        f: of the engine, as `i`, `ef`, `ei`.
        i: see `f`.
        ef: see `f`.
        ei: see `f`.
        first: the first data centre.
        last: the one after the last.
        rounds: decisions of each.
        kind: the rule that decides, or -1 for chance among what can be carried out.
        given: its settings.
        low: bounds of the features.
        high: likewise.
        rows: the observations, one a data centre, written.
        masks: likewise.
        state: of the random numbers, shape (1,).
    """
    for _ in range(rounds):
        for d in range(first, last):
            s = centre(f, i, ef, ei, d)
            observe(s, rows[d], low, high)
            write_mask(s, masks[d])
            action = rule_act(s, kind, given) if kind >= 0 else _any_legal(masks[d], state)
            _, _, over = decide(s, action)
            if over != GOES_ON:
                begin(s, s.f[PREFERENCE], noise_key_of(s))


class Players:
    """Data centres under Poisson arrivals at half their capacity.

    Args:
        n: data centres.
        seed: of episodes and actions.
        profile: the home profile by default.
        rule: the policy that decides; chance by default.

    Attributes:
        engine: the data centres.
    """

    def __init__(
        self,
        n: int = CENTRES,
        seed: int = 0,
        profile: Profile | None = None,
        rule: str | None = None,
    ) -> None:
        home = profile or load_profile("openstack")
        rng = np.random.default_rng(seed)
        sampler = family_episodes(home, "poisson", LOAD, EPISODE_S)
        episodes = [
            prepare_episode(sampler(rng), max_jobs_per_core=5.0) for _ in range(min(n, _DIFFERENT))
        ]
        self.engine = Engine(n)
        for d in range(n):
            preference = float(rng.uniform(MIN_PREFERENCE, MAX_PREFERENCE))
            self.engine.load(d, episodes[d % len(episodes)], preference=preference)
        self._low, self._high = bounds([flavor.name for flavor in home.cluster.flavors])
        flavors = len(home.cluster.flavors)
        self._rows = np.zeros((n, len(self._low)), dtype=np.float32)
        self._masks = np.zeros((n, 1 + 2 * flavors), dtype=np.bool_)
        self._states = [
            np.array([seed + thread + 0x9E3779B97F4A7C15], dtype=np.uint64)
            for thread in range(_MOST_THREADS)
        ]
        form = None if rule is None else form_of(make_policy(rule), Cluster(home))
        self._rule = Form(-1, np.zeros(SETTINGS)) if form is None else form
        self.play(1)  # compiles it

    def play(self, decisions: int) -> int:
        """Make at least so many on one core; returns how many."""
        rounds = -(-decisions // self.engine.n)
        self._play(0, self.engine.n, rounds, 0)
        return rounds * self.engine.n

    def play_on(self, threads: int, decisions: int) -> int:
        """The same on several cores."""
        n = self.engine.n
        rounds = -(-decisions // n)
        edges = [n * part // threads for part in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            parts = [
                pool.submit(self._play, first, last, rounds, thread)
                for thread, (first, last) in enumerate(pairwise(edges))
            ]
            for part in parts:
                part.result()
        return rounds * n

    def _play(self, first: int, last: int, rounds: int, thread: int) -> None:
        e = self.engine
        play_rounds(
            e.f,
            e.i,
            e.ef,
            e.ei,
            first,
            last,
            rounds,
            self._rule.kind,
            self._rule.given,
            self._low,
            self._high,
            self._rows,
            self._masks,
            self._states[thread],
        )


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """What was measured, decisions a second.

    Attributes:
        random: chance decides, one core.
        rule: `RULE` decides, one core.
        both: chance decides, on two threads, by the time that passed.
        scalar: the scalar environment in the same run, chance decides.
        by_nodes: chance decides, by the number of nodes.
        bytes: of a data centre, without its episode.
        episode_bytes: of an episode without its jobs; data centres may share it.
        request_bytes: of each of its jobs.
    """

    random: Speed
    rule: Speed
    both: float
    scalar: Speed
    by_nodes: dict[int, Speed]
    bytes: int
    episode_bytes: int
    request_bytes: float


def engine_speed(decisions: int, repetitions: int, nodes: Sequence[int]) -> EngineSpeed:
    """Measure it, each against the scalar environment before and after.

    Args:
        decisions: of a repetition of the engine; the scalar environment makes 1 in 40.
        repetitions: how many.
        nodes: sizes of data centre for `EngineSpeed.by_nodes`.
    """
    players, ruled = Players(), Players(rule=RULE)
    scalar = random_play(poisson_env(0), np.random.default_rng(0))
    for player in (players, ruled):
        player.play(decisions)  # to a steady state
    random = measure(lambda: players.play(decisions), repetitions)
    compared = measure(lambda: scalar(max(1, decisions // 40)), repetitions)
    rule = measure(lambda: ruled.play(decisions), repetitions)
    both = measure(lambda: players.play_on(2, decisions), repetitions)
    by_nodes = {}
    for n in nodes:
        sized = Players(_FEW, profile=_with_nodes(n))
        sized.play(decisions)
        by_nodes[n] = measure(lambda one=sized: one.play(decisions), repetitions)  # type: ignore[misc]
    data = players.engine.episode(0)
    without = data.handed_over().nbytes
    return EngineSpeed(
        random,
        rule,
        max(lap.units / lap.wall_s for lap in both.laps),
        compared,
        by_nodes,
        8 * data.size_f + 4 * data.size_i,
        without,
        (data.nbytes - without) / len(data.requests),
    )


def _with_nodes(n: int) -> Profile:
    home = load_profile("openstack")
    model = home.cluster.nodes[0]
    nodes = tuple(replace(model, name=f"node{i + 1}") for i in range(n))
    return replace(home, cluster=replace(home.cluster, nodes=nodes))
