"""Evaluate the policy in training: log it beside its rivals, keep the best, save a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Figure, TensorBoardOutputFormat

from training.checkpoint import Checkpoints, State
from training.comparison import Comparison, Figures, over_all
from training.network import Actor
from training.pictures import timeline, trade_off

_TRACKED = {
    "delay_mean_s": "delay_mean_s",
    "delay_p95_s": "delay_p95_s",
    "cpu_reserved_mean": "cpu_reserved",
    "ram_reserved_mean": "ram_reserved",
}
"""Metrics shown beside each rival's in TensorBoard, by their tag."""


class Evaluator:
    """Evaluates on the validation episodes.

    Args:
        comparison: the validation episodes and rivals.
        checkpoints: where to save.
        state: brought up to date at every evaluation.
        say: prints a line above the progress bar.
    """

    def __init__(
        self,
        comparison: Comparison,
        checkpoints: Checkpoints,
        state: State,
        say: Callable[[str], None],
    ) -> None:
        self._comparison = comparison
        self._checkpoints = checkpoints
        self._state = state
        self._say = say

    def evaluate(self, model: MaskablePPO, step: int, what: str) -> None:
        """Evaluate the model's policy, log, and save.

        Args:
            model: the learner; its logger is written to.
            step: where on TensorBoard's axis.
            what: how far the training has come, for people.
        """
        actor = Actor(model)
        figures = self._comparison.run(actor)
        score = self._comparison.score(figures)
        better = score < self._state.best_score
        if better:
            # Saved first: an interrupt in between must not leave a score without its model.
            self._checkpoints.save_best(model)
            self._state.best_score = score
            self._state.best_steps = self._state.steps
            self._state.best_generations = self._state.generations
            self._state.best_summary = self._comparison.summary(
                figures, f"Validation episodes, after {what}."
            )
        self._checkpoints.save(model, self._state)
        self._say(
            f"{what}: cost relative to the best rule {score:.4f}"
            + ("  (best so far)" if better else "")
        )
        self._log(model, actor, figures, step)

    def _log(self, model: MaskablePPO, actor: Actor, figures: Figures, step: int) -> None:
        logger = model.logger
        preferences = self._comparison.preferences
        for name, ratios in self._comparison.ratios(figures).items():
            logger.record(f"cost_relative_to/{name}/all", over_all(ratios))
            for preference, ratio in zip(preferences, ratios, strict=True):
                logger.record(f"cost_relative_to/{name}/w={preference}", float(ratio))
        everyone = {"policy": figures, **self._comparison.rivals}
        for metric, tag in _TRACKED.items():
            for name, theirs in everyone.items():
                for preference, value in zip(preferences, theirs.mean(metric), strict=True):
                    logger.record(f"{tag}/w={preference}/{name}", float(value))
        without = exclude_text_formats()
        logger.record(
            "pictures/trade-off", Figure(trade_off(everyone, preferences), close=True), without
        )
        logger.record(
            "pictures/timeline", Figure(timeline(actor, self._comparison), close=True), without
        )
        logger.dump(step)


def exclude_text_formats() -> tuple[str, ...]:
    """Formats that cannot hold a picture."""
    return ("stdout", "log", "json", "csv")


def log_text(model: BaseAlgorithm, tag: str, text: str) -> None:
    """Write a text to TensorBoard."""
    for output in model.logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            output.writer.add_text(tag, text, 0)
