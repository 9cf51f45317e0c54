"""The network of a frozen policy of our own, to train on or to join."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sb3_contrib import MaskablePPO

from agents.frozen import FrozenPolicy, sha256
from env.errors import PolicyError
from env.observation import schema
from training.network import Actor

CHECKPOINT_FILE: Final = "policy.zip"


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A frozen policy whose checkpoint is the one that its card names.

    Attributes:
        folder: where it lies.
        card: its card.
    """

    folder: Path
    card: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The network."""
        return self.folder / CHECKPOINT_FILE

    def model(self) -> MaskablePPO:
        """The learner as it was; it must be our own, for it is pickled."""
        return MaskablePPO.load(self.checkpoint, device="cpu")

    def actor(self) -> Actor:
        """The network's deciding part."""
        return Actor(self.model())

    def check_flavors(self, flavors: list[str]) -> None:
        """Make sure that it observes and orders what policies do now.

        Raises:
            PolicyError: it is of another schema.
        """
        if self.card["schema"]["sha256"] != schema(flavors)["sha256"]:
            raise PolicyError(
                f"{self.folder} observes other things than policies do now: train it again"
            )


def load_ancestor(folder: Path) -> Ancestor:
    """A frozen policy with a checkpoint.

    Raises:
        PolicyError: it is none, or was changed.
    """
    ancestor = Ancestor(folder, FrozenPolicy(folder).card)
    told = ancestor.card["files"].get(CHECKPOINT_FILE, {})
    if not ancestor.checkpoint.is_file() or sha256(ancestor.checkpoint) != told.get("sha256"):
        raise PolicyError(
            f"{ancestor.checkpoint} is missing or is not the file that the card names"
        )
    return ancestor
