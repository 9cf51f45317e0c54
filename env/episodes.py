"""Where episodes come from: one family, given scenarios, or everything drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, log
from typing import Final

import numpy as np

from env.catalog import Catalog, load_catalog
from env.config import NodeConfig, Profile, load_profile
from env.continuation import ArrivalSource, draw_with_source
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.families import (
    FAMILIES,
    TRAINING_FAMILIES,
    ArrivalFamily,
    random_family,
)
from env.jobs import Request
from env.load import mean_core_seconds, rate_for_load
from env.recipes import TRAIN, make_scenario, redrawn
from env.scenario import Scenario
from env.timing import TimingModel

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Episode:
    """All that a run needs.

    Attributes:
        profile: data centre and timing.
        requests: in order of arrival.
        catalog: their movies.
        preference: w.
        seed: of the simulator.
        horizon_s: the episode is truncated here; infinite for a whole scenario.
        source: what another future of the requests is drawn from; none if they are given.
    """

    profile: Profile
    requests: Sequence[Request]
    catalog: Catalog
    preference: float
    seed: int
    horizon_s: float
    source: ArrivalSource | None = field(default=None, compare=False, repr=False)


EpisodeSampler = Callable[[Rng], Episode]
"""Draws an episode."""


def draw_preference(rng: Rng, margin: float = 0.0) -> float:
    """A preference, uniform over its range and `margin` beyond, then kept to the range."""
    low, high = MIN_PREFERENCE, MAX_PREFERENCE
    return min(max(float(rng.uniform(low - margin, high + margin)), low), high)


_FIRST_TRAINING_DRAW: Final = 1_000
"""Draws of the recipes before this one are left to those who confirm or validate."""
_TRAINING_DRAWS: Final = 1_000_000


def _draw_seed(rng: Rng) -> int:
    return int(rng.integers(2**31))


def family_episodes(
    profile: Profile, family: str, load: float, horizon_s: float, catalog: Catalog | None = None
) -> EpisodeSampler:
    """Episodes of one arrival family at one offered load.

    Raises:
        UnknownNameError: there is no such family.
    """
    movies = catalog or load_catalog()
    cores = sum(node.cores for node in profile.cluster.nodes)
    rate = rate_for_load(load, cores, mean_core_seconds(TimingModel(profile), movies))
    return partial(_of_family, profile, FAMILIES[family](rate), movies, horizon_s)


# The samplers are functions of this module with their arguments, so that pickle can write them
# down, and with them an environment.


def _of_family(
    profile: Profile, arrivals: ArrivalFamily, movies: Catalog, horizon_s: float, rng: Rng
) -> Episode:
    requests, source = draw_with_source(arrivals, rng, movies, horizon_s)
    preference = draw_preference(rng)
    return Episode(profile, requests, movies, preference, _draw_seed(rng), horizon_s, source)


def scenario_episodes(
    profile: Profile, scenarios: Sequence[Scenario], catalog: Catalog | None = None
) -> EpisodeSampler:
    """Episodes that replay one of the scenarios from start to end."""
    return partial(_of_scenarios, profile, tuple(scenarios), catalog or load_catalog())


def _of_scenarios(
    profile: Profile, scenarios: Sequence[Scenario], movies: Catalog, rng: Rng
) -> Episode:
    scenario = scenarios[int(rng.integers(len(scenarios)))]
    return Episode(profile, scenario.requests, movies, draw_preference(rng), _draw_seed(rng), inf)


@dataclass(frozen=True, slots=True)
class Randomisation:
    """Ranges of the domain randomisation.

    Attributes:
        profiles: base profiles and how often each is drawn.
        home_share: share of episodes on the base profile's own number of nodes.
        nodes: fewest and most nodes in the others.
        single_share: share of those others that run on one small, over-committed machine,
            as the embedded service does: `single_cores` cores that hold as many vCPUs as
            a whole node.
        single_cores: fewest and most cores of such a machine.
        speed: factor on the transcoding time, least and most (log-uniform).
        contention: factor on its growth with the load of the node, likewise (uniform).
        boot: factor on the boot time, likewise.
        cached_share: share of episodes whose nodes hold the image from the start.
        fault_share: share of episodes with faults.
        horizon_s: shortest and longest episode, seconds (log-uniform).
        families: of arrivals, equally likely.
        preference_margin: how far beyond the ends of their range preferences are drawn, before
            they are kept to it: what falls beyond makes the ends more frequent.
        recipe_share: share of the episodes that are scenarios of the training split with other
            jobs (`env.recipes.redrawn`), on the first profile as it is, from start to end.
    """

    profiles: tuple[tuple[str, float], ...] = (("openstack", 0.85), ("kubernetes", 0.15))
    home_share: float = 0.6
    nodes: tuple[int, int] = (1, 12)
    single_share: float = 0.15
    single_cores: tuple[int, int] = (2, 6)
    speed: tuple[float, float] = (0.65, 1.5)
    contention: tuple[float, float] = (0.5, 1.5)
    boot: tuple[float, float] = (0.6, 1.6)
    cached_share: float = 0.5
    fault_share: float = 0.2
    horizon_s: tuple[float, float] = (1800.0, 7200.0)
    families: tuple[str, ...] = tuple(TRAINING_FAMILIES)
    preference_margin: float = 0.0
    recipe_share: float = 0.0


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(log(low), log(high))))


def randomise_profile(base: Profile, rng: Rng, ranges: Randomisation) -> Profile:
    """A profile near the base: other size, speeds, boot times, faults."""
    cluster, timing = base.cluster, base.timing
    if rng.random() >= ranges.home_share:
        model = cluster.nodes[0]
        if rng.random() < ranges.single_share:
            cores = int(rng.integers(ranges.single_cores[0], ranges.single_cores[1] + 1))
            cluster = replace(
                cluster,
                nodes=(NodeConfig("node1", cores, model.ram_gib, model.disk_gib),),
                vcpu_overcommit=max(1.0, model.cores / cores),
            )
        else:
            n = int(rng.integers(ranges.nodes[0], ranges.nodes[1] + 1))
            nodes = tuple(
                NodeConfig(f"node{i + 1}", model.cores, model.ram_gib, model.disk_gib)
                for i in range(n)
            )
            cluster = replace(cluster, nodes=nodes)
    boot = _log_uniform(rng, *ranges.boot)
    timing = replace(
        timing,
        transcode=replace(
            timing.transcode,
            intercept=timing.transcode.intercept + log(_log_uniform(rng, *ranges.speed)),
            parallel_exponent=timing.transcode.parallel_exponent + rng.uniform(-0.1, 0.1),
        ),
        boot=replace(
            timing.boot,
            median_s=timing.boot.median_s * boot,
            first_on_node_s=timing.boot.first_on_node_s * boot,
        ),
        contention=replace(
            timing.contention,
            slope_per_core=timing.contention.slope_per_core * rng.uniform(*ranges.contention),
        ),
    )
    faults = base.faults
    if rng.random() < ranges.fault_share:
        faults = replace(
            faults,
            spawn_failure=rng.uniform(0.0, 0.1),
            worker_loss_per_hour=rng.uniform(0.0, 1.0),
            transcode_error=rng.uniform(0.0, 0.02),
        )
    return replace(
        base,
        cluster=cluster,
        timing=timing,
        faults=faults,
        image_cached=base.image_cached or rng.random() < ranges.cached_share,
    )


def random_episodes(
    ranges: Randomisation | None = None, catalog: Catalog | None = None
) -> EpisodeSampler:
    """Episodes with everything drawn anew: family, load, profile, preference, length."""
    return _RandomEpisodes(ranges or Randomisation(), catalog or load_catalog())


class _RandomEpisodes:
    """What `random_episodes` returns; what all episodes share is worked out once."""

    def __init__(self, ranges: Randomisation, movies: Catalog) -> None:
        self._ranges, self._movies = ranges, movies
        self._bases = [load_profile(name) for name, _ in ranges.profiles]
        shares = np.array([share for _, share in ranges.profiles])
        self._shares = shares / shares.sum()
        self._work = [mean_core_seconds(TimingModel(base), movies) for base in self._bases]
        self._families = {name: TRAINING_FAMILIES[name] for name in ranges.families}

    def __call__(self, rng: Rng) -> Episode:
        """Draw an episode."""
        ranges, movies = self._ranges, self._movies
        if ranges.recipe_share and rng.random() < ranges.recipe_share:
            return self._redraw(rng)
        which = int(rng.choice(len(self._bases), p=self._shares))
        base = self._bases[which]
        profile = randomise_profile(base, rng, ranges)
        cores = sum(node.cores for node in profile.cluster.nodes)
        horizon = _log_uniform(rng, *ranges.horizon_s)
        law, drawn = base.timing.transcode, profile.timing.transcode
        mean_work = self._work[which] * float(np.exp(drawn.intercept - law.intercept))
        family = random_family(rng, cores=cores, mean_core_s=mean_work, families=self._families)
        requests, source = draw_with_source(family, rng, movies, horizon)
        preference = draw_preference(rng, ranges.preference_margin)
        return Episode(profile, requests, movies, preference, _draw_seed(rng), horizon, source)

    def _redraw(self, rng: Rng) -> Episode:
        ranges = self._ranges
        recipe = TRAIN[int(rng.integers(len(TRAIN)))]
        draw = _FIRST_TRAINING_DRAW + int(rng.integers(_TRAINING_DRAWS))
        requests = make_scenario(redrawn(recipe, draw)).requests
        preference = draw_preference(rng, ranges.preference_margin)
        return Episode(self._bases[0], requests, self._movies, preference, _draw_seed(rng), inf)
