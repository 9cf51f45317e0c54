"""What the profile expects of a request: service time and use of CPU and RAM on each flavor."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deploy.tasks import Estimate
from env.catalog import Catalog
from env.config import Profile
from env.jobs import Request, Speed
from env.timing import TimingModel


class Estimates:
    """Estimates by video, bitrate and speed.

    Args:
        profile: flavors and timing laws.
        catalog: the movies that are known; of any other the mean over these is expected.
    """

    def __init__(self, profile: Profile, catalog: Catalog) -> None:
        self._timing = TimingModel(profile)
        self._catalog = catalog
        self._usage = profile.timing.usage
        self._ram_gib = np.array([flavor.ram_gib for flavor in profile.cluster.flavors])
        self.boot_s = self._timing.boot_s
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, video: str, bitrate_kbps: int, speed: Speed) -> Estimate:
        movies = [video] if video in self._catalog else list(self._catalog)
        timing = self._timing.describe(
            [Request(0.0, movie, bitrate_kbps, speed) for movie in movies], self._catalog
        )
        usage = self._usage
        ram = usage.base_ram_gib + usage.ram_per_megapixel_gib * timing.megapixels
        return Estimate(
            service_s=tuple(timing.service_s.mean(axis=0).tolist()),
            used_cores=tuple((usage.transcode_cores * timing.speedup).mean(axis=0).tolist()),
            used_ram_gib=tuple(np.minimum(ram[:, None], self._ram_gib).mean(axis=0).tolist()),
            size_mb=float(timing.source_mb.mean()),
        )
