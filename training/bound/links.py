r"""A second lower bound: what comes before each job on its worker.

The prices of `training.bound.prices` let fractions of workers serve a job, and fractions of a
boot are cheap: where boots are dear and waiting is cheap that is far from the truth. Here every
worker is whole, but the jobs of different workers do not see one another.

**Statement.** With r_j, s_jf, kappa_f, theta as in `training.bound.clairvoyant` and a share lam in
[0, 1], let each job j either be the first of its worker or follow another job i, each i being
followed at most once, at the costs

    first:      min_f [ own_jf + kappa_f theta ]
    follows i:  min_f [ own_jf + l_ijf ],    own_jf = w (r_j - a_j) + (w + kappa_f) s_jf,

with x = r_j - r_i - s_if the time between the jobs if both start at their release, and

    l_ijf = min(kappa_f, lam w) x  where x >= 0,    (1 - lam) w (-x)  where x < 0.

The least total over all such choices (an assignment problem) is a lower bound on the cost, but
for what the boots fall short of theta, which `training.bound.clairvoyant` takes off.

**Proof.** In any run each job that ends is served (the last time) by one worker of some flavor
f, right after another job i of that worker, or first. Let d_j >= 0 be its start less r_j; its
delay costs w (r_j - a_j + d_j + s_jf) or more, the first s_jf seconds on the worker
kappa_f s_jf, a worker's boot kappa_f theta, and what lies between these seconds of i and the
start of j (what contention adds to i, and idling) kappa_f (x + d_j - d_i), never negative. Give
the share lam of w d_j to the job that follows j, and the
rest to j's own place behind i. What j's place costs besides own_jf is then at least the
least of ``kappa_f (x + d_j - d_i) + lam w d_i + (1 - lam) w d_j`` over d_i, d_j >= 0 with
x + d_j - d_i >= 0, which is l_ijf. Whoever follows whom in the run is one of the choices.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from training.bound.prices import Floats, PricedJobs

_SHARES: Final = (0.5, 0.75, 0.9, 1.0)
"""Tried as lam; every one is valid."""


def best_links(jobs: PricedJobs) -> float:
    """The largest of the bounds for several shares."""
    return max(link_value(jobs, share) for share in _SHARES)


def link_value(jobs: PricedJobs, share: float) -> float:
    """The bound for one share lam."""
    n = len(jobs.release_s)
    wait = jobs.delay_price * (jobs.release_s - jobs.arrival_s)
    own = wait[:, None] + (jobs.delay_price + jobs.worker_price) * jobs.service_s
    first = (own + jobs.boot_price).min(axis=1)
    follows = np.full((n, n), np.inf)
    for f, price in enumerate(jobs.worker_price.tolist()):
        ends = jobs.release_s + jobs.service_s[:, f]
        between = jobs.release_s[None, :] - ends[:, None]  # row i, then column j
        link = np.where(
            between >= 0.0,
            min(price, share * jobs.delay_price) * between,
            -(1.0 - share) * jobs.delay_price * between,
        )
        follows = np.minimum(follows, own[None, :, f] + link)
    return _cheapest(first, follows)


def _cheapest(first: Floats, follows: Floats) -> float:
    """The least total where each job is first or follows another."""
    n = len(first)
    np.fill_diagonal(follows, np.inf)
    nobody = np.full((n, n), np.inf)
    np.fill_diagonal(nobody, first)
    before = np.concatenate([follows, nobody]).T  # each job, and what comes before it
    rows, columns = linear_sum_assignment(before)
    return float(before[rows, columns].sum())
