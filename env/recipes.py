"""How the scenario files are made, of which `python -m env.make_scenarios` writes the shipped ones.

Everything is drawn from the seeds in this file, so that the same scenarios come out each
time. The training split has the training families only; the test split has them
with other parameters, and the families that training never draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from env.catalog import load_catalog
from env.families import (
    ArrivalFamily,
    Batches,
    Bursts,
    DaCirco,
    DayNight,
    FlashCrowd,
    HeavyTail,
    NearIdle,
    Poisson,
    Ramp,
    Regular,
    draw_requests,
)
from env.load import rate_for_load
from env.scenario import Scenario

REFERENCE_CORES: Final = 18.0
REFERENCE_CORE_S: Final = 59.9
"""Mean work of a request, core-seconds, for which the loads below are named.

`env.load.mean_core_seconds` of the catalog ``bbb`` under the profile ``openstack``. It is
written down so that a new calibration of the profile does not change the test scenarios.
"""

_SEEDS_OF_A_DRAW: Final = 10_000
"""More than there are seeds in this file: no draw has a seed of another."""

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one scenario file is made.

    Attributes:
        name: ``SPLIT/NAME``.
        family: the arrival process; its rate comes from `load`.
        load: offered load, as a share of 18 cores.
        horizon_s: no request comes later, seconds.
        seed: of everything that is drawn; no two recipes have the same.
    """

    name: str
    family: ArrivalFamily
    load: float
    horizon_s: float
    seed: int

    @property
    def split(self) -> str:
        """``train`` or ``test``."""
        return self.name.partition("/")[0]


def _recipes(
    split: str, first_seed: int, rows: Iterable[tuple[str, ArrivalFamily, float, float]]
) -> tuple[Recipe, ...]:
    return tuple(
        Recipe(f"{split}/{name}", family, load, horizon_s, seed)
        for seed, (name, family, load, horizon_s) in enumerate(rows, start=first_seed)
    )


TRAIN: Final = _recipes(
    "train",
    1001,
    [
        ("dacirco-mild", DaCirco(), 0.25, 30 * _MINUTE),
        ("dacirco-busy", DaCirco(), 0.6, 20 * _MINUTE),
        ("poisson-mild", Poisson(), 0.2, 45 * _MINUTE),
        ("poisson-busy", Poisson(), 0.7, 20 * _MINUTE),
        ("day-night-calm", DayNight(period_s=1.5 * _HOUR, phase=0.5), 0.08, 3 * _HOUR),
        ("day-night-busy", DayNight(period_s=20 * _MINUTE, amplitude=0.8), 0.6, 20 * _MINUTE),
        ("bursts-calm", Bursts(mean_on_s=60, mean_off_s=600), 0.08, 2 * _HOUR),
        ("bursts-mild", Bursts(mean_on_s=180, mean_off_s=400, quiet_share=0.1), 0.3, _HOUR),
        ("flash-crowd-calm", FlashCrowd(peak=15, decay_s=120), 0.08, 1.5 * _HOUR),
        ("flash-crowd-mild", FlashCrowd(peak=6, decay_s=300), 0.35, 40 * _MINUTE),
        ("heavy-tail-calm", HeavyTail(gap_cv=3), 0.07, 2.5 * _HOUR),
        ("heavy-tail-busy", HeavyTail(law="pareto", gap_cv=2), 0.6, 25 * _MINUTE),
        ("ramp-up-mild", Ramp(start_share=0.2), 0.35, 40 * _MINUTE),
        ("ramp-down-busy", Ramp(start_share=1.6), 0.6, 25 * _MINUTE),
        ("near-idle-single", NearIdle(visit_jobs=1), 0.014, 6 * _HOUR),
        ("near-idle-visits", NearIdle(visit_jobs=2.5, think_s=60), 0.02, 6 * _HOUR),
    ],
)
TEST: Final = _recipes(
    "test",
    2001,
    [
        ("dacirco-native", DaCirco(), REFERENCE_CORE_S / 6 / REFERENCE_CORES, 30 * _MINUTE),
        ("dacirco-heavy", DaCirco(), 0.85, 20 * _MINUTE),
        ("poisson-light", Poisson(), 0.1, 1.5 * _HOUR),
        ("poisson-half", Poisson(), 0.5, 30 * _MINUTE),
        ("poisson-heavy", Poisson(), 0.85, 20 * _MINUTE),
        ("day-night-light", DayNight(period_s=_HOUR, amplitude=0.95), 0.1, 2 * _HOUR),
        ("day-night-half", DayNight(period_s=30 * _MINUTE, phase=0.6), 0.5, 30 * _MINUTE),
        ("bursts-light", Bursts(mean_on_s=90, mean_off_s=900, quiet_share=0), 0.1, 2 * _HOUR),
        ("bursts-half", Bursts(mean_on_s=60, mean_off_s=140), 0.5, 30 * _MINUTE),
        ("flash-crowd-light", FlashCrowd(peak=12, decay_s=200), 0.1, 1.5 * _HOUR),
        ("flash-crowd-half", FlashCrowd(peak=8, decay_s=150), 0.5, 30 * _MINUTE),
        ("heavy-tail-light", HeavyTail(law="pareto", gap_cv=2.5), 0.1, 2 * _HOUR),
        ("heavy-tail-half", HeavyTail(gap_cv=2.5), 0.5, 30 * _MINUTE),
        ("ramp-light", Ramp(start_share=0), 0.1, 1.5 * _HOUR),
        ("ramp-half", Ramp(start_share=1.9), 0.5, 30 * _MINUTE),
        ("near-idle", NearIdle(visit_jobs=1.5, think_s=120), 0.015, 6 * _HOUR),
        ("batches-light", Batches(batch_jobs=6), 0.1, 2 * _HOUR),
        ("batches-half", Batches(batch_jobs=15, gap_s=1), 0.5, 30 * _MINUTE),
        ("regular-light", Regular(jitter_s=5), 0.04, 3 * _HOUR),
        ("regular-half", Regular(tick_jobs=20, jitter_s=4), 0.5, 30 * _MINUTE),
    ],
)
RECIPES: Final = TRAIN + TEST


def redrawn(recipe: Recipe, draw: int) -> Recipe:
    """The recipe with a seed of its own for each draw; draw 0 is the one that ships."""
    return replace(recipe, seed=recipe.seed + draw * _SEEDS_OF_A_DRAW)


def make_scenario(recipe: Recipe) -> Scenario:
    """The scenario of a recipe: the same one each time."""
    rate = rate_for_load(recipe.load, REFERENCE_CORES, REFERENCE_CORE_S)
    family = replace(recipe.family, rate_per_s=rate)
    rng = np.random.default_rng(recipe.seed)
    requests = tuple(draw_requests(family, rng, load_catalog(), recipe.horizon_s))
    drawn = len(requests) * REFERENCE_CORE_S / (REFERENCE_CORES * recipe.horizon_s)
    shape = ", ".join(
        f"{field.name}={getattr(family, field.name)}"
        for field in fields(family)
        if field.name != "rate_per_s"
    )
    notes = (
        f"scenario: {recipe.name}",
        f"split: {recipe.split}",
        f"family: {family.name}",
        f"parameters: {shape or 'none'}",
        f"rate: {rate:.4f} requests/s for {recipe.horizon_s:g} s",
        f"offered load: {recipe.load:.3f} of {REFERENCE_CORES:g} cores, {drawn:.3f} as drawn",
        f"requests: {len(requests)}",
        f"seed: {recipe.seed}",
        "made by: python -m env.make_scenarios",
        "delay,movie,bitrate,speed",
    )
    return Scenario(recipe.name, requests, notes)
