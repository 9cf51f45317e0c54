"""What a run leaves on disk so that it can be resumed: a model and where it stands."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO

from env.errors import ConfigError
from env.textfile import write_atomically
from training.settings import Settings
from training.train.labels import Labels

IMITATING: Final = "imitating"
IMITATED: Final = "imitated"
LEARNING: Final = "learning"


@dataclass(slots=True)
class State:
    """Where a run stands.

    Attributes:
        stage: imitating (nothing is saved but the settings: it is done again), imitated
            (generations of VinePPO follow), learning (by PPO). From the second on the latest
            model is saved.
        generations: of VinePPO so far.
        steps: decisions of learning by PPO so far.
        best_score: cost relative to the strongest rule of the best evaluation, on the
            validation episodes.
        best_generations, best_steps: generations and decisions at that evaluation.
        best_summary: its figures for the card.
        least, greatest: of each feature in all observations learned from.
    """

    stage: str = IMITATING
    generations: int = 0
    steps: int = 0
    best_score: float = float("inf")
    best_generations: int = 0
    best_steps: int = 0
    best_summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    least: list[float] = dataclasses.field(default_factory=list)
    greatest: list[float] = dataclasses.field(default_factory=list)

    def widen(self, observations: NDArray[np.float32]) -> None:
        """Widen the envelope by observations of shape (..., features)."""
        rows = observations.reshape(-1, observations.shape[-1])
        least, greatest = rows.min(axis=0), rows.max(axis=0)
        if self.least:
            least = np.minimum(least, np.array(self.least, dtype=np.float32))
            greatest = np.maximum(greatest, np.array(self.greatest, dtype=np.float32))
        self.least, self.greatest = least.tolist(), greatest.tolist()


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
        """Begin a new run: forget an earlier one of the same name, its curves included.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in (
                *(self.latest, self.best, self._state, self._observations),
                *self.folder.glob("states-*.npz"),
                *self.run_folder.rglob("events.out.tfevents.*"),
            ):
                path.unlink(missing_ok=True)
            write_atomically(self._settings, json.dumps(settings.to_dict(), indent=1) + "\n")
            self._save_state(State())
        except OSError as error:
            raise ConfigError(f"cannot write to {self.run_folder}: {error.strerror}") from None

    def save(self, model: MaskablePPO, state: State) -> None:
        """Save the model and where it stands."""
        self._save_model(model, self.latest)
        self._save_state(state)

    def _save_state(self, state: State) -> None:
        write_atomically(self._state, json.dumps(dataclasses.asdict(state), indent=1) + "\n")

    def save_best(self, model: MaskablePPO) -> None:
        """Save the model as the best one so far."""
        self._save_model(model, self.best)

    def _save_model(self, model: MaskablePPO, path: Path) -> None:
        draft = path.with_name(f".draft-{path.name}")
        model.save(draft)
        draft.replace(path)

    def save_states(self, number: int, labels: Labels) -> None:
        """Keep the labelled states of a generation for those that follow."""
        path = self._states(number)
        draft = path.with_name(f".draft-{path.name}")
        np.savez_compressed(draft, allow_pickle=False, **labels.arrays())
        draft.replace(path)

    def load_states(self, generations: int) -> list[Labels]:
        """The labelled states of the first so many generations.

        Raises:
            ConfigError: those of one are missing or cannot be read.
        """
        found = []
        for path in map(self._states, range(generations)):
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    found.append(Labels(**{name: arrays[name] for name in Labels.__slots__}))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise ConfigError(
                    f"{path} cannot be read: {error}: start without --resume"
                ) from None
        return found

    def _states(self, number: int) -> Path:
        return self.folder / f"states-{number}.npz"

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
            ConfigError: there is nothing to resume, or it cannot be read.
        """
        if self._state.is_file():
            state = State(**_read(self._state, State))
            if state.stage == IMITATING or self.latest.is_file():
                return state
        raise ConfigError(f"{self.run_folder}: no checkpoint to resume: start it without --resume")

    def load_settings(self, current: Settings) -> Settings:
        """The settings that the run began with; name and folders as they are now.

        Raises:
            ConfigError: there is no such run, or its settings cannot be read.
        """
        if not self._settings.is_file():
            raise ConfigError(f"{self.run_folder}: no run to resume: start it without --resume")
        places = {"name": current.name, "runs": current.runs, "models": current.models}
        return Settings(**{**_read(self._settings, Settings), **places})


def _read(path: Path, kind: type[State] | type[Settings]) -> dict[str, Any]:
    """The fields of a `kind` from a JSON file.

    Raises:
        ConfigError: it is not JSON, or has other keys.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}: start without --resume") from None
    if not isinstance(data, dict) or set(data) != known:
        raise ConfigError(f"{path} is of another version: start without --resume")
    return data
