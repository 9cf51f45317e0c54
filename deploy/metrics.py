"""The controller's Prometheus metrics.

Levels are read from the cluster when they are asked for; counts and delays follow the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.decision import Source
from deploy.steps import (
    AllFail,
    AllFailOver,
    Assign,
    Cancelled,
    Decided,
    Failed,
    Gone,
    Lost,
    Quarantined,
    Requeued,
    Spawn,
    SpawnFailed,
    Step,
    StorageAway,
    StorageBack,
    Withdrawn,
)
from deploy.steps import Uploaded as Completed
from deploy.tasks import Fault
from env.cluster import Cluster
from env.node import MIB_PER_GIB, MILLI

_DELAYS_S: Final = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600, 7200, 14400)
_LATENCIES_S: Final = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5)


class _Levels(Collector):
    """What the cluster holds now."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def collect(self) -> Iterator[GaugeMetricFamily]:
        c = self._cluster
        oldest = c.oldest_unserved_since
        for name, text, value in (
            ("queue_length", "jobs waiting", c.waiting + c.held),
            ("jobs_held", "jobs of these that may not be handed out for the time being", c.held),
            ("jobs_in_service", "jobs on workers", c.in_service),
            (
                "oldest_wait_seconds",
                "how long the oldest waiting job has waited",
                0.0 if oldest is None else c.now - oldest,
            ),
            ("preference", "0.1 lean .. 0.9 fast", c.preference),
            ("capacity_vcpus", "schedulable vCPUs", c.capacity_vcpus),
            ("capacity_ram_gib", "schedulable RAM, GiB", c.capacity_ram_gib),
            ("reserved_vcpus", "vCPUs of all workers", c.reserved_vcpus),
            ("reserved_ram_gib", "RAM of all workers, GiB", c.reserved_ram_gib),
            ("used_vcpus", "cores that workers are expected to use", c.used_cpu.value / MILLI),
            (
                "used_ram_gib",
                "RAM that workers are expected to use, GiB",
                c.used_ram.value / MIB_PER_GIB,
            ),
        ):
            yield GaugeMetricFamily(f"dacirco_{name}", text, value)
        workers = GaugeMetricFamily("dacirco_workers", "workers", labels=("state", "flavor"))
        for state in ("booting", "idle", "busy", "draining"):
            for flavor, n in zip(c.flavors, getattr(c, state), strict=True):
                workers.add_metric((state, flavor.name), n)
        yield workers


class _LostLines(Collector):
    """What the event log could not take."""

    def __init__(self, lost: Callable[[], int]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "dacirco_event_log_lines_lost",
            "lines of the event log that could not be written",
            value=self._lost(),
        )


