"""The simulator against queueing theory.

Service times are put under control by a catalog with one movie for each request and a
profile whose law gives a video of d seconds d seconds of work: no scatter, no transfers, no
contention. So a run is a pure queue, and the arrivals and services that the theory wants
are drawn here, from fixed seeds.

Two kinds of proof:

*Path by path*: an independent account of the same arrivals and services (a list of servers
and a list of waiting jobs) must give the same waiting time of each job, to rounding.

*In the mean*: `REPLICATIONS` independent runs, each with its first `WARM_UP` jobs dropped
(many times the relaxation time of the queues here). The mean over the runs must lie within
the Student t interval around the closed form at `CONFIDENCE`: a single comparison of a
correct simulator fails with probability 2e-6, all of them together (fewer than 40) with
less than 1e-4. So that a passing test means something, the half-width of the interval must
also be below `PRECISION` of the true figure. What the drawn arrivals and services happen to
be in a run (their moments, of which the true values are known) serves as control variates
(Lavenberg and Welch, Management Science 27 (1981) 322-335).

Sources of the closed forms: Kleinrock, Queueing Systems I (1975), chapters 3 and 5 (M/M/k with
Erlang's C formula; Pollaczek-Khinchine). Setup times: Welch, "On a generalized M/G/1 queuing
process in which the first customer of each busy period receives exceptional service",
Operations Research 12 (1964) 736-752; Levy and Kleinrock, "A queue with starter and a queue
with vacations: delay analysis by decomposition", Operations Research 34 (1986) 426-436; Gandhi,
Harchol-Balter and Adan, "Server farms with setup costs", Performance Evaluation 67 (2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from env.config import PlacementName
from env.dispatch import AGEING
from env.metrics import measure
from env.simulator import Decider, Simulator
from tests.env.worlds import Erratic, FixedWorkers, OnDemand, make_profile, make_work

REPLICATIONS = 50
WARM_UP = 500
JOBS = 4000
CONFIDENCE = 1 - 2e-6
PRECISION = 0.1
AT_ONCE_S = 1e-9
"""A boot may not take no time at all."""


def queue(
    arrivals_s: Sequence[float] | np.ndarray,
    services_s: Sequence[float] | np.ndarray,
    policy: Decider,
    *,
    boot_s: float = AT_ONCE_S,
    boot_sigma: float = 0.0,
    discipline: str = "fcfs",
    max_workers: int | None = None,
    seed: int = 0,
) -> Simulator:
    """A run as a pure queue; Little's law is checked on every one."""
    profile = make_profile(
        nodes=[(64, 64.0)],
        flavors=[(1, 1.0)],
        cluster={} if max_workers is None else {"max_workers": max_workers},
        timing={"boot": {"median_s": boot_s, "sigma": boot_sigma}},
    )
    requests, catalog = make_work(arrivals_s, services_s)
    simulator = Simulator(profile, requests, catalog, discipline=discipline, seed=seed)
    simulator.run(policy)
    sojourns = np.subtract(simulator.ended_s, arrivals_s)
    assert simulator.cluster.jobs_integral() == pytest.approx(math.fsum(sojourns), rel=1e-9)
    assert simulator.cluster.busy_vcpu_integral() == pytest.approx(math.fsum(services_s), rel=1e-9)
    return simulator


def waits(simulator: Simulator) -> np.ndarray:
    arrivals = [request.arrival_s for request in simulator.requests]
    return np.subtract(simulator.assigned_s, arrivals)


# -- path by path ---------------------------------------------------------------------


def reference_waits(
    arrivals_s: Sequence[float], services_s: Sequence[float], servers: int, ageing: float | None
) -> list[float]:
    """Waiting time of each job at servers that never idle while a job waits.

    Args:
        arrivals_s: ascending.
        services_s: of each job.
        servers: how many.
        ageing: first come first served if none; else the shortest job first, with this
            much credit for each second of waiting.
    """
    free_at = [0.0] * servers
    heapify(free_at)
    waiting: list[tuple[float, int]] = []
    result = [math.nan] * len(arrivals_s)
    coming = 0
    for _ in arrivals_s:
        start = free_at[0] if waiting else max(free_at[0], arrivals_s[coming])
        while coming < len(arrivals_s) and arrivals_s[coming] <= start:
            key = arrivals_s[coming]
            if ageing is not None:
                key = services_s[coming] + ageing * key
            heappush(waiting, (key, coming))
            coming += 1
        job = heappop(waiting)[1]
        result[job] = start - arrivals_s[job]
        heapreplace(free_at, start + services_s[job])
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.floats(0.3, 1.5),
    st.sampled_from(["fcfs", "sjf"]),
    st.sampled_from([0.0, 0.5, 1.5]),
)
def test_each_job_waits_as_long_as_in_an_independent_account(
    seed: int, servers: int, load: float, discipline: str, sigma: float
) -> None:
    rng = np.random.default_rng(seed)
    n = 200
    # The servers are up when the first job comes with no work; then the others come.
    arrivals = np.concatenate([[0.0], 1.0 + np.cumsum(rng.exponential(1 / (load * servers), n))])
    services = np.concatenate([[1e-3], np.exp(sigma * rng.standard_normal(n))])
    found = waits(queue(arrivals, services, FixedWorkers(servers), discipline=discipline))
    ageing = AGEING if discipline == "sjf" else None
    expected = reference_waits(arrivals.tolist(), services.tolist(), servers, ageing)
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-6)


