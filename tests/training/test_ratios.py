"""The ratios that the network works out from the observation."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from agents.registry import make_policy
from env.actions import action_index
from env.arrivals import MEDIUM, SHORT
from tests.training.small_world import members, recorded
from training.ratios import NAMES, Ratios


def test_the_ratios_are_those_of_the_cluster() -> None:
    (member,) = members(1)
    member.begin()
    cluster = member.simulator.cluster
    rule = make_policy("adaptive-flavor")
    rule.reset(cluster)
    ratios = Ratios([flavor.name for flavor in cluster.flavors])
    row = np.zeros((1, member.observation_space.shape[0]), dtype=np.float32)
    busiest = 0
    for _ in range(400):
        member.observe_into(row[0])
        found = dict(zip(NAMES, ratios(torch.as_tensor(row))[0].tolist(), strict=True))
        live = cluster.n_booting + cluster.n_idle + cluster.n_busy
        jobs, soon = cluster.waiting + cluster.n_busy, cluster.n_booting + cluster.n_idle
        work_s, now = cluster.queued_service_s[0], cluster.now
        expected = {
            "jobs for each worker": (jobs + 0.3) / (live + 0.3),
            "waiting jobs for each worker that boots or idles": (cluster.waiting + 0.3)
            / (soon + 0.3),
            "waiting jobs for each worker": (cluster.waiting + 0.3) / (live + 0.3),
            "queued work for each worker": (work_s + 5) / (live + 0.3),
            "queued work for each waiting job": (work_s + 5) / (cluster.waiting + 0.3),
            "short load for each worker": (cluster.arrivals.offered_load(now, SHORT) + 0.2)
            / (live + 0.2),
            "medium load for each worker": (cluster.arrivals.offered_load(now, MEDIUM) + 0.2)
            / (live + 0.2),
            "booting workers for each waiting job": (cluster.n_booting + 0.3)
            / (cluster.waiting + 0.3),
            "workers": live + 0.3,
            "preference": cluster.preference / (1 - cluster.preference),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(log(value), abs=2e-3), name
        busiest = max(busiest, jobs)
        _, terminated, truncated = member.decide(action_index(rule.act(cluster), cluster.n_flavors))
        if terminated or truncated:
            break
    assert busiest > 2


def test_whatever_is_seen_gives_finite_ratios() -> None:
    ratios = Ratios(["a", "b", "c"])
    size = recorded().shape[1]
    extremes = torch.tensor([[0.0] * size, [1.0] * size, [-1.0] + [3.0] * (size - 1)])
    assert torch.isfinite(ratios(torch.as_tensor(recorded()))).all()
    assert torch.isfinite(ratios(extremes)).all()
