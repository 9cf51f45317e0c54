"""The profile's timing laws as functions: what a step should take and how it scatters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.catalog import Catalog
from env.config import Profile, TranscodeTiming, TransferTiming, UploadTiming
from env.jobs import Request

FULL_HD_MEGAPIXELS: Final = 1920 * 1080 / 1e6
_BITS_PER_BYTE: Final = 8

Floats = NDArray[np.float64]


def lognormal_mean(median: float, sigma: float) -> float:
    """Mean of a lognormal variable from its median and the deviation of its logarithm."""
    return median * exp(sigma**2 / 2)


@dataclass(frozen=True, slots=True)
class RequestTiming:
    """Timing of a list of requests; shape (requests, flavors) or (requests,), seconds.

    Attributes:
        transcode_s: median transcoding time alone on the node.
        speedup: speed relative to one vCPU.
        download_s: median download time.
        upload_s: median upload time.
        service_s: mean sojourn on a worker (download, transcode, upload).
        megapixels: frame size.
        source_mb: size of the source file, 10^6 bytes.
        alone_s: median transcoding time alone on the node on one vCPU; `transcode_s` is this over
            `speedup`.
        transfer_s: mean of both transfers together; `service_s` is the mean scatter times
            `transcode_s`, and this.
    """

    transcode_s: Floats
    speedup: Floats
    download_s: Floats
    upload_s: Floats
    service_s: Floats
    megapixels: Floats
    source_mb: Floats
    alone_s: Floats
    transfer_s: Floats


class TimingModel:
    """The timing laws of one profile, for all its flavors."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        timing = profile.timing
        self._vcpus = np.array([flavor.vcpus for flavor in profile.cluster.flavors], dtype=float)
        self.boot_s = lognormal_mean(timing.boot.median_s, timing.boot.sigma)

    def speedup(self, megapixels: Floats) -> Floats:
        """How many times faster than one vCPU each flavor is, shape (videos, flavors)."""
        law = self.profile.timing.transcode
        alpha = law.parallel_exponent + law.parallel_slope * np.log(megapixels / FULL_HD_MEGAPIXELS)
        result: Floats = self._vcpus[None, :] ** np.clip(alpha, 0.1, 0.9)[:, None]
        return result

    def transcode_at_floor_s(
        self, durations_s: Floats, megapixels: Floats, source_mbps: Floats, fast: Floats
    ) -> Floats:
        """Median time alone on a node on one vCPU at the floor's bitrate or below, seconds.

        Args:
            durations_s: length of each video, seconds.
            megapixels: frame size of each video.
            source_mbps: bitrate of each source file, Mbit/s.
            fast: 1 where the speed is ``fast``, 0 where it is ``ultrafast``.
        """
        law = self.profile.timing.transcode
        pixels = np.log(megapixels / FULL_HD_MEGAPIXELS)
        result: Floats = np.exp(
            law.intercept
            + law.duration_exponent * np.log(durations_s)
            + law.pixels_exponent * pixels
            + law.pixels_curvature * pixels**2
            + law.source_mbps_exponent * np.log(source_mbps)
            + log(law.fast_factor) * fast
        )
        return result

    def bitrate_factor(self, asked_kbps: Floats, megapixels: Floats, fast: Floats) -> Floats:
        """How many times longer than at the floor a transcode takes for the asked bitrate.

        Args:
            asked_kbps: asked bitrate of the picture, kbit/s.
            megapixels: frame size.
            fast: 1 where the speed is ``fast``, 0 where it is ``ultrafast``.

        Returns:
            1 or more, in the common shape of the arguments.
        """
        return bitrate_factor(self.profile.timing.transcode, asked_kbps, megapixels, fast)

    def describe(self, requests: Sequence[Request], catalog: Catalog) -> RequestTiming:
        """The timing of each request, without scatter.

        Raises:
            UnknownNameError: the catalog lacks a movie.
        """
        timing = self.profile.timing
        names = sorted({request.movie for request in requests})
        position = {name: i for i, name in enumerate(names)}
        movies = [catalog[name] for name in names]
        which = np.array([position[request.movie] for request in requests], dtype=np.intp)
        durations = np.array([movie.duration_s for movie in movies], dtype=float)[which]
        megapixels = np.array([movie.pixels / 1e6 for movie in movies], dtype=float)[which]
        typical = timing.transcode.typical_source_mbps
        mbps = np.array([movie.source_mbps or typical for movie in movies], dtype=float)[which]
        fast = np.array([request.speed == "fast" for request in requests], dtype=float)
        asked = np.array([request.bitrate_kbps for request in requests], dtype=float)

        speedup = self.speedup(megapixels)
        one_vcpu = self.transcode_at_floor_s(durations, megapixels, mbps, fast)
        one_vcpu *= self.bitrate_factor(asked, megapixels, fast)
        transcode = one_vcpu[:, None] / speedup
        source_mb = durations * mbps / _BITS_PER_BYTE
        download = _transfer_s(timing.download, source_mb)
        written_mbps = written_kbps(timing.upload, asked, megapixels, fast) / 1e3
        upload = _transfer_s(timing.upload, durations * written_mbps / _BITS_PER_BYTE)
        transfer = lognormal_mean(1.0, timing.download.sigma) * download
        transfer += lognormal_mean(1.0, timing.upload.sigma) * upload
        service = lognormal_mean(1.0, timing.transcode.sigma) * transcode + transfer[:, None]
        return RequestTiming(
            transcode,
            speedup,
            download,
            upload,
            service,
            megapixels,
            source_mb,
            one_vcpu,
            transfer,
        )


def bitrate_factor(
    law: TranscodeTiming, asked_kbps: Floats, megapixels: Floats, fast: Floats
) -> Floats:
    """See `TimingModel.bitrate_factor`."""
    if law.bitrate_exponent == 0.0:
        return np.ones(np.broadcast(asked_kbps, megapixels, fast).shape)
    above = np.maximum(asked_kbps / floor_kbps(law, megapixels, fast), 1.0)
    result: Floats = above**law.bitrate_exponent
    return result


def floor_kbps(law: TranscodeTiming, megapixels: Floats, fast: Floats) -> Floats:
    """The asked bitrate below which it does not change the transcoding time, kbit/s.

    Args:
        law: of the profile.
        megapixels: frame size.
        fast: 1 where the speed is ``fast``, 0 where it is ``ultrafast``.
    """
    pixels = (megapixels / FULL_HD_MEGAPIXELS) ** law.floor_pixels_exponent
    result: Floats = law.floor_kbps * pixels * law.floor_fast_factor**fast
    return result


def written_kbps(law: UploadTiming, asked_kbps: Floats, megapixels: Floats, fast: Floats) -> Floats:
    """The bitrate that the encoder writes: the asked one, or the least that it can, kbit/s.

    Args:
        law: of the profile.
        asked_kbps: asked bitrate, kbit/s.
        megapixels: frame size.
        fast: 1 where the speed is ``fast``, 0 where it is ``ultrafast``.
    """
    pixels = (megapixels / FULL_HD_MEGAPIXELS) ** law.least_pixels_exponent
    result: Floats = np.maximum(asked_kbps, law.least_kbps * pixels * law.least_fast_factor**fast)
    return result


def _transfer_s(law: TransferTiming, megabytes: Floats) -> Floats:
    result: Floats = law.base_s + law.per_megabyte_s * megabytes
    return result
