"""The shipped profiles have the figures that the shipped rows of the encoder bench give."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.bench_encoder.fit import fit_rows
from deploy.bench_encoder.rows import read_rows
from env.config import load_profile

ROWS = Path(__file__).resolve().parents[2] / "docs" / "data" / "encoder-bench.csv"


@pytest.mark.parametrize("name", ["openstack", "kubernetes"])
def test_bitrate_and_threads_are_what_the_bench_measured(name: str) -> None:
    timing = load_profile(name).timing
    fit = fit_rows(read_rows(ROWS), timing.transcode, timing.upload)
    for key in (
        "bitrate_exponent",
        "floor_kbps",
        "floor_pixels_exponent",
        "floor_fast_factor",
        "parallel_exponent",
        "parallel_slope",
    ):
        assert getattr(timing.transcode, key) == pytest.approx(fit.transcode[key].value, rel=1e-4)
    for key in ("least_kbps", "least_pixels_exponent", "least_fast_factor"):
        assert getattr(timing.upload, key) == pytest.approx(fit.upload[key].value, rel=1e-4)


def test_the_bench_agrees_with_the_measured_vms_that_it_has_never_seen() -> None:
    law = load_profile("openstack").timing.transcode
    fit = fit_rows(read_rows(ROWS), law, load_profile("openstack").timing.upload)
    for key in ("duration_exponent", "pixels_exponent", "fast_factor"):
        figure = fit.transcode[key]
        assert not figure.held
        assert abs(figure.value - getattr(law, key)) <= 3 * figure.error, key
