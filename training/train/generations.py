"""The stage of a training run in which VinePPO learns."""

from __future__ import annotations

from rich.progress import Progress, TaskID
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from training.checkpoint import Checkpoints, State
from training.evaluator import Evaluator
from training.settings import Settings
from training.train.vine_ppo import VinePPO


class GenerationCallback(BaseCallback):
    """Keeps the states of each generation, evaluates after each update, and moves the bar."""

    model: VinePPO

    def __init__(
        self,
        settings: Settings,
        state: State,
        checkpoints: Checkpoints,
        evaluator: Evaluator,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._state = state
        self._checkpoints = checkpoints
        self._evaluator = evaluator
        self._progress = progress
        left = settings.generations - state.generations
        self._bar: TaskID = progress.add_task(
            "all actions tried", total=left * settings.vine_states
        )
        self._shown = 0

    def _on_rollout_start(self) -> None:
        self._shown = 0

    def _on_step(self) -> bool:
        labelled = self.locals.get("labelled", 0)
        if labelled > self._shown:
            self._progress.advance(self._bar, labelled - self._shown)
            self._shown = labelled
        return True

    def _on_rollout_end(self) -> None:
        fresh = self.model.rollout_buffer.parts[-1]
        self._state.widen(fresh.observations)
        self._checkpoints.save_states(self.model.generation, fresh)

    def _on_training_end(self) -> None:
        # Each generation is a training of its own to stable-baselines3.
        done = self._state.generations = self.model.generation
        what = f"generation {done}, {sum(map(len, self.model.rollout_buffer.parts)):,} states"
        self._evaluator.evaluate(self.model, self.model.num_timesteps, what)


def learn_generations(
    model: VinePPO,
    settings: Settings,
    state: State,
    checkpoints: Checkpoints,
    evaluator: Evaluator,
    progress: Progress,
) -> None:
    """Do the generations that are left."""
    model.set_logger(configure(str(settings.run_folder / "vine"), ["tensorboard"]))
    model.rollout_buffer.parts = checkpoints.load_states(state.generations)
    if state.generations == 0:
        what = "imitation" if settings.imitation_decisions else "nothing learned"
        evaluator.evaluate(model, 0, what)
    left = settings.generations - state.generations
    if left > 0:
        callback = GenerationCallback(settings, state, checkpoints, evaluator, progress)
        model.learn_generations(left, callback)
    model.logger.close()
