"""A training run from start to frozen policy: imitate, warm up the critic, learn, export."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import HParam, configure

from env.gym_env import DaCircoEnv
from env.scenario import load_split
from training.callbacks import EvaluationCallback, ProgressCallback, exclude_text_formats, log_text
from training.checkpoint import Checkpoints, State
from training.comparison import Comparison, random_set, scenario_set
from training.export import Provenance, export
from training.imitation import Decisions, clone, collect
from training.lockstep import greedy
from training.model import (
    build_model,
    load_model,
    train_only_critic,
    training_batch,
    training_sampler,
)
from training.network import Actor, standardiser
from training.progress import progress_bar
from training.settings import Settings
from training.teacher import load_teacher

_RECORDED = 2_000
"""Observations kept for the envelope and the check of the export."""
_RANDOM_SHARE = 0.08
_STUDENT_RANDOM_SHARE = 0.03


class TrainingRun:
    """One run; `train` does it all, and can be interrupted and resumed.

    Args:
        settings: what to do; when resuming, those that the run began with count instead.
        resume: go on from the latest checkpoint.

    Attributes:
        settings: those that count.
        checkpoints: where the run saves.
        state: where it stands.

    Raises:
        ConfigError: there is nothing to resume.
    """

    def __init__(self, settings: Settings, *, resume: bool = False) -> None:
        self.checkpoints = Checkpoints(settings.run_folder)
        if resume:
            self.settings = self.checkpoints.load_settings(settings)
            self.state = self.checkpoints.load_state()
        else:
            self.settings = settings
            self.state = State()
        self._resume = resume

    def train(self) -> Comparison:
        """Train, then export the best policy.

        Returns:
            The comparison on the test scenarios, for the closing table.

        Raises:
            KeyboardInterrupt: interrupted by the user, after a checkpoint was saved.
        """
        settings = self.settings
        # The batch of a resumed run is seeded apart, so that it does not repeat episodes.
        batch = training_batch(replace(settings, seed=settings.seed + self.state.steps))
        if self._resume:
            model = load_model(self.checkpoints.latest, settings, batch)
        else:
            self.checkpoints.start(settings)
            model = build_model(settings, batch)
        model.set_logger(configure(str(settings.run_folder), ["tensorboard"]))
        self._log_configuration(model)
        with progress_bar() as progress:
            episodes = scenario_set("train") + random_set(
                settings.validation_episodes, settings.validation_seed
            )
            watch = progress.add_task("rules on the validation episodes", total=None)
            comparison = Comparison(episodes)
            progress.update(watch, total=1, completed=1)
            try:
                if not self._resume:
                    self._imitate(model, progress)
                self._learn(model, comparison, progress)
            except KeyboardInterrupt:
                self.checkpoints.save(model, self.state)
                raise
        return Comparison(scenario_set("test"))

    def _log_configuration(self, model: MaskablePPO) -> None:
        values = self.settings.to_dict()
        log_text(model, "settings", "```\n" + json.dumps(values, indent=1) + "\n```")
        plain = {k: v for k, v in values.items() if isinstance(v, int | float | str)}
        model.logger.record(
            "hparams",
            HParam(plain, {"cost_relative_to/adaptive-flavor/all": 0.0}),
            exclude_text_formats(),
        )

    def _imitate(self, model: MaskablePPO, progress: Progress) -> None:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, 1])
        sampler = training_sampler(settings)
        members = [DaCircoEnv(sampler=sampler) for _ in range(settings.n_envs)]
        for i, member in enumerate(members):
            member.reset(seed=int(rng.integers(2**31)) + i)
        decisions = max(settings.imitation_decisions // 2, _RECORDED)
        bar = progress.add_task("rule decides", total=decisions)
        first = collect(
            members,
            load_teacher,
            decisions,
            rng,
            random_share=_RANDOM_SHARE,
            progress=lambda n: progress.advance(bar, n),
        )
        standardiser(model).fit(first.observations)
        rows = rng.choice(len(first), min(_RECORDED, len(first)), replace=False)
        self.checkpoints.save_observations(first.observations[rows])
        if settings.imitation_decisions:
            self._clone(model, first, rng, progress, "network imitates")
            bar = progress.add_task("network decides, rule corrects", total=decisions)
            second = collect(
                members,
                load_teacher,
                decisions,
                rng,
                random_share=_STUDENT_RANDOM_SHARE,
                student=greedy(Actor(model)),
                progress=lambda n: progress.advance(bar, n),
            )
            self._clone(
                model, Decisions.join([first, second]), rng, progress, "network imitates again"
            )
        self.checkpoints.save(model, self.state)
        if settings.warmup_steps and settings.imitation_decisions:
            train_only_critic(model, True)
            model.learn(
                settings.warmup_steps,
                callback=ProgressCallback(progress, "critic learns", settings.warmup_steps),
            )
            train_only_critic(model, False)

    def _clone(
        self,
        model: MaskablePPO,
        data: Decisions,
        rng: np.random.Generator,
        progress: Progress,
        description: str,
    ) -> None:
        settings = self.settings
        bar = progress.add_task(description, total=settings.imitation_epochs * len(data))
        agreement = clone(
            Actor(model),
            data,
            epochs=settings.imitation_epochs,
            batch_size=min(1024, len(data)),
            learning_rate=settings.imitation_rate,
            smoothing=settings.imitation_smoothing,
            rng=rng,
            progress=lambda n: progress.advance(bar, n),
        )
        progress.console.print(f"{description}: agrees with the rule in {agreement:.1%}")

    def _learn(self, model: MaskablePPO, comparison: Comparison, progress: Progress) -> None:
        settings = self.settings
        left = settings.total_steps - self.state.steps
        if left <= 0:
            return
        evaluation = EvaluationCallback(
            settings, comparison, self.checkpoints, self.state, progress.console.print
        )
        bar = ProgressCallback(progress, "network learns", left)
        if self.state.steps == 0:
            model.num_timesteps = 0
            evaluation.init_callback(model)
            evaluation.evaluate()  # the imitation may turn out to be the best
        model.num_timesteps = self.state.steps
        model.learn(left, callback=[bar, evaluation], reset_num_timesteps=False)

    def export(self, comparison: Comparison) -> dict[str, Any]:
        """Export the best policy and evaluate it.

        Args:
            comparison: the test scenarios.

        Returns:
            The figures written into the card.
        """
        settings = self.settings
        model = MaskablePPO.load(self.checkpoints.best, device="cpu")
        torch.set_num_threads(1)
        summary = comparison.summary(
            comparison.run(Actor(model)),
            f"Cost per job relative to rules at their defaults: geometric mean over the "
            f"{len(load_split('test'))} test scenarios, one seed each.",
        )
        flavors = tuple(flavor.name for flavor in comparison.episodes[0].profile.cluster.flavors)
        export(
            model,
            settings.model_folder,
            Provenance(
                settings=settings.to_dict(),
                steps=self.state.best_steps,
                observations=self.checkpoints.load_observations(),
                evaluation={**summary, "validation": self.state.best_summary},
                flavors=flavors,
            ),
        )
        return summary
