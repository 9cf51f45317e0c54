"""A training run from start to frozen policy: imitate, learn by VinePPO, export."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import HParam, configure

from env.episodes import random_episodes
from env.scenario import load_split
from training.callbacks import EnvelopeCallback, EvaluationCallback, ProgressCallback
from training.checkpoint import IMITATED, IMITATING, LEARNING, Checkpoints, State
from training.comparison import Comparison
from training.episode_sets import random_set, redrawn_set, scenario_set
from training.evaluator import Evaluator, exclude_text_formats, log_text
from training.export import Provenance, check_replaceable, export
from training.imitation import Decisions, clone, collect
from training.lockstep import greedy
from training.model import (
    as_ppo,
    build_vine,
    load_model,
    load_vine,
    make_member,
    randomisation,
    train_only_critic,
    training_batch,
)
from training.network import Actor, standardiser
from training.progress import progress_bar
from training.rollouts.flatten import flatten
from training.settings import Settings
from training.teacher import load_teacher
from training.train.generations import learn_generations
from training.train.surrogate import limit_logits
from training.train.vine_ppo import VinePPO
from training.watch import watch

_RECORDED = 2_000
"""Observations kept for the envelope and the check of the export."""
_LARGEST_EXPORTED_LOGIT = 8.0
"""Beyond it float32 is too coarse for ONNX to agree to `training.export.TOLERANCE`."""
_RANDOM_SHARE = 0.08
_STUDENT_RANDOM_SHARE = 0.03


class TrainingRun:
    """One run; `train` does it all, and can be interrupted and resumed.

    Args:
        settings: what to do; when resuming, those that the run began with count instead
            (except name and folders).
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

    def train(self) -> Comparison:
        """Train, then export the best policy.

        Returns:
            The comparison on the test scenarios, for the closing table.

        Raises:
            ConfigError: the run's folder or checkpoint cannot be used.
            PolicyError: the export would replace something that is not a frozen policy.
            KeyboardInterrupt: interrupted by the user; the run can be resumed.
        """
        settings, state = self.settings, self.state
        check_replaceable(settings.model_folder)
        model: MaskablePPO
        if state.stage == IMITATING:
            self.checkpoints.start(settings)
            model = build_vine(settings, training_batch(settings, settings.vine_envs))
        elif state.stage == IMITATED:
            batch = training_batch(settings, settings.vine_envs)
            model = load_vine(self.checkpoints.latest, batch, settings.threads)
        else:
            # Seeded apart, so that it does not repeat what it has learned from.
            apart = np.random.SeedSequence([settings.seed, state.steps]).generate_state(1)
            batch = training_batch(settings, settings.n_envs)
            model = load_model(self.checkpoints.latest, batch, int(apart[0]))
        logger = configure(str(settings.run_folder), ["tensorboard"])
        model.set_logger(logger)
        self._log_configuration(model)
        with progress_bar() as progress:
            home = settings.home_profile
            episodes = [
                *scenario_set("train", home),
                *redrawn_set(settings.validation_draws, home),
                *random_set(settings.validation_episodes, settings.validation_seed, home),
            ]
            bar = progress.add_task("rules on the validation episodes", total=None)
            comparison = Comparison(episodes)
            progress.update(bar, total=1, completed=1)
            evaluator = Evaluator(comparison, self.checkpoints, state, progress.console.print)
            try:
                if state.stage == IMITATING:
                    assert isinstance(model, VinePPO)
                    self._begin(model, progress)
                    model.remember_anchor()
                    state.stage = IMITATED
                    self.checkpoints.save(model, state)
                if state.stage == IMITATED:
                    assert isinstance(model, VinePPO)
                    learn_generations(model, settings, state, self.checkpoints, evaluator, progress)
                    vine = model
                    model = as_ppo(settings, vine, training_batch(settings, settings.n_envs))
                    model.set_logger(logger)
                    assert vine.env is not None
                    vine.env.close()
                    self._warm_up(model, progress)
                    model.num_timesteps = 0
                    state.stage = LEARNING
                self._learn(model, evaluator, progress)
            except KeyboardInterrupt:
                # Before that stage, what a resumed run needs is saved already.
                if state.stage == LEARNING:
                    state.steps = model.num_timesteps
                    self.checkpoints.save(model, state)
                raise
        return Comparison(scenario_set("test", home))

    def _log_configuration(self, model: MaskablePPO) -> None:
        values = self.settings.to_dict()
        log_text(model, "settings", "```\n" + json.dumps(values, indent=1) + "\n```")
        plain = {k: v for k, v in values.items() if isinstance(v, int | float | str)}
        model.logger.record(
            "hparams",
            HParam(plain, {"cost_relative_to/adaptive-flavor/all": 0.0}),
            exclude_text_formats(),
        )

    def _begin(self, model: MaskablePPO, progress: Progress) -> None:
        """Give the model its first policy, and record what that meets."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, 1])
        sampler = random_episodes(randomisation(settings))
        members = [make_member(settings, sampler) for _ in range(settings.n_envs)]
        for i, member in enumerate(members):
            member.reset(seed=int(rng.integers(2**31)) + i)
        decisions = max(settings.imitation_decisions // 2, _RECORDED, settings.n_envs)
        bar = progress.add_task("rule decides", total=decisions)
        first = collect(
            members,
            load_teacher,
            decisions,
            rng,
            random_share=_RANDOM_SHARE,
            progress=lambda n: progress.advance(bar, n),
        )
        self.state.widen(first.observations)
        rows = rng.choice(len(first), min(_RECORDED, len(first)), replace=False)
        self.checkpoints.save_observations(first.observations[rows])
        standardiser(model).fit(first.observations)
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
            self.state.widen(second.observations)
            self._clone(
                model, Decisions.join([first, second]), rng, progress, "network imitates again"
            )

    def _warm_up(self, model: MaskablePPO, progress: Progress) -> None:
        settings = self.settings
        if settings.total_steps and settings.warmup_steps and settings.imitation_decisions:
            logger = model.logger
            # Curves of their own: these decisions are not counted with those that follow.
            model.set_logger(configure(str(settings.run_folder / "warm-up"), ["tensorboard"]))
            train_only_critic(model, True)
            bar = ProgressCallback(progress, "critic learns", settings.warmup_steps)
            model.learn(settings.warmup_steps, callback=[bar, EnvelopeCallback(self.state)])
            train_only_critic(model, False)
            model.logger.close()
            model.set_logger(logger)

    def _clone(
        self,
        model: MaskablePPO,
        data: Decisions,
        rng: np.random.Generator,
        progress: Progress,
        description: str,
    ) -> None:
        settings = self.settings
        batch_size = min(1024, len(data))
        whole_batches = len(data) // batch_size * batch_size
        bar = progress.add_task(description, total=settings.imitation_epochs * whole_batches)
        agreement = clone(
            Actor(model),
            data,
            epochs=settings.imitation_epochs,
            batch_size=batch_size,
            learning_rate=settings.imitation_rate,
            smoothing=settings.imitation_smoothing,
            rng=rng,
            progress=lambda n: progress.advance(bar, n),
        )
        progress.console.print(f"{description}: agrees with the rule in {agreement:.1%}")

    def _learn(self, model: MaskablePPO, evaluator: Evaluator, progress: Progress) -> None:
        settings, state = self.settings, self.state
        left = settings.total_steps - state.steps
        evaluation = EvaluationCallback(evaluator, state, settings.evaluate_every)
        if state.steps == 0 or left <= 0:
            # What came before may turn out to be the best; an interrupted run may have come
            # to its end without being evaluated there.
            evaluation.init_callback(model)
            evaluation.evaluate()
        if left > 0:
            bar = ProgressCallback(progress, "network learns", left)
            model.learn(
                left,
                callback=[bar, EnvelopeCallback(state), evaluation],
                reset_num_timesteps=False,
            )

    def export(self, comparison: Comparison) -> dict[str, Any]:
        """Export the best policy and evaluate it.

        Args:
            comparison: the test scenarios.

        Returns:
            The figures written into the card.
        """
        settings = self.settings
        model = self._best()
        actor, observations = Actor(model), self.checkpoints.load_observations()
        limit_logits(actor, torch.as_tensor(observations), _LARGEST_EXPORTED_LOGIT)
        decisions = max(settings.imitation_decisions // 2, settings.n_envs)
        for met in watch(flatten(actor), settings, decisions):
            self.state.widen(met)
        summary = comparison.summary(
            comparison.run(actor),
            f"Cost per job relative to rules at their defaults: geometric mean over the "
            f"{len(load_split('test'))} test scenarios, one seed each.",
        )
        flavors = tuple(flavor.name for flavor in comparison.episodes[0].profile.cluster.flavors)
        export(
            model,
            settings.model_folder,
            Provenance(
                training={
                    "settings": settings.to_dict(),
                    "seed": settings.seed,
                    "rounds": self.state.best_generations,
                    "steps": self.state.best_steps,
                },
                observations=observations,
                envelope=(self.state.least, self.state.greatest),
                evaluation={**summary, "validation": self.state.best_summary},
                flavors=flavors,
            ),
        )
        return summary

    def _best(self) -> MaskablePPO:
        """The best policy, as a learner by PPO that anybody can load."""
        batch = training_batch(self.settings, self.settings.n_envs)
        path = self.checkpoints.best
        if self.state.best_steps:
            return load_model(path, batch, self.settings.seed)
        return as_ppo(self.settings, load_vine(path, None, self.settings.threads), batch)
