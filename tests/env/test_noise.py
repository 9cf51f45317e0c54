"""Chance by number: the generator is the published one, the draws have the laws they should."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from env import noise

N = 4000
P_LIMIT = 1e-5
"""A correct generator falls below it once in so many tests; the seeds are fixed."""
STREAMS = (noise.BOOTS, noise.STOPS, noise.COPIES, noise.SPAWN_FAILURES, noise.LIVES)
ONES = 0xFFFFFFFF


def test_the_bits_are_those_of_the_published_generator() -> None:
    # The known answers of the authors' own library (Random123, kat_vectors).
    assert noise.philox_block(0, 0, 0, 0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert noise.philox_block((ONES << 32) | ONES, ONES, ONES, ONES, ONES) == (
        0x408F276D,
        0x41C83B0E,
        0xA20BC7C6,
        0x6D5451FD,
    )
    key = (0x299F31D0 << 32) | 0xA4093822
    assert noise.philox_block(key, 0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344) == (
        0xD16CFE09,
        0x94FDCCEB,
        0x5001E420,
        0x24126EA1,
    )


@given(p=st.floats(2.0**-53, 1.0 - 2.0**-53))
def test_the_quantile_is_the_normal_one(p: float) -> None:
    found = noise.normal_quantile(p)
    assert found == pytest.approx(NormalDist().inv_cdf(p), rel=1e-15, abs=1e-300)
    assert found == pytest.approx(float(special.ndtri(p)), rel=3e-14, abs=1e-15)


@given(x=st.floats(2.0**-60, 2.0**60))
def test_the_logarithm_is_right_to_the_last_digits(x: float) -> None:
    assert abs(noise.natural_log(x) - math.log(x)) <= math.ulp(math.log(x))


def test_the_ends_are_left_out() -> None:
    least, greatest = 0.5 / 2**52, 1.0 - 0.5 / 2**52
    assert 0.0 < least < greatest < 1.0
    assert math.isfinite(noise.normal_quantile(least))
    assert noise.normal_quantile(least) == -noise.normal_quantile(greatest)


@pytest.mark.parametrize("stream", STREAMS)
def test_draws_have_their_laws(stream: int) -> None:
    key = noise.noise_key(1)
    uniform = [noise.uniform(key, stream, k) for k in range(N)]
    assert stats.kstest(uniform, "uniform").pvalue > P_LIMIT
    counts = np.histogram(uniform, bins=64, range=(0.0, 1.0))[0]
    assert stats.chisquare(counts).pvalue > P_LIMIT
    normal = [noise.normal(key, stream, k) for k in range(N)]
    assert stats.kstest(normal, "norm").pvalue > P_LIMIT
    lives = [noise.exponential(key, stream, k, 7.0) for k in range(N)]
    assert stats.kstest(lives, "expon", args=(0.0, 7.0)).pvalue > P_LIMIT


def independent(one: list[float], other: list[float]) -> bool:
    """By the rank correlation and by the counts of an 8 x 8 table."""
    table = np.histogram2d(one, other, bins=8, range=((0.0, 1.0), (0.0, 1.0)))[0]
    return (
        stats.spearmanr(one, other).pvalue > P_LIMIT
        and stats.chi2_contingency(table).pvalue > P_LIMIT
    )


def draws(key: int, stream: int, first: int = 0) -> list[float]:
    return [noise.uniform(key, stream, k) for k in range(first, first + N)]


def test_streams_keys_and_neighbours_are_independent() -> None:
    key = noise.noise_key(1)
    boots = draws(key, noise.BOOTS)
    for stream in STREAMS[1:]:
        assert independent(boots, draws(key, stream))
    for other in (noise.noise_key(2), noise.other_key(key, 0), key ^ 1):
        assert independent(boots, draws(other, noise.BOOTS))
    for lag in (1, 2):
        assert independent(boots, draws(key, noise.BOOTS, lag))


def test_keys_of_seeds_and_of_futures_differ() -> None:
    seeds = [*range(200), 2**31 - 1, 2**64, 2**64 + 1, 2**200]
    keys = [noise.noise_key(seed) for seed in seeds]
    futures = [noise.other_key(keys[0], number) for number in range(200)]
    found = {*keys, *futures}
    assert len(found) == len(keys) + len(futures)
    assert all(0 <= key < 2**63 for key in found)
    assert max(found) > 2**62  # all bits are in use


def test_a_draw_is_found_by_its_number_alone() -> None:
    key = noise.noise_key(3)
    all_at_once = noise.normals(key, noise.COPIES, 50)
    one_by_one = [noise.normal(key, noise.COPIES, k) for k in reversed(range(50))]
    assert all_at_once.tolist() == one_by_one[::-1]
    # Numbers beyond 32 bits are numbers of their own.
    assert noise.uniform(key, 0, 1 << 32) != noise.uniform(key, 0, 0)
