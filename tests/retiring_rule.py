"""A rule that starts large workers and retires them as soon as it may."""

from __future__ import annotations

import pytest

from agents import registry
from agents.minimize_workers import MinimizeWorkers
from env.actions import KEEP, Action, kill, spawn
from env.cluster import Cluster


class RetiringRule(MinimizeWorkers):
    """Starts now the largest flavor that fits, now the smallest; ends all that may end."""

    name = "retiring"
    aliases = ()

    def act(self, cluster: Cluster) -> Action:
        """See the class."""
        flavors = range(cluster.n_flavors)
        if cluster.waiting > cluster.n_booting:
            order = reversed(flavors) if cluster.boots % 2 == 0 else flavors
            fitting = next((flavor for flavor in order if cluster.can_spawn(flavor)), None)
            if fitting is not None:
                return spawn(fitting)
        ending = next((flavor for flavor in flavors if cluster.can_kill(flavor)), None)
        return KEEP if ending is None else kill(ending)


def known(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the rule known for one test; gives its name."""
    monkeypatch.setitem(registry._by_name, RetiringRule.name, RetiringRule)
    return RetiringRule.name
