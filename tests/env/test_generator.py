"""The DaCirco generator follows the laws of the existing system."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from env.catalog import Catalog, Movie, load_catalog
from env.generator import attach_marks, dacirco_gaps, generate_requests, popularity
from env.jobs import SPEEDS, Request

SIGNIFICANCE = 1e-3


def draw(n: int, seed: int = 1, catalog: Catalog | None = None) -> list[Request]:
    return generate_requests(n, np.random.default_rng(seed), catalog or load_catalog())


def test_the_same_seed_gives_the_same_requests() -> None:
    assert draw(50, seed=7) == draw(50, seed=7)
    assert draw(50, seed=7) != draw(50, seed=8)


def test_movie_x_is_asked_for_with_probability_x_plus_one_over_55() -> None:
    catalog = load_catalog()
    assert popularity(catalog).tolist() == pytest.approx([(x + 1) / 55 for x in range(10)])
    asked = [request.movie for request in draw(20_000)]
    counts = [asked.count(movie) for movie in catalog]
    assert stats.chisquare(counts, 20_000 * popularity(catalog)).pvalue > SIGNIFICANCE


def test_bitrate_is_uniform_over_whole_numbers_with_both_ends() -> None:
    bitrates = np.array([request.bitrate_kbps for request in draw(50_000)])
    assert bitrates.min() == 500
    assert bitrates.max() == 8000
    counts = np.bincount((bitrates - 500) * 30 // 7501, minlength=30)
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


def test_speeds_are_equally_likely() -> None:
    speeds = [request.speed for request in draw(20_000)]
    assert stats.chisquare([speeds.count(speed) for speed in SPEEDS]).pvalue > SIGNIFICANCE


def test_delays_are_gaussian_above_their_cut_off() -> None:
    gaps = dacirco_gaps(np.random.default_rng(3), 20_000)
    assert gaps.min() == 0.1
    # The law is Gaussian but for its lower end, which is one mass at the cut-off.
    above = gaps[gaps > 0.1]
    law = stats.truncnorm((0.1 - 6) / 2, np.inf, loc=6, scale=2)
    assert stats.kstest(above, law.cdf).pvalue > SIGNIFICANCE
    cut = int((gaps == 0.1).sum())
    assert stats.binomtest(cut, len(gaps), stats.norm.cdf(0.1, 6, 2)).pvalue > SIGNIFICANCE


def test_mean_and_spread_of_the_delay_can_be_set() -> None:
    gaps = dacirco_gaps(np.random.default_rng(3), 20_000, mean_gap_s=30.0, sigma_gap_s=1.0)
    assert gaps.mean() == pytest.approx(30.0, abs=0.05)
    assert gaps.std() == pytest.approx(1.0, abs=0.03)


def test_the_first_request_comes_at_once() -> None:
    requests = draw(3)
    assert requests[0].arrival_s == 0.0
    assert requests[1].arrival_s > 0.0
    assert draw(0) == []


@given(n=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_requests_are_valid_and_in_order(n: int, seed: int) -> None:
    requests = draw(n, seed)
    assert len(requests) == n
    times = [request.arrival_s for request in requests]
    assert times == sorted(times)
    for request in requests:
        assert request.arrival_s == round(request.arrival_s, 3)
        assert request.movie in load_catalog()
        assert 500 <= request.bitrate_kbps <= 8000
        assert request.speed in SPEEDS
        assert type(request.arrival_s) is float
        assert type(request.bitrate_kbps) is int


def test_another_catalog_is_asked_by_the_order_of_its_rows() -> None:
    catalog = Catalog("three", [Movie(f"{x}.mp4", 1.0, 2, 3) for x in "abc"])
    asked = [request.movie for request in draw(6000, catalog=catalog)]
    counts = [asked.count(movie) for movie in catalog]
    assert stats.chisquare(counts, [1000, 2000, 3000]).pvalue > SIGNIFICANCE


def test_marks_do_not_depend_on_when_the_requests_come() -> None:
    catalog = load_catalog()
    early, late = (
        attach_marks(np.random.default_rng(5), catalog, np.arange(20.0) + start)
        for start in (0.0, 1000.0)
    )
    assert [(r.movie, r.bitrate_kbps, r.speed) for r in early] == [
        (r.movie, r.bitrate_kbps, r.speed) for r in late
    ]
