"""The rounds of improvement on branches of one training run (see `training.improvement`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from rich.progress import Progress
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import configure

from training.branching import Branches
from training.checkpoint import Checkpoints, State
from training.evaluator import Evaluator
from training.improvement import (
    BranchSettings,
    FitSettings,
    branch_sampler,
    expected_gain,
    move_actor,
)
from training.model import randomisation
from training.network import Actor
from training.settings import Settings

_BATCH = 512


class Rounds:
    """Each round samples states under the policy, then fits it to all states so far.

    Args:
        settings: the run's.
        state: where the run stands; brought up to date.
        checkpoints: where the imitation lies and the states are kept.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        checkpoints: Checkpoints,
    ) -> None:
        self._settings = settings
        self._state = state
        self._checkpoints = checkpoints

    def run(self, model: MaskablePPO, evaluator: Evaluator, progress: Progress) -> None:
        """Do the rounds that are left; the model's actor is improved."""
        settings, state, checkpoints = self._settings, self._state, self._checkpoints
        if state.rounds >= settings.branch_rounds:
            return
        logger = model.logger
        # Rounds have an axis of their own.
        model.set_logger(configure(str(settings.run_folder / "improvement"), ["tensorboard"]))
        if state.rounds == 0:
            evaluator.evaluate(model, 0, "imitation")
        sampling = BranchSettings(
            settings.home_profile,
            randomisation(settings),
            settings.branch_discount_s,
            settings.branch_length_s,
            settings.branch_flavor_length_s,
            settings.branch_hold_s,
        )
        states = settings.branch_states * (settings.branch_rounds - state.rounds)
        bar = progress.add_task("all actions tried", total=states)
        window = settings.branch_window
        parts = checkpoints.load_branches(range(state.rounds - window + 1, state.rounds))
        actor = Actor(model)
        imitation = Actor(MaskablePPO.load(checkpoints.imitation, device="cpu")).state_dict()
        with branch_sampler(settings.processes, sampling) as sample:
            for number in range(state.rounds, settings.branch_rounds):
                seed = int(np.random.SeedSequence([settings.seed, 2, number]).generate_state(1)[0])
                fresh = sample(
                    actor,
                    settings.branch_states,
                    seed,
                    lambda n: progress.advance(bar, n),
                )
                state.widen(fresh.observations)
                checkpoints.save_branches(number, fresh)
                checkpoints.drop_branches(number - window)
                parts = [*parts, fresh][-window:]
                self._fit(model, imitation, parts, number)
                state.rounds = number + 1
                evaluator.evaluate(model, state.rounds, f"round {state.rounds}")
        model.logger.close()
        model.set_logger(logger)

    def _fit(
        self,
        model: MaskablePPO,
        imitation: Mapping[str, torch.Tensor],
        parts: Sequence[Branches],
        number: int,
    ) -> None:
        """Fit the actor to all states so far.

        It begins anew from the imitation: a fit that goes on from the last one keeps what that
        one has learned of the noise, and the next states are sampled where that leads.
        """
        settings = self._settings
        actor = Actor(model)
        held_out = expected_gain(actor, parts[-1])
        actor.load_state_dict(imitation)
        branches = Branches.join(parts)
        divergence = move_actor(
            actor,
            branches,
            FitSettings(
                epochs=settings.branch_epochs,
                batch_size=_BATCH,
                learning_rate=settings.branch_rate,
                kl_weight=settings.branch_prior * settings.branch_small / len(branches),
                small_advantage=settings.branch_small,
            ),
            np.random.default_rng([settings.seed, 3, number]),
        )
        model.logger.record("branches/gain_before", held_out)
        model.logger.record("branches/gain_after", expected_gain(actor, parts[-1]))
        model.logger.record("branches/divergence", divergence)
        model.logger.record(
            "branches/gain_of_best_action", float(parts[-1].advantages.max(axis=1).mean())
        )
