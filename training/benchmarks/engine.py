"""How many decisions a second the compiled engine makes alone, on one core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

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

LOAD: Final = 0.5
CENTRES: Final = 256
EPISODE_S: Final = 3600.0
_DIFFERENT: Final = 32
"""Episodes; the data centres share them."""


@compiled
def _draw(state: NDArray[np.uint64]) -> np.uint64:
    """The next number of xorshift64 (Marsaglia 2003)."""
    x = state[0]
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
def play_at_random(
    f: Floats,
    i: Ints,
    ef: Floats,
    ei: Ints,
    rounds: int,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    rows: NDArray[np.float32],
    masks: NDArray[np.bool_],
    state: NDArray[np.uint64],
) -> None:
    """Make so many decisions in each data centre, observation and mask written before each.

    An episode that ends begins anew.
    """
    for _ in range(rounds):
        for d in range(len(f)):
            s = centre(f, i, ef, ei, d)
            observe(s, rows[d], low, high)
            write_mask(s, masks[d])
            _, _, over = decide(s, _any_legal(masks[d], state))
            if over != GOES_ON:
                begin(s, s.f[PREFERENCE], noise_key_of(s))


def random_play(
    n: int = CENTRES, seed: int = 0, profile: Profile | None = None
) -> tuple[Engine, Callable[[int], int]]:
    """Data centres under Poisson arrivals at half their capacity, and who plays them.

    Args:
        n: data centres.
        seed: of episodes and actions.
        profile: the home profile by default.

    Returns:
        The engine, and a function that makes at least so many decisions at random among what can
        be carried out, and returns how many.
    """
    home = profile or load_profile("openstack")
    rng = np.random.default_rng(seed)
    sampler = family_episodes(home, "poisson", LOAD, EPISODE_S)
    episodes = [
        prepare_episode(sampler(rng), max_jobs_per_core=5.0) for _ in range(min(n, _DIFFERENT))
    ]
    engine = Engine(n)
    for d in range(n):
        preference = float(rng.uniform(MIN_PREFERENCE, MAX_PREFERENCE))
        engine.load(d, episodes[d % len(episodes)], preference=preference)
    low, high = bounds([flavor.name for flavor in home.cluster.flavors])
    flavors = len(home.cluster.flavors)
    rows = np.zeros((n, len(low)), dtype=np.float32)
    masks = np.zeros((n, 1 + 2 * flavors), dtype=np.bool_)
    state = np.array([seed + 0x9E3779B97F4A7C15], dtype=np.uint64)

    def play(decisions: int) -> int:
        rounds = max(1, decisions // n)
        play_at_random(
            engine.f, engine.i, engine.ef, engine.ei, rounds, low, high, rows, masks, state
        )
        return rounds * n

    play(1)  # compiles it
    return engine, play
