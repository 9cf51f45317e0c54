"""What a run leaves on disk so that it can be resumed: a model and where it stands."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO

from env.errors import ConfigError
from training.settings import Settings

IMITATED: Final = "imitated"
LEARNING: Final = "learning"


@dataclass(slots=True)
class State:
    """Where a run stands.

    Attributes:
        stage: the latest stage that has begun to leave results: imitated or learning.
        steps: decisions of reinforcement learning so far.
        best_score: cost relative to the strongest rule of the best evaluation, on the
            validation episodes.
        best_steps: decisions at that evaluation.
        best_summary: its figures for the card.
    """

    stage: str = IMITATED
    steps: int = 0
    best_score: float = float("inf")
    best_steps: int = 0
    best_summary: dict[str, Any] = dataclasses.field(default_factory=dict)


class Checkpoints:
    """The checkpoint folder of a run; every file appears whole or not at all.

    Args:
        run_folder: the run's folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.folder = run_folder / "checkpoints"
        self.latest = self.folder / "latest.zip"
        self.best = self.folder / "best.zip"
        self._state = self.folder / "state.json"
        self._settings = run_folder / "settings.json"
        self._observations = self.folder / "observations.npy"

    def start(self, settings: Settings) -> None:
        """Begin a new run: forget an earlier one of the same name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.latest, self.best, self._state, self._observations):
            path.unlink(missing_ok=True)
        _write(self._settings, json.dumps(settings.to_dict(), indent=1) + "\n")

    def save(self, model: MaskablePPO, state: State) -> None:
        """Save the model and where it stands."""
        self._save_model(model, self.latest)
        _write(self._state, json.dumps(dataclasses.asdict(state), indent=1) + "\n")

    def save_best(self, model: MaskablePPO) -> None:
        """Save the model as the best one so far."""
        self._save_model(model, self.best)

    def _save_model(self, model: MaskablePPO, path: Path) -> None:
        draft = path.with_name(f".draft-{path.name}")
        model.save(draft)
        os.replace(draft, path)  # noqa: PTH105 (atomic on every platform)

    def save_observations(self, observations: NDArray[np.float32]) -> None:
        """Keep recorded observations for the export."""
        np.save(self._observations, observations)

    def load_observations(self) -> NDArray[np.float32]:
        """The recorded observations, shape (n, features)."""
        observations: NDArray[np.float32] = np.load(self._observations, allow_pickle=False)
        return observations

    def load_state(self) -> State:
        """Where the run stands.

        Raises:
            ConfigError: there is nothing to resume.
        """
        if not (self._state.is_file() and self.latest.is_file()):
            raise ConfigError(
                f"{self.run_folder}: no checkpoint to resume: start it without --resume"
            )
        return State(**json.loads(self._state.read_text(encoding="utf-8")))

    def load_settings(self, current: Settings) -> Settings:
        """The settings that the run began with; folders as they are now.

        Raises:
            ConfigError: there is no such run.
        """
        if not self._settings.is_file():
            raise ConfigError(f"{self.run_folder}: no run to resume: start it without --resume")
        data = json.loads(self._settings.read_text(encoding="utf-8"))
        return Settings(**{**data, "runs": current.runs, "models": current.models})


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".draft-{path.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 (atomic on every platform)
