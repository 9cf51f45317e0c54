"""What happens while the learner learns: progress, evaluation, checkpoints, pictures."""

from __future__ import annotations

from collections.abc import Callable

from rich.progress import Progress
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, TensorBoardOutputFormat

from training.checkpoint import Checkpoints, State
from training.comparison import PREFERENCES, Comparison, Figures, over_all
from training.network import Actor
from training.pictures import timeline, trade_off
from training.settings import Settings

_TRACKED = {
    "delay_mean_s": "delay_mean_s",
    "delay_p95_s": "delay_p95_s",
    "cpu_reserved_mean": "cpu_reserved",
    "ram_reserved_mean": "ram_reserved",
}
"""Metrics shown beside each rival's in TensorBoard, by their tag."""


class ProgressCallback(BaseCallback):
    """Moves the bar of the current stage by the decisions made."""

    def __init__(self, progress: Progress, description: str, total: int) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    def _on_step(self) -> bool:
        self._progress.advance(self._task, self.training_env.num_envs)
        return True


class EnvelopeCallback(BaseCallback):
    """Notes between which bounds the observations lie that are learned from."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, MaskablePPO)
        self._state.widen(self.model.rollout_buffer.observations)


class EvaluationCallback(BaseCallback):
    """Evaluates now and then; keeps the best policy and a checkpoint to resume from.

    Args:
        settings: of the run.
        comparison: the validation episodes and rivals.
        checkpoints: where to save.
        state: brought up to date at every evaluation.
        say: prints a line above the progress bar.
    """

    def __init__(
        self,
        settings: Settings,
        comparison: Comparison,
        checkpoints: Checkpoints,
        state: State,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._settings = settings
        self._comparison = comparison
        self._checkpoints = checkpoints
        self._state = state
        self._say = say
        every = settings.evaluate_every
        self._next = (state.steps // every + 1) * every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # Between two rollouts the networks are as updated by all data so far.
        if self.num_timesteps >= self._next:
            self._next += self._settings.evaluate_every
            self.evaluate()

    def _on_training_end(self) -> None:
        self.evaluate()

    def evaluate(self) -> None:
        """Evaluate the current policy, log, and save."""
        actor = Actor(self.model)  # type: ignore[arg-type]  # it is a MaskablePPO
        figures = self._comparison.run(actor)
        score = self._comparison.score(figures)
        steps = self.model.num_timesteps
        better = score < self._state.best_score
        if better:
            # Saved first: an interrupt in between must not leave a score without its model.
            self._checkpoints.save_best(self.model)  # type: ignore[arg-type]
            self._state.best_score = score
            self._state.best_steps = steps
            self._state.best_summary = self._comparison.summary(
                figures, f"Validation episodes, after {steps:,} decisions."
            )
        self._state.steps = steps
        self._checkpoints.save(self.model, self._state)  # type: ignore[arg-type]
        self._say(
            f"{steps:>12,} decisions: cost relative to the best rule "
            f"{score:.4f}" + ("  (best so far)" if better else "")
        )
        self._log(actor, figures)

    def _log(self, actor: Actor, figures: Figures) -> None:
        logger = self.model.logger
        for name, ratios in self._comparison.ratios(figures).items():
            logger.record(f"cost_relative_to/{name}/all", over_all(ratios))
            for preference, ratio in zip(PREFERENCES, ratios, strict=True):
                logger.record(f"cost_relative_to/{name}/w={preference}", float(ratio))
        everyone = {"policy": figures, **self._comparison.rivals}
        for metric, tag in _TRACKED.items():
            for name, theirs in everyone.items():
                for preference, value in zip(PREFERENCES, theirs.mean(metric), strict=True):
                    logger.record(f"{tag}/w={preference}/{name}", float(value))
        without = exclude_text_formats()
        logger.record("pictures/trade-off", Figure(trade_off(everyone), close=True), without)
        logger.record(
            "pictures/timeline", Figure(timeline(actor, self._comparison), close=True), without
        )
        logger.dump(self.model.num_timesteps)


def exclude_text_formats() -> tuple[str, ...]:
    """Formats that cannot hold a picture."""
    return ("stdout", "log", "json", "csv")


def log_text(model: BaseAlgorithm, tag: str, text: str) -> None:
    """Write a text to TensorBoard."""
    for output in model.logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            output.writer.add_text(tag, text, 0)