def test_the_order_of_service_changes_neither_the_work_nor_when_the_system_is_empty() -> None:
    """Conservation of work: one server is busy at the same times under any discipline."""
    rng = np.random.default_rng(17)
    n = 5000
    arrivals = np.cumsum(rng.exponential(1 / 0.8, n))
    services = rng.lognormal(-0.5, 1.0, n)
    runs = [
        queue(arrivals, services, FixedWorkers(1), discipline=discipline)
        for discipline in ("fcfs", "sjf")
    ]

    def ends_of_busy_periods(simulator: Simulator) -> np.ndarray:
        ends = np.sort(simulator.ended_s)
        next_arrival = np.append(arrivals[1:], math.inf)
        return ends[ends < next_arrival]  # the k-th end comes before the (k+1)-th arrival

    periods = [ends_of_busy_periods(run) for run in runs]
    assert len(periods[0]) > 500
    np.testing.assert_allclose(periods[0], periods[1], rtol=1e-12)
    assert waits(runs[1]).mean() < 0.8 * waits(runs[0]).mean()


# -- in the mean ----------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """A law of service times of mean 1."""

    second_moment: float
    draw: Callable[[np.random.Generator, int], np.ndarray]


def draw_lognormal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.lognormal(-math.log(1.8) / 2, math.sqrt(math.log(1.8)), n)


EXPONENTIAL = Service(2.0, lambda rng, n: rng.exponential(1.0, n))
DETERMINISTIC = Service(1.0, lambda _, n: np.ones(n))
LOGNORMAL = Service(1.8, draw_lognormal)


@dataclass(frozen=True)
class Replications:
    """Figures of independent runs, and the control variates of each.

    Attributes:
        figures: by name, shape (runs,) each.
        controls: deviation of the drawn means from the true ones, shape (runs, controls).
    """

    figures: dict[str, np.ndarray]
    controls: np.ndarray

    def assert_mean(self, name: str, true: float) -> None:
        """The mean of a figure agrees with the closed form."""
        sample = self.figures[name]
        n, n_controls = self.controls.shape
        design = np.column_stack([np.ones(n), self.controls])
        solution, *_ = np.linalg.lstsq(design, sample, rcond=None)
        freedom = n - n_controls - 1
        variance = np.sum((sample - design @ solution) ** 2) / freedom
        spread = math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
        half_width = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * spread
        assert half_width < PRECISION * true, f"{name}: the test would not notice an error"
        assert abs(solution[0] - true) < half_width, name


def replicate(
    rate: float,
    service: Service,
    figures: Callable[[Simulator], dict[str, float]],
    policy: Callable[[], Decider],
    **world: Any,
) -> Replications:
    """Independent runs.

    Args:
        rate: of the Poisson arrivals.
        service: law of the service times.
        figures: of one run.
        policy: makes a new policy.
        **world: see `queue`.
    """
    rows, controls = [], []
    for replication in range(REPLICATIONS):
        rng = np.random.default_rng([replication, int(1000 * rate)])
        n = WARM_UP + JOBS
        gaps, services = rng.exponential(1 / rate, n), service.draw(rng, n)
        run = queue(np.cumsum(gaps), services, policy(), seed=replication, **world)
        rows.append(figures(run))
        squares = np.square(services).mean() - service.second_moment
        controls.append([gaps.mean() - 1 / rate, services.mean() - 1.0, squares])
    drawn = np.array(controls)
    return Replications(
        {name: np.array([row[name] for row in rows]) for name in rows[0]},
        drawn[:, drawn.std(axis=0) > 0],  # deterministic service controls nothing
    )


def steady(values: np.ndarray) -> np.ndarray:
    """Of the jobs after the warm-up."""
    return values[WARM_UP:]


def erlang_c(servers: int, load: float) -> float:
    """Probability that a job must wait in M/M/k; `load` is the arrival rate over mu."""
    terms = [load**i / math.factorial(i) for i in range(servers)]
    last = load**servers / math.factorial(servers) / (1 - load / servers)
    return last / (sum(terms) + last)


