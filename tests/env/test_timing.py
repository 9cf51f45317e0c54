"""The timing laws against figures worked out by hand (or by another route)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.catalog import Catalog, Movie, load_catalog
from env.config import load_profile
from env.errors import UnknownNameError
from env.generator import generate_requests
from env.jobs import Request, Speed
from env.load import mean_core_seconds
from env.timing import FULL_HD_MEGAPIXELS, TimingModel, lognormal_mean
from tests.env.worlds import make_profile

FULL_HD, ULTRA_HD, SMALL = (1920, 1080), (3840, 2160), (640, 360)


def catalog(*movies: Movie) -> Catalog:
    return Catalog("test", movies)


def request(movie: str, speed: Speed = "ultrafast", bitrate_kbps: int = 4000) -> Request:
    return Request(0.0, movie, bitrate_kbps, speed)


def test_a_lognormal_mean_is_the_mean() -> None:
    assert lognormal_mean(3.0, 0.0) == 3.0
    assert lognormal_mean(2.0, 1.0) == pytest.approx(2.0 * math.sqrt(math.e))
    rng = np.random.default_rng(0)
    sample = 16.7 * np.exp(0.3 * rng.standard_normal(400_000))
    assert sample.mean() == pytest.approx(lognormal_mean(16.7, 0.3), rel=0.003)


def test_all_laws_together_by_hand() -> None:
    model = TimingModel(
        make_profile(
            timing={
                "boot": {"median_s": 16.7, "sigma": 0.078},
                "download": {"base_s": 0.05, "per_megabyte_s": 0.0126, "sigma": 0.146},
                "upload": {"base_s": 0.056, "per_megabyte_s": 0.001, "sigma": 0.365},
                "transcode": {
                    "intercept": 0.3496,
                    "duration_exponent": 0.8616,
                    "pixels_exponent": 0.8975,
                    "fast_factor": 2.289,
                    "source_mbps_exponent": 0.1152,
                    "sigma": 0.10,
                    "parallel_exponent": 0.483,
                    "parallel_slope": 0.061,
                },
            }
        )
    )
    movie = Movie("m", 60.0, *ULTRA_HD, size_bytes=75_000_000)  # 10 Mbit/s
    timing = model.describe([request("m", "fast")], catalog(movie))
    assert timing.megapixels == pytest.approx([8.2944])
    # exp(0.3496) * 60^0.8616 * (8.2944/2.0736 = 4)^0.8975 * 10^0.1152 * 2.289, in logarithms
    # 0.3496 + 0.8616 * 4.0943446 + 0.8975 * 1.3862944 + 0.1152 * 2.3025851 + 0.8281151
    # = 0.3496 + 3.5276873 + 1.2441992 + 0.2652578 + 0.8281151 = 6.2148594
    one_vcpu = math.exp(6.2148594)
    # The exponent of the vCPUs: 0.483 + 0.061 * ln 4 = 0.5675640
    speedup = [1.0, 2.0**0.5675640, 4.0**0.5675640]
    assert timing.speedup[0] == pytest.approx(speedup)
    assert timing.transcode_s[0] == pytest.approx([one_vcpu / s for s in speedup])
    # 75 MB in; 60 s at 4 Mbit/s = 30 MB out.
    assert timing.download_s == pytest.approx([0.05 + 0.0126 * 75.0])
    assert timing.upload_s == pytest.approx([0.056 + 0.001 * 30.0])
    service = [
        math.exp(0.10**2 / 2) * one_vcpu / s
        + math.exp(0.146**2 / 2) * 0.995
        + math.exp(0.365**2 / 2) * 0.086
        for s in speedup
    ]
    assert timing.service_s[0] == pytest.approx(service)
    assert model.boot_s == pytest.approx(16.7 * math.exp(0.078**2 / 2))


def test_each_property_of_a_video_counts_by_its_exponent() -> None:
    law = {
        "intercept": math.log(0.5),
        "duration_exponent": 2.0,
        "pixels_exponent": 1.0,
        "fast_factor": 3.0,
        "source_mbps_exponent": 0.5,
        "typical_source_mbps": 4.0,
    }
    model = TimingModel(make_profile(timing={"transcode": law}))
    double = (2 * 1920, 1080)
    movies = catalog(
        Movie("plain", 10.0, *FULL_HD),
        Movie("long", 20.0, *FULL_HD),
        Movie("large", 10.0, *double),
        Movie("dense", 10.0, *FULL_HD, size_bytes=20_000_000),  # 16 Mbit/s
    )
    requests = [request(name) for name in ("plain", "long", "large", "dense")]
    requests.append(request("plain", "fast"))
    found = model.describe(requests, movies).transcode_s[:, 0]
    # 0.5 * 10^2 * 4^0.5 = 100 for the plain one
    assert found == pytest.approx([100.0, 400.0, 200.0, 200.0, 300.0])


def test_without_an_exponent_the_asked_bitrate_changes_the_upload_only() -> None:
    transfers = {"base_s": 1.0, "per_megabyte_s": 0.1}
    model = TimingModel(make_profile(timing={"download": transfers, "upload": transfers}))
    movies = catalog(Movie("m", 80.0, *FULL_HD, size_bytes=40_000_000))
    low, high = request("m", bitrate_kbps=500), request("m", bitrate_kbps=8000)
    timing = model.describe([low, high], movies)
    assert timing.transcode_s[0] == pytest.approx(timing.transcode_s[1])
    assert timing.download_s == pytest.approx([5.0, 5.0])  # 40 MB
    assert timing.upload_s == pytest.approx([1.5, 9.0])  # 5 MB, 80 MB


BITRATE_LAW = {
    "intercept": 0.0,
    "duration_exponent": 1.0,
    "pixels_exponent": 0.0,
    "fast_factor": 2.0,
    "bitrate_exponent": 0.5,
    "floor_kbps": 1000.0,
    "floor_pixels_exponent": 1.0,
    "floor_fast_factor": 4.0,
}


@pytest.mark.parametrize(
    ("size", "speed", "kbps", "factor"),
    [
        (FULL_HD, "ultrafast", 500, 1.0),  # below the floor of 1000
        (FULL_HD, "ultrafast", 1000, 1.0),
        (FULL_HD, "ultrafast", 4000, 2.0),
        (FULL_HD, "fast", 4000, 1.0),  # its floor
        (FULL_HD, "fast", 8000, 2.0**0.5),
        (ULTRA_HD, "ultrafast", 4000, 1.0),  # its floor
        (ULTRA_HD, "ultrafast", 8000, 2.0**0.5),
        (SMALL, "ultrafast", 1000, 3.0),  # its floor is a ninth of 1000
        (SMALL, "fast", 1000, 1.5),
    ],
)
def test_time_is_flat_below_the_floor_and_a_power_of_the_bitrate_above(
    size: tuple[int, int], speed: Speed, kbps: int, factor: float
) -> None:
    model = TimingModel(make_profile(timing={"transcode": BITRATE_LAW}))
    timing = model.describe([request("m", speed, kbps)], catalog(Movie("m", 10.0, *size)))
    alone = 10.0 * (2.0 if speed == "fast" else 1.0)
    assert timing.transcode_s[0, 0] == pytest.approx(alone * factor)
    assert timing.service_s[0, 0] >= timing.transcode_s[0, 0]


@given(
    kbps=st.integers(1, 20_000),
    more=st.integers(0, 20_000),
    pixels=st.floats(0.01, 40.0),
    fast=st.sampled_from([0.0, 1.0]),
    exponent=st.floats(0.0, 1.0),
)
def test_a_higher_bitrate_never_takes_less_and_never_more_than_its_share(
    kbps: int, more: int, pixels: float, fast: float, exponent: float
) -> None:
    law = {**BITRATE_LAW, "bitrate_exponent": exponent}
    model = TimingModel(make_profile(timing={"transcode": law}))
    asked = np.array([kbps, kbps + more], dtype=float)
    low, high = model.bitrate_factor(asked, np.array(pixels), np.array(fast))
    assert 1.0 <= low <= high <= low * (1 + more / kbps) * (1 + 1e-12)


def test_what_is_uploaded_is_what_the_encoder_writes() -> None:
    upload = {
        "base_s": 1.0,
        "per_megabyte_s": 0.1,
        "least_kbps": 400.0,
        "least_pixels_exponent": 0.5,
        "least_fast_factor": 2.0,
    }
    model = TimingModel(make_profile(timing={"upload": upload}))
    movies = catalog(Movie("m", 80.0, *FULL_HD), Movie("large", 80.0, *ULTRA_HD))
    requests = [
        request("m", "ultrafast", 100),  # 400 kbit/s are written: 4 MB
        request("m", "ultrafast", 500),  # 5 MB
        request("m", "fast", 500),  # 800 kbit/s: 8 MB
        request("large", "ultrafast", 500),  # 800 kbit/s
        request("large", "fast", 8000),  # 80 MB
    ]
    found = model.describe(requests, movies).upload_s
    assert found == pytest.approx([1.4, 1.5, 1.8, 1.8, 9.0])


def test_the_mean_work_of_a_request_is_the_mean_over_the_bitrates_too() -> None:
    model = TimingModel(make_profile(timing={"transcode": BITRATE_LAW}))
    movies = catalog(Movie("a", 10.0, *FULL_HD), Movie("b", 30.0, *SMALL))
    rng = np.random.default_rng(0)
    requests = generate_requests(40_000, rng, movies)
    drawn = model.describe(requests, movies).transcode_s[:, 0]
    assert mean_core_seconds(model, movies) == pytest.approx(drawn.mean(), rel=0.01)


@pytest.mark.parametrize(
    ("size", "exponent"),
    [(FULL_HD, 0.5), (ULTRA_HD, 0.5 + 0.2 * math.log(4)), (SMALL, 0.1), ((7680, 4320), 0.9)],
)
def test_the_speed_up_grows_with_the_frame_within_its_bounds(
    size: tuple[int, int], exponent: float
) -> None:
    law = {"parallel_exponent": 0.5, "parallel_slope": 0.2}
    model = TimingModel(make_profile(timing={"transcode": law}))
    assert FULL_HD_MEGAPIXELS == 2.0736
    pixels = np.array([size[0] * size[1] / 1e6])
    expected = [1.0, 2.0**exponent, 4.0**exponent]
    assert model.speedup(pixels)[0] == pytest.approx(expected)


def test_the_order_of_requests_and_movies_does_not_matter() -> None:
    model = TimingModel(load_profile("kubernetes"))
    movies = load_catalog()
    names = [movie.name for movie in movies.movies]
    requests = [request(name, "fast", 500 + 100 * i) for i, name in enumerate(names * 2)]
    together = model.describe(requests, movies)
    for i, alone in enumerate(requests):
        single = model.describe([alone], movies)
        assert together.transcode_s[i] == pytest.approx(single.transcode_s[0])
        assert together.service_s[i] == pytest.approx(single.service_s[0])
        assert together.upload_s[i] == pytest.approx(single.upload_s[0])
        assert together.download_s[i] == pytest.approx(single.download_s[0])
    assert together.service_s.shape == (len(requests), 3)


def test_no_requests_have_no_timing() -> None:
    timing = TimingModel(load_profile("openstack")).describe([], load_catalog())
    assert timing.service_s.shape == (0, 3)
    assert timing.download_s.shape == (0,)


def test_a_movie_that_the_catalog_lacks() -> None:
    model = TimingModel(load_profile("openstack"))
    with pytest.raises(UnknownNameError, match=r"unknown movie 'bbb_11\.mp4': did you mean 'bbb_1"):
        model.describe([request("bbb_11.mp4")], load_catalog())
