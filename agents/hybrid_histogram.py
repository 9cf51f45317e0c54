"""Hybrid histogram: pre-warm and keep alive as the idle times seen so far suggest."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from agents.idle import TIME_TOLERANCE_S, longest_idle
from agents.idle_histogram import IdleHistogram
from agents.one_flavor import OneFlavorPolicy
from agents.parameters import DAY_S, STRICT, OneFlavorRivalParameters, Unit
from env.actions import KEEP, kill

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster

_OPEN: Final = 1
_CLOSE: Final = -1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HybridHistogramParameters(OneFlavorRivalParameters):
    """Parameters of `HybridHistogram`."""

    bin_width: Annotated[
        float, Field(gt=0, le=DAY_S, description="width of a histogram bin"), Unit("s")
    ] = 5.0
    bins: Annotated[
        int, Field(ge=2, le=10_000, description="bins; longer idle times are out of bounds")
    ] = 120
    head: Annotated[
        float, Field(ge=0, le=1, description="percentile of idle times to pre-warm for")
    ] = 0.05
    tail: Annotated[
        float, Field(ge=0, le=1, description="percentile of idle times to keep alive for")
    ] = 0.99
    margin: Annotated[
        float, Field(ge=0, le=1, description="pre-warm earlier and keep longer by this share")
    ] = 0.1
    min_samples: Annotated[
        int, Field(ge=1, le=10_000, description="idle times needed to trust a histogram")
    ] = 10
    min_variation: Annotated[
        float,
        Field(ge=0, le=100, description="coefficient of variation of the bins to trust it"),
    ] = 2.0
    max_out_of_bounds: Annotated[
        float, Field(ge=0, le=1, description="share of out-of-bounds idle times to trust it")
    ] = 0.5
    fallback_keep_alive: Annotated[
        float,
        Field(ge=0, le=DAY_S, description="idle timeout while the histogram is not trusted"),
        Unit("s"),
    ] = 60.0

    @model_validator(mode="after")
    def _check(self) -> HybridHistogramParameters:
        if self.head > self.tail:
            raise ValueError(f"head={self.head:g} is above tail={self.tail:g}: give head <= tail")
        return self


class _Slot:
    """The n-th worker, as an "application" with its own idle times."""

    __slots__ = ("histogram", "idle_from", "is_open", "release")

    def __init__(self, width_s: float, bins: int) -> None:
        self.histogram = IdleHistogram(width_s, bins)
        self.idle_from: float | None = None
        self.release = 0  # tells the windows of an earlier release from the present one's
        self.is_open = False


class HybridHistogram(OneFlavorPolicy):
    """Keep the n-th worker in the window in which its next job is likely to come.

    Slot n is in use while at least n jobs are in the system. Each slot has a histogram
    of its idle times. When a slot falls idle, its worker is wanted from the histogram's
    head percentile (5th, less 10 %) to its tail percentile (99th, plus 10 %): it is
    ended at once and booted again so as to be ready by the head if that lies more than
    a boot ahead, and else kept. Without enough samples, with too many out of bounds or
    with a flat histogram (coefficient of variation of the bin counts under 2), it is
    kept for a fixed time. A waiting job gets a worker as in grace-period.

    Source: M. Shahrad et al., "Serverless in the Wild", USENIX ATC 2020. Differences:
    the paper has one container per application, here a "slot" takes the application's
    place; bins are 5 s up to 10 minutes (paper: 1 minute up to 4 hours), because a job
    takes about a minute; the fallback is a short fixed timeout (paper: the histogram's
    range), also for mostly out-of-bounds idle times (paper: an ARIMA forecast).
    """

    name = "hybrid-histogram"
    aliases = ("serverless-in-the-wild",)
    summary = "pre-warm and keep alive by percentiles of the idle times seen so far"
    source = "Shahrad et al., Serverless in the Wild, USENIX ATC 2020"
    parameters_type = HybridHistogramParameters
    parameters: HybridHistogramParameters

    def reset(self, cluster: Cluster) -> None:
        """See `OneFlavorPolicy.reset`."""
        super().reset(cluster)
        self._slots: list[_Slot] = []
        self._in_use = 0
        self._n_open = 0
        self._events: list[tuple[float, int, int, int]] = []  # time, slot, release, open/close

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        self._pass_windows(cluster.now)
        jobs = min(cluster.jobs_in_system, self._max_workers)
        while self._in_use < jobs:
            self._take(cluster.now)
        while self._in_use > jobs:
            self._release(cluster)
        live = cluster.n_workers - cluster.n_draining
        wanted = min(jobs + self._n_open, self._max_workers)
        if live < wanted:
            return self._spawn_or_keep(cluster)
        if live > wanted and cluster.n_idle and not cluster.waiting:
            worker = longest_idle(cluster)
            return KEEP if worker is None else kill(worker.flavor)
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the next window opens or closes."""
        events = self._events
        while events and events[0][2] != self._slots[events[0][1]].release:
            heappop(events)
        return events[0][0] if events else None

    def _pass_windows(self, now: float) -> None:
        events = self._events
        while events and events[0][0] <= now + TIME_TOLERANCE_S:
            _, index, release, change = heappop(events)
            slot = self._slots[index]
            if slot.release == release:
                slot.is_open = change == _OPEN
                self._n_open += change

    def _take(self, now: float) -> None:
        """The next slot gets a job: its idle time is known, its window is over."""
        if self._in_use == len(self._slots):
            self._slots.append(_Slot(self.parameters.bin_width, self.parameters.bins))
        slot = self._slots[self._in_use]
        self._in_use += 1
        slot.release += 1
        if slot.is_open:
            slot.is_open = False
            self._n_open -= 1
        if slot.idle_from is not None:
            slot.histogram.add(now - slot.idle_from)

    def _release(self, cluster: Cluster) -> None:
        """The last slot in use falls idle: plan the window in which a worker is wanted."""
        self._in_use -= 1
        index, now = self._in_use, cluster.now
        slot = self._slots[index]
        slot.idle_from = now
        begin_s, end_s = self._window(slot.histogram)
        begin_s -= cluster.boot_s
        if begin_s > 0.0:
            heappush(self._events, (now + begin_s, index, slot.release, _OPEN))
        elif end_s > 0.0:
            slot.is_open = True
            self._n_open += 1
        if end_s > 0.0:
            heappush(self._events, (now + max(begin_s, end_s), index, slot.release, _CLOSE))

    def _window(self, histogram: IdleHistogram) -> tuple[float, float]:
        """Seconds after a release between which a worker is to be ready."""
        given = self.parameters
        trusted = (
            histogram.count >= given.min_samples
            and histogram.out_of_bounds <= given.max_out_of_bounds * histogram.count
            and histogram.variation >= given.min_variation
        )
        if not trusted:
            return 0.0, given.fallback_keep_alive
        head_s, tail_s = histogram.percentiles(given.head, given.tail)
        return head_s * (1.0 - given.margin), tail_s * (1.0 + given.margin)
