"""Offered load: the work that requests bring, as a share of what a cluster can do."""

from __future__ import annotations

from typing import Final

import numpy as np

from env.catalog import Catalog
from env.generator import popularity
from env.jobs import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS
from env.timing import TimingModel, lognormal_mean

_BITRATES: Final = 501
"""At which the mean over the bitrates is taken; more do not change its fourth digit."""


def mean_core_seconds(timing: TimingModel, catalog: Catalog) -> float:
    """Mean transcoding time of a request on one vCPU alone on its node, seconds.

    The mean is over the law of `env.generator.attach_marks` (movies by popularity, the
    speeds equally likely, bitrates uniform) and over the scatter of the profile; transfers,
    which keep no core busy, are left out.
    """
    law = timing.profile.timing.transcode
    movies = catalog.movies
    durations = np.array([movie.duration_s for movie in movies])
    megapixels = np.array([movie.pixels / 1e6 for movie in movies])
    mbps = np.array([movie.source_mbps or law.typical_source_mbps for movie in movies])
    asked = np.linspace(MIN_BITRATE_KBPS, MAX_BITRATE_KBPS, _BITRATES)
    ultrafast, fast = (
        timing.transcode_at_floor_s(durations, megapixels, mbps, np.full(len(movies), is_fast))
        * timing.bitrate_factor(asked[:, None], megapixels, np.array(is_fast)).mean(axis=0)
        for is_fast in (0.0, 1.0)
    )
    median = float(popularity(catalog) @ (ultrafast + fast)) / 2
    return lognormal_mean(median, law.sigma)


def rate_for_load(load: float, cores: float, mean_core_s: float) -> float:
    """Arrival rate (1/s) that offers ``load`` (1.0 = all cores busy all the time).

    Args:
        load: share of the cluster's capacity, above 0; 1 and more is overload.
        cores: physical cores of the cluster.
        mean_core_s: mean work of a request, core-seconds (see `mean_core_seconds`).
    """
    return load * cores / mean_core_s
