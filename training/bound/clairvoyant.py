r"""A lower bound on the cost of any schedule, also of one that knows all arrivals.

**Statement.** Take a data centre, requests, a seed and a preference w, and any policy under
which all jobs end (and, as long as workers are never lost: see below). The cost of its run
(`env.cost`) is at least `clairvoyant_bound`. The bound is of the run with its scatter: it
uses how long each job really takes on each flavor, which no policy can know.

**Notation.** Job j arrives at a_j and takes s_jf on a worker of flavor f alone on its node
(`Simulator.alone`); contention only prolongs it. A worker of flavor f reserves
c_f equivalent cores, kappa_f = (1 - w) c_f a second, from the order to spawn until it is
gone. It is *ready* in an interval [u, v] between the end of its boot and its end (or the end
of the run). While ready it uses a share sigma_f of the data centre's vCPUs (or RAM).

**Prices.** Let p_f(t) >= 0 be a price for a ready worker of flavor f and q(t) >= 0 one for
the whole capacity, both zero outside a finite time, such that for every f and u < v

    (1)   int_u^v (p_f - kappa_f - sigma_f q) dt  <=  kappa_f theta,

with theta seconds a price for booting. Then, with b the earliest time at which any worker can
be ready and r_j = max(a_j, b),

    (2)   cost  >=  sum_j min_{f, S >= r_j} [ w (S + s_jf - a_j) + int_S^{S + s_jf} p_f dt ]
                    - int q dt + (boots at their least - kappa theta for each).

**Proof** (weak duality). A job that ends is served, from S_j to C_j >= S_j + s_jf, by a worker
that is ready all the while (if a worker was lost under it, count its last attempt only); the
jobs of one worker follow one another. The run's cost is w sum_j (C_j - a_j) plus, for each
worker, kappa_f times (boot + ready + stop). Leave the stops out. For a worker that is ready
in [u, v], (1) gives kappa_f (theta + v - u) >= int_u^v p_f - sigma_f int_u^v q. As p_f >= 0,
int_u^v p_f is at least the sum of int_{S_j}^{C_j} p_f over its jobs, and C_j may be replaced
by S_j + s_jf in both terms, which only makes them smaller. At any time the shares sigma_f of
the ready workers add up to at most 1, so the terms in q add up to at most int q. Together the
cost is at least (2), where the last bracket makes up for theta in place of the true boots.

**Boots.** The scatter of the k-th boot, x_k, is fixed by the seed, but the policy decides which
boots are of which flavor, and which complete. A worker that completes its boot has taken at least
median * x_k, and a doomed spawn holds its resources as long. With m completed boots at most
m + n were ordered: at most n, as many workers as fit, are booting when the run ends. So the boots
cost at least what the m largest values of phi(x) = max_f kappa_f (theta - median x) leave of theta:

    sum of boots >= theta sum kappa_f - h,   h = max_m (the m largest phi among m + n draws),

for m up to some M. A run with more than M boots costs at least min_f kappa_f times the M
smallest among M + n boots; the bound is the smaller of the two, and M is raised until that
does not matter. The first worker to be ready anywhere has one of the first n draws, and copies
the image if no node holds it: its boot costs the copy on top, and no job starts before it.
Where workers can be lost while they boot, draws cannot be counted: theta and b are then 0.

**Congestion.** While a node's transcodes keep x vCPUs busy they are slowed by g(x) or more
(boots only add to it), so what they lose is x (1 - 1/g(x)) vCPU-seconds a second. A job's
transcode of W seconds at load l takes T > W then, and the proof above has thrown away
w (T - W), and as much of p_f. Let p_f >= kappa_f at all times; then at least
rho l (T - W) was thrown away, rho = min (w + kappa_f) / l, and over all jobs the integral of
rho sum_nodes x (1 - 1/g(x)). With a price pi(t) >= 0 for load this is at least

    int pi sum_nodes x dt - int G(pi) dt,    G(pi) = nodes * max_x [pi x - rho x (1 - 1/g(x))],

and int pi sum x is at least the sum over the jobs of l int pi over the first W seconds of
their transcodes. So (2) holds with that term added for each job, within the minimum, and with
int G(pi) subtracted; G is replaced by lines above it. Where load can never be above the knee
this gains nothing, and p_f >= kappa_f costs something: then it is left out. (So it is for nodes
of different cores.)

**Which prices.** Any that satisfy (1) give a valid bound. `training.bound.prices` looks for the
best ones that change at given times only, by a linear program (HiGHS), rounds them so that
(1) holds exactly, and evaluates (2) exactly: with prices that are constant between those times
the minimum over S is where S, S + s_jf or a phase of the job meets one of them, or at r_j. The
program's own tolerance therefore cannot make the bound too large, only too small.

**Links.** `training.bound.links` has a second bound with the same theta, in which workers are whole
but capacity and congestion have no price. The larger of the two counts.

What the bound leaves out, and so how much of its distance from real policies nobody can win
back: the load and the room of booting workers, stops, nodes as separate bins, and that workers
are whole and meet one another at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.catalog import Catalog
from env.cluster import Cluster
from env.config import Profile
from env.jobs import Request
from env.simulator import Simulator, boot_scatter, copy_scatter
from training.bound.links import best_links
from training.bound.prices import Congestion, PricedJobs, best_value

Floats = NDArray[np.float64]

_THETAS: Final = (0.80, 0.84, 0.87, 0.90, 0.92, 0.95, 1.0)
"""Tried as the price of a boot, in medians; every one is valid."""
_BOOTS_PER_JOB: Final = 0.3
"""Roughly, in the choice of theta only."""
_LOADS: Final = 10_001
_LINES: Final = 12
"""Points of the loads of a node, and of their prices, in what the congestion costs."""
_FIRST_BOOTS: Final = 40
"""M for each job, to begin with."""
_SAFETY: Final = 1e-9
"""Relative; covers the rounding of sums of floats."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is known of the boots before the run.

    Attributes:
        theta_s: price of a boot, seconds.
        shortfall: h, by how much the boots may fall short of their price, cost.
        first_ready_s: b, no worker is ready before, seconds.
        copy: least cost of copying the image to a first node.
    """

    theta_s: float
    shortfall: float
    first_ready_s: float
    copy: float


def clairvoyant_bound(
    profile: Profile,
    requests: Sequence[Request],
    catalog: Catalog,
    *,
    seed: int,
    preference: float,
) -> float:
    """A lower bound on the cost of a run, whatever the policy; see the module.

    Args:
        profile: data centre and timing.
        requests: in order of arrival.
        catalog: their movies.
        seed: of the `Simulator`.
        preference: w.
    """
    if not requests:
        return 0.0
    simulator = Simulator(profile, requests, catalog, seed=seed, preference=preference)
    cluster = simulator.cluster
    kappa = np.array(
        [(1.0 - preference) * cluster.flavor_cost(f) for f in range(cluster.n_flavors)]
    )
    usable = np.array([cluster.capacity_of(f) > 0 for f in range(cluster.n_flavors)])
    arrival = np.array([request.arrival_s for request in requests])
    alone = simulator.alone()
    transcode = alone.transcode_s[:, usable]
    boots = _FIRST_BOOTS * len(requests)
    while True:
        setup, many_boots = _setup(profile, cluster, kappa[usable], seed, boots, arrival)
        jobs = PricedJobs(
            arrival_s=arrival,
            release_s=np.maximum(arrival, setup.first_ready_s),
            download_s=alone.download_s,
            transcode_s=transcode,
            service_s=transcode + (alone.download_s + alone.upload_s)[:, None],
            load=alone.load[:, usable],
            delay_price=preference,
            worker_price=kappa[usable],
            share=_shares(cluster)[usable],
            boot_s=setup.theta_s,
        )
        value = max(best_value(_crowded(profile, jobs) or jobs), best_links(jobs))
        bound = value - setup.shortfall + setup.copy
        if bound <= many_boots:
            return bound - _SAFETY * abs(bound)
        boots *= 4


def _crowded(profile: Profile, jobs: PricedJobs) -> PricedJobs | None:
    """The jobs with a price for load; none where it could not gain anything."""
    cluster, law = profile.cluster, profile.timing.contention
    model = cluster.nodes[0]
    if any(node.cores != model.cores for node in cluster.nodes):
        return None
    n, knee = len(cluster.nodes), law.knee_share * model.cores
    calm = n * (knee if law.slope_per_core > 0.0 else model.cores)
    if _most_load(jobs) <= calm:
        return None
    rate = float(((jobs.delay_price + jobs.worker_price) / jobs.load).min())
    most = model.cores * cluster.vcpu_overcommit
    load = np.linspace(0.0, most, _LOADS)
    slowdown = np.exp(law.slope_per_core * np.maximum(0.0, load - knee))
    slowdown *= np.maximum(1.0, load / model.cores)
    extra = rate * load * (1.0 - 1.0 / slowdown)
    prices = np.linspace(0.0, rate * (1.0 + law.slope_per_core * most), _LINES)
    # Both terms grow with the load: in each interval one at its end, the other at its start.
    earned = n * (prices[:, None] * load[1:] - extra[:-1]).max(axis=1)
    earned[0] = 0.0
    slopes = np.append(np.diff(earned) / np.diff(prices), n * most)
    return replace(
        jobs,
        congestion=Congestion(slopes, earned - slopes * prices),
        floor=1.0,
    )


def _most_load(jobs: PricedJobs) -> float:
    """The load if each job began to transcode on the smallest flavor at its release."""
    begins = jobs.release_s + jobs.download_s
    times = np.concatenate([begins, begins + jobs.transcode_s[:, 0]])
    change = np.concatenate([jobs.load[:, 0], -jobs.load[:, 0]])
    return float(np.cumsum(change[np.argsort(times, kind="stable")]).max())


def _shares(cluster: Cluster) -> Floats:
    """Share of the data centre that a worker of each flavor takes, of the scarcer resource."""
    vcpus = np.array([flavor.vcpus for flavor in cluster.flavors], dtype=np.float64)
    ram = np.array([flavor.ram_gib for flavor in cluster.flavors], dtype=np.float64)
    limits = cluster.config
    by_vcpu = vcpus / min(cluster.capacity_vcpus, limits.max_vcpus or np.inf)
    by_ram = ram / min(cluster.capacity_ram_gib, limits.max_ram_gib or np.inf)
    # Rounding to whole MiB could let a worker more in than the figures say.
    by_ram *= 1.0 - 1e-3
    return by_vcpu if by_vcpu.sum() >= by_ram.sum() else by_ram


def _setup(
    profile: Profile, cluster: Cluster, kappa: Floats, seed: int, most_boots: int, arrival: Floats
) -> tuple[Setup, float]:
    """The boots' part of the bound, and what a run with more than so many boots costs."""
    law = profile.timing.boot
    if profile.faults.worker_loss_per_hour > 0.0:
        return Setup(0.0, 0.0, 0.0, 0.0), np.inf
    fit = int(cluster.capacity_vcpus // min(flavor.vcpus for flavor in cluster.flavors))
    draws = np.exp(law.sigma * boot_scatter(seed, most_boots + fit))
    boots = law.median_s * draws
    first = float(draws[:fit].min())
    copied = 0.0 if profile.image_cached else law.first_on_node_s
    if law.first_on_node_sigma > 0.0:  # whoever is ready first is among the first that fit
        quickest = float(copy_scatter(seed, fit).min())
        copied *= float(np.exp(law.first_on_node_sigma * quickest))
    decided = min(float(arrival[0]), profile.tick_s)  # no decision is due before
    theta, shortfall = _price_of_boots(boots, kappa, fit, most_boots, len(arrival), law.median_s)
    setup = Setup(
        theta_s=theta,
        shortfall=shortfall,
        first_ready_s=decided + (law.median_s + copied) * first,
        copy=float(kappa.min()) * copied * first,
    )
    cheapest = np.partition(boots, most_boots - 1)[:most_boots]
    return setup, float(kappa.min() * cheapest.sum())


def _price_of_boots(
    boots: Floats, kappa: Floats, fit: int, most: int, n_jobs: int, median_s: float
) -> tuple[float, float]:
    """Theta and h: of the thetas tried the one that promises most."""
    best, found = -np.inf, (0.0, 0.0)
    for share in _THETAS:
        theta = share * median_s
        shortfall = _shortfall(theta - boots, kappa, fit, most)
        promise = _BOOTS_PER_JOB * n_jobs * float(kappa.min()) * theta - shortfall
        if promise > best:
            best, found = promise, (theta, shortfall)
    return found


def _shortfall(short_s: Floats, kappa: Floats, fit: int, most: int) -> float:
    """h: the most that completed boots can fall short of their price."""
    phi = np.where(short_s > 0.0, kappa.max() * short_s, kappa.min() * short_s)
    if phi.max() <= 0.0:
        return 0.0
    worst, low = 0.0, 1
    while low <= most:
        # For m from low to high: no more draws than at high, and at least the low largest.
        high = min(most, low + low // 20)
        drawn = phi[: high + fit]
        positive = int((drawn > 0.0).sum())
        counted = min(max(low, positive), high)
        largest = np.partition(drawn, len(drawn) - counted)[len(drawn) - counted :]
        worst = max(worst, float(largest.sum()))
        low = high + 1
    return worst
