"""What happens while the learner learns: progress, the envelope, evaluations."""

from __future__ import annotations

from rich.progress import Progress
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from training.checkpoint import State
from training.evaluator import Evaluator


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
    """Evaluates after so many decisions, and at the end.

    Args:
        evaluator: does it.
        state: told how many decisions were made.
        every: decisions between two evaluations.
    """

    def __init__(self, evaluator: Evaluator, state: State, every: int) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._state = state
        self._every = every
        self._next = (state.steps // every + 1) * every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # Between two rollouts the networks are as updated by all data so far.
        if self.num_timesteps >= self._next:
            self._next += self._every
            self.evaluate()

    def _on_training_end(self) -> None:
        self.evaluate()

    def evaluate(self) -> None:
        """Evaluate the current policy."""
        assert isinstance(self.model, MaskablePPO)
        steps = self._state.steps = self.model.num_timesteps
        self._evaluator.evaluate(self.model, steps, f"{steps:,} decisions")
