"""What happened in one run, measured or simulated, in the same figures.

A run that was stopped early is cut at its stop (`until`), and so are its simulations: a
delay or wait that had not ended by then counts as it stood then, a step that had not ended
does not count. Cut alike, the two can be compared although nothing is known of what would
have followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

JOB_PARTS: Final = ("delay", "wait", "download", "transcode", "upload")
PARTS: Final = ("delay", "wait", "boot", "download", "transcode", "upload")
"""What is compared, the whole first."""


@dataclass(frozen=True)
class RunTrace:
    """Moments in seconds since the run's first request; NaN where something did not happen.

    Attributes:
        received, assigned, download_start, downloaded, transcoded, ended: of each request
            in order of arrival, shape (requests,).
        created, ready, stopped: of each worker in order of creation, shape (workers,); a
            worker is stopped when the order to end it is given.
    """

    received: Floats
    assigned: Floats
    download_start: Floats
    downloaded: Floats
    transcoded: Floats
    ended: Floats
    created: Floats
    ready: Floats
    stopped: Floats

    @property
    def last_end(self) -> float:
        """When the last request ended: the makespan of a run that was not stopped."""
        return float(np.nanmax(self.ended)) if np.isfinite(self.ended).any() else float("nan")

    def part(self, name: str, until: float = inf) -> Floats:
        """Durations of one of `PARTS`, seconds.

        Args:
            name: of the part.
            until: the cut, see the module.

        Returns:
            Shape (requests,) or, for boots, (workers,); NaN for what does not count.
        """
        if name == "delay":
            return self._so_far(self.ended, until)
        if name == "wait":
            return self._so_far(self.assigned, until)
        begin, end = {
            "boot": (self.created, self.ready),
            "download": (self.download_start, self.downloaded),
            "transcode": (self.downloaded, self.transcoded),
            "upload": (self.transcoded, self.ended),
        }[name]
        return np.where(end <= until, end - begin, np.nan)

    def n_assigned(self, until: float = inf) -> int:
        """Requests that a worker had been given."""
        return int((self.assigned <= until).sum())

    def n_ended(self, until: float = inf) -> int:
        """Requests that had ended."""
        return int((self.ended <= until).sum())

    def n_created(self, until: float = inf) -> int:
        """Workers that had been created."""
        return int((self.created <= until).sum())

    def workers_at(self, times: Floats) -> Floats:
        """Workers created and not yet stopped at each time, shape of `times`."""
        begun = np.sort(self.created[np.isfinite(self.created)])
        over = np.sort(self.stopped[np.isfinite(self.stopped)])
        count = np.searchsorted(begun, times, side="right") - np.searchsorted(
            over, times, side="right"
        )
        return count.astype(np.float64)

    def _so_far(self, moments: Floats, until: float) -> Floats:
        reached = np.minimum(np.where(np.isnan(moments), inf, moments), until)
        duration = np.where(self.received <= until, reached - self.received, np.nan)
        return np.where(np.isfinite(duration), duration, np.nan)