class Metrics:
    """All metrics of one controller, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"dacirco_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"dacirco_{name}", text, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"dacirco_{name}", text, buckets=buckets, registry=registry)

        self._submitted = counter("jobs_submitted", "jobs accepted")
        self._rejected = counter("jobs_rejected", "submissions refused", "reason")
        self._ended = counter("jobs", "jobs ended", "outcome")
        self._webhooks = counter("webhook_tries", "tries to deliver a webhook", "outcome")
        self._deadlines = counter("deadlines", "jobs with a deadline that ended", "outcome")
        self._retried = counter("jobs_retried", "ended jobs that were asked for again")
        self._requeued = counter("jobs_requeued", "attempts that came to nothing")
        self._faults = counter("task_failures", "attempts that failed, by whose fault", "fault")
        for fault in Fault:
            self._faults.labels(fault)
        self._quarantined = counter("workers_quarantined", "workers ended for failing in a row")
        self._unseen = counter("results_missing", "reported results that were not in the storage")
        self._storage_away = gauge("storage_away", "1 while the object storage answers nobody")
        self._all_fail = gauge("workers_failing", "1 while every worker fails with everything")
        self._spawned = counter("spawns", "workers ordered", "flavor")
        self._spawn_failures = counter("spawn_failures", "ordered workers that never came")
        self._lost = counter("workers_lost", "registered workers that vanished or fell silent")
        self._gone = counter("workers_gone", "workers of which nothing is left")
        self._refused = counter("events_refused", "events that were not allowed", "event")
        self._calls_refused = counter("calls_refused", "gRPC calls turned away", "reason")
        self._decisions = counter("decisions", "decisions", "source", "reason", "action")
        self._shadow = counter("shadow_decisions", "decisions of the policy in shadow", "action")
        self._switches = counter("control_switches", "changes of who decides", "source")
        self._in_charge = Gauge(
            "dacirco_in_charge",
            "1 for whoever decides now",
            ("source",),
            registry=registry,
        )
        self.in_charge(Source.POLICY)
        self._switches.labels(Source.FALLBACK)
        self._sojourn = histogram(
            "sojourn_seconds", "from submission to uploaded result", _DELAYS_S
        )
        self._waiting = histogram("waiting_seconds", "from submission to a worker", _DELAYS_S)
        self._latency = histogram("decision_seconds", "time of one decision", _LATENCIES_S)

    def watch(self, cluster: Cluster) -> None:
        """Report the levels of this cluster."""
        self.registry.register(_Levels(cluster))

    def watch_log(self, lost: Callable[[], int]) -> None:
        """Report how many lines of the event log were lost, as this function tells."""
        self.registry.register(_LostLines(lost))

    def submitted(self) -> None:
        """A job was accepted."""
        self._submitted.inc()

    def rejected(self, reason: str) -> None:
        """A job was not accepted."""
        self._rejected.labels(reason).inc()

    def refused(self, event: str) -> None:
        """An event was not allowed."""
        self._refused.labels(event).inc()

    def call_refused(self, reason: str) -> None:
        """A call was turned away: its caller is not known, or not allowed to make it."""
        self._calls_refused.labels(reason).inc()

    def stored_as_error(self) -> None:
        """A job that cannot be done was stored, and has ended."""
        self._ended.labels("error").inc()

    def webhook(self, outcome: str) -> None:
        """A webhook was tried: ``delivered``, ``failed`` or ``given-up``."""
        self._webhooks.labels(outcome).inc()

    def deadline(self, *, met: bool) -> None:
        """A job with a deadline has ended."""
        self._deadlines.labels("met" if met else "missed").inc()

    def retried(self) -> None:
        """A job that had ended was asked for again."""
        self._retried.inc()

    def result_missing(self) -> None:
        """A reported result was not in the storage."""
        self._unseen.inc()

    def in_charge(self, source: Source) -> None:
        """Who decides from now on."""
        for each in (Source.POLICY, Source.FALLBACK):
            self._in_charge.labels(each).set(each is source)

    def switched(self, source: Source) -> None:
        """Control has gone over."""
        self._switches.labels(source).inc()
        self.in_charge(source)

    def shadow(self, action: str) -> None:
        """The policy in the shadow would have done this."""
        self._shadow.labels(action).inc()

    def decided_in(self, seconds: float) -> None:
        """A decision took this long."""
        self._latency.observe(seconds)

    def count(self, step: Step) -> None:
        """Take in a step."""
        match step:
            case Decided(decision, carried_out):
                reason = decision.reason if carried_out else "not-possible"
                action = decision.action.kind.name.lower()
                self._decisions.labels(decision.source, reason, action).inc()
            case Assign(waited_s=waited_s, attempts=1):
                self._waiting.observe(waited_s)
            case Completed(sojourn_s=sojourn_s):
                self._sojourn.observe(sojourn_s)
                self._ended.labels("completed").inc()
            case Failed(fault=fault):
                self._ended.labels("error").inc()
                self._faults.labels(fault).inc()
            case Withdrawn():
                self._ended.labels("error").inc()
            case Cancelled():
                self._ended.labels("cancelled").inc()
            case Requeued(fault=fault):
                self._requeued.inc()
                self._faults.labels(fault).inc()
            case Quarantined():
                self._quarantined.inc()
            case StorageAway():
                self._storage_away.set(1)
            case StorageBack():
                self._storage_away.set(0)
            case AllFail():
                self._all_fail.set(1)
            case AllFailOver():
                self._all_fail.set(0)
            case Spawn(flavor=flavor):
                self._spawned.labels(flavor.name).inc()
            case SpawnFailed():
                self._spawn_failures.inc()
            case Lost():
                self._lost.inc()
            case Gone():
                self._gone.inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
