"""Whether a change matters: its share of the delay, and what it does to the cost under a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final, TypeVar

import numpy as np

from agents.registry import make_policy
from env.config import Profile, TimingConfig, TransferTiming
from training.calibration.observations import Observations, figures
from training.rollouts.cells import Cell
from training.rollouts.play import COMPILED, Stage
from training.validation.measured_run import MeasuredRun, measured_runs

MATTERS: Final = 0.02
"""A change of the delay or the cost by this share, or more, matters."""
SEEDS: Final = 5
MOST_RUNS: Final = 8
"""More runs than this are not simulated: they would tell the same."""

TransferLaw = TypeVar("TransferLaw", bound=TransferTiming)


@dataclass(frozen=True)
class Consequence:
    """What a change of one step brings about.

    Attributes:
        delay_share: of all the delay that was measured, what the change of the step makes up.
        cost_ratio: cost of the same requests where the step takes as long as measured,
            relative to where it takes as long as the profile says; the policy goes by the profile.
        policy: whose decisions the cost is of.
        preference: w of the cost.
    """

    delay_share: float
    cost_ratio: float
    policy: str
    preference: float

    @property
    def matters(self) -> bool:
        """Whether the delay or the cost changes by `MATTERS` or more."""
        return abs(self.delay_share) >= MATTERS or abs(self.cost_ratio - 1.0) >= MATTERS


def consequences(
    observations: Observations,
    profile: Profile,
    ratios: Mapping[str, float],
    *,
    policy: str,
    preference: float,
    engine: str = COMPILED,
) -> dict[str, Consequence]:
    """What each changed step brings about, alone.

    Args:
        observations: the runs; their requests are served once more in simulation.
        profile: what was expected.
        ratios: measured over expected time, by step that has changed.
        policy: spec of the policy that is in charge.
        preference: w.
        engine: who plays them, see `training.rollouts.play`.

    Raises:
        DaCircoError: the runs cannot be simulated, or not with this policy on this profile.
    """
    if not ratios:
        return {}
    runs = measured_runs(observations)[:MOST_RUNS]
    stage = Stage(engine)
    usual = _cost(stage, runs, profile, profile, policy, preference)
    found = {}
    for step, ratio in ratios.items():
        changed = replace(profile, timing=scaled(profile.timing, step, ratio))
        found[step] = Consequence(
            delay_share=_delay_share(observations, step, ratio),
            cost_ratio=_cost(stage, runs, changed, profile, policy, preference) / usual,
            policy=policy,
            preference=preference,
        )
    return found


def scaled(timing: TimingConfig, step: str, ratio: float) -> TimingConfig:
    """The timing with one step (boot, download, transcode, upload) this many times as long."""
    if step == "boot":
        boot = timing.boot
        return replace(timing, boot=replace(boot, median_s=boot.median_s * ratio))
    if step == "transcode":
        law = timing.transcode
        return replace(timing, transcode=replace(law, intercept=law.intercept + log(ratio)))
    if step == "download":
        return replace(timing, download=_slower(timing.download, ratio))
    return replace(timing, upload=_slower(timing.upload, ratio))


def _slower(law: TransferLaw, ratio: float) -> TransferLaw:
    return replace(law, base_s=law.base_s * ratio, per_megabyte_s=law.per_megabyte_s * ratio)


def _delay_share(observations: Observations, step: str, ratio: float) -> float:
    tasks, workers = observations.tasks, observations.workers
    begin, end, table = {
        "boot": ("t_created", "t_available", workers),
        "download": ("t_dwnld_start", "t_tc_start", tasks),
        "transcode": ("t_tc_start", "t_upld_start", tasks),
        "upload": ("t_upld_start", "t_completed", tasks),
    }[step]
    took = float(np.nansum(figures(table, end) - figures(table, begin)))
    delay = float(np.nansum(figures(tasks, "t_completed") - figures(tasks, "t_received")))
    return took * (1.0 - 1.0 / ratio) / delay if delay > 0 else 0.0


def _cost(
    stage: Stage,
    runs: Sequence[MeasuredRun],
    true: Profile,
    believed: Profile,
    policy: str,
    preference: float,
) -> float:
    """Cost of serving the runs' requests, over some seeds."""
    decider = make_policy(policy)
    cells = [
        Cell(decider, true, run.requests, run.catalog, seed, preference, believed)
        for run in runs
        for seed in range(SEEDS)
    ]
    return sum(total.cost.weighed(preference) for total in stage.totals(cells))
