"""What the simulator predicts for the same requests, machine and policy."""

from __future__ import annotations

from agents.loading import live_policy
from deploy.comparison.figures import (
    Figures,
    cpu_figures,
    delay_figures,
    mean_figures,
    ram_figures,
)
from env.catalog import Catalog
from env.config import Profile
from env.cost import cost_so_far
from env.metrics import job_delays
from env.scenario import Scenario
from env.simulator import Simulator


def predict(
    profile: Profile,
    scenario: Scenario,
    catalog: Catalog,
    spec: str,
    fallback: str,
    preference: float,
    seeds: int,
) -> tuple[Figures, list[Figures]]:
    """Simulate a scenario with several seeds under the same guarded and shielded policy.

    Returns:
        The mean of each figure, and the figures of each seed.
    """
    runs = [
        _simulate(profile, scenario, catalog, spec, fallback, preference, seed)
        for seed in range(seeds)
    ]
    return mean_figures(runs), runs


def _simulate(
    profile: Profile,
    scenario: Scenario,
    catalog: Catalog,
    spec: str,
    fallback: str,
    preference: float,
    seed: int,
) -> Figures:
    policy, _ = live_policy(spec, fallback)
    simulator = Simulator(
        profile,
        scenario.requests,
        catalog,
        seed=seed,
        preference=preference,
        discipline=policy.discipline,
    )
    simulator.run(policy)
    cluster = simulator.cluster
    end = cluster.now
    delays = job_delays(simulator)
    return Figures(
        len(delays),
        *delay_figures(delays),
        *cpu_figures(cluster.reserved_cpu, end),
        *cpu_figures(cluster.used_cpu, end),
        *ram_figures(cluster.reserved_ram, end),
        *ram_figures(cluster.used_ram, end),
        boots=cluster.boots,
        makespan_s=end,
        cost=cost_so_far(cluster).weighed(preference),
    )
