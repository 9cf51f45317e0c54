"""What belongs to the jobs of a run, drawn at once, so that no decision can change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from env.catalog import Catalog
from env.jobs import Request
from env.timing import RequestTiming, TimingModel

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JobDraws:
    """Of each request, shape (requests,) or (requests, flavors).

    Attributes:
        download_s: its download takes so long, seconds.
        work_s: its transcode alone on the node.
        upload_s: its upload.
        luck: uniform in [0, 1): below the probability of an error the transcode fails, and the
            draw also tells how far it comes.
        service_s: mean sojourn on a worker, as those who decide believe it.
        speedup: vCPUs that the transcode keeps busy.
        megapixels: frame size.
        source_mb: size of the source file, 10^6 bytes.
        scatter: of the transcode; `work_s` is the median times this.
        true: what `work_s` is made from.
        believed: what `service_s` is part of.
    """

    download_s: Floats
    work_s: Floats
    upload_s: Floats
    luck: Floats
    service_s: Floats
    speedup: Floats
    megapixels: Floats
    source_mb: Floats
    scatter: Floats
    true: RequestTiming
    believed: RequestTiming


def draw_jobs(
    timing: TimingModel,
    requests: Sequence[Request],
    catalog: Catalog,
    seed: int,
    believed: TimingModel | None = None,
) -> JobDraws:
    """Draw it; the same arguments give the same.

    Args:
        timing: the true laws.
        requests: in order of arrival.
        catalog: their movies.
        seed: of the `Simulator`.
        believed: the laws that those who decide go by, if they are not the true ones.

    Raises:
        UnknownNameError: the catalog lacks a movie.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    n, law = len(requests), timing.profile.timing
    true = timing.describe(requests, catalog)
    scatter = np.exp(law.transcode.sigma * rng.standard_normal(n))
    download = true.download_s * np.exp(law.download.sigma * rng.standard_normal(n))
    upload = true.upload_s * np.exp(law.upload.sigma * rng.standard_normal(n))
    expected = true if believed is None else believed.describe(requests, catalog)
    return JobDraws(
        download,
        true.transcode_s * scatter[:, None],
        upload,
        rng.random(n),
        expected.service_s,
        true.speedup,
        true.megapixels,
        true.source_mb,
        scatter,
        true,
        expected,
    )


def event_times(requests: Sequence[Request]) -> list[float]:
    """When the simulation's clock tells the arrivals: each is scheduled at the one before it.

    A sum of floats may miss the request's own figure by its last digit.
    """
    times: list[float] = []
    now = 0.0
    for request in requests:
        now += max(0.0, request.arrival_s - now)
        times.append(now)
    return times