def test_erlang_c_of_known_cases() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (2, 0.6), (5, 0.7)])
def test_erlang_c(servers: int, utilisation: float) -> None:
    """M/M/k: P(wait) = C(k, a) and E[W] = C(k, a) / (k mu - lambda), with mu = 1."""
    rate = servers * utilisation

    def figures(run: Simulator) -> dict[str, float]:
        waited = steady(waits(run))
        level = run.cluster.jobs_level.seconds_at(run.now)
        full = sum(seconds for jobs, seconds in level.items() if jobs >= servers)
        return {
            "wait": float(waited.mean()),
            "must wait": float((waited > 1e-6).mean()),
            "all busy": full / run.now,
        }

    found = replicate(rate, EXPONENTIAL, figures, lambda: FixedWorkers(servers))
    must_wait = erlang_c(servers, rate)
    found.assert_mean("must wait", must_wait)
    found.assert_mean("all busy", must_wait)  # Poisson arrivals see time averages
    found.assert_mean("wait", must_wait / (servers - rate))


@pytest.mark.slow
@pytest.mark.parametrize("service", [DETERMINISTIC, LOGNORMAL], ids=["deterministic", "lognormal"])
def test_pollaczek_khinchine(service: Service) -> None:
    """M/G/1: E[W] = lambda E[S^2] / (2 (1 - rho)), with E[S] = 1; P(wait) = rho."""
    rate = 0.5

    def figures(run: Simulator) -> dict[str, float]:
        waited = steady(waits(run))
        return {"wait": float(waited.mean()), "must wait": float((waited > 1e-6).mean())}

    found = replicate(rate, service, figures, lambda: FixedWorkers(1))
    found.assert_mean("wait", rate * service.second_moment / (2 * (1 - rate)))
    found.assert_mean("must wait", rate)


@pytest.mark.slow
@pytest.mark.parametrize(("setup_s", "sigma"), [(2.0, 0.0), (1.5, 0.6)], ids=["fixed", "random"])
def test_one_worker_with_setup_times(setup_s: float, sigma: float) -> None:
    """M/M/1 whose server is destroyed at once when idle and takes D to set up again.

    With E[S] = 1, rho = lambda (Levy and Kleinrock; for deterministic D, E[D^2] = D^2):

        E[T] = 1 / (1 - rho) + (2 E[D] + lambda E[D^2]) / (2 (1 + lambda E[D]))

    A cycle is off (mean 1 / lambda), setup (E[D]) and busy, which takes the share rho of the
    time; so setups begin at rate lambda (1 - rho) / (1 + lambda E[D]).
    """
    rate = 0.5
    mean = setup_s * math.exp(sigma**2 / 2)
    square = mean**2 * math.exp(sigma**2)

    def figures(run: Simulator) -> dict[str, float]:
        arrivals = [request.arrival_s for request in run.requests]
        cluster = run.cluster
        in_setup = cluster.reserved_vcpu_integral() - cluster.busy_vcpu_integral()
        return {
            "delay": float(steady(np.subtract(run.ended_s, arrivals)).mean()),
            "in setup": in_setup / run.now,
            "setups": cluster.boots / run.now,
        }

    found = replicate(
        rate, EXPONENTIAL, figures, OnDemand, boot_s=setup_s, boot_sigma=sigma, max_workers=1
    )
    extra = (2 * mean + rate * square) / (2 * (1 + rate * mean))
    found.assert_mean("delay", 1 / (1 - rate) + extra)
    setups = rate * (1 - rate) / (1 + rate * mean)
    found.assert_mean("setups", setups)
    found.assert_mean("in setup", setups * mean)


# -- nothing is reserved that is not there --------------------------------------------


@pytest.mark.parametrize("placement", get_args(PlacementName))
@pytest.mark.parametrize("seed", range(3))
def test_reserved_capacity_never_exceeds_a_node(placement: PlacementName, seed: int) -> None:
    """Over the whole run, from the record of every level that was ever held."""
    profile = make_profile(
        nodes=[(6, 16.0), (4, 9.0), (8, 7.0)],
        tick_s=5.0,
        cluster={"placement": placement, "vcpu_overcommit": 1.5, "ram_overcommit": 1.25},
        timing={"stop": {"median_s": 2.0}},
        faults={"worker_loss_per_hour": 30.0, "spawn_failure": 0.1},
    )
    rng = np.random.default_rng(seed)
    n = 300
    requests, catalog = make_work(np.cumsum(rng.exponential(2.0, n)), rng.exponential(30.0, n))
    simulator = Simulator(profile, requests, catalog, seed=seed)
    simulator.run(Erratic(seed))
    now = simulator.now
    metrics = measure(simulator)
    for node, figures in zip(simulator.cluster.nodes, metrics.nodes, strict=True):
        most_cpu = max(node.reserved_cpu.seconds_at(now))
        most_ram = max(node.reserved_ram.seconds_at(now))
        assert 0 < most_cpu <= node.capacity_millicores == 1500 * node.config.cores
        assert 0 < most_ram <= node.capacity_mib == 1280 * node.config.ram_gib
        assert min(node.reserved_cpu.seconds_at(now)) == 0
        assert min(node.used_cpu.seconds_at(now)) >= 0
        assert 0.0 < figures.cpu.reserved_p95 <= 1.0
        assert 0.0 < figures.ram.reserved_p95 <= 1.0
    # The cluster was really full at times, so the limit was put to the test.
    assert metrics.cpu_reserved_p95 > 0.6
