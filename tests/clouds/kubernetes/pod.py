"""A pod as its node holds it, and what may befall it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.clouds.kubernetes.container import Container


@dataclass(frozen=True)
class Pod:
    """What a node holds of a pod.

    Attributes:
        uid: of the pod.
        folder: log and disk of its container.
    """

    uid: str
    folder: Path

    @property
    def log(self) -> str:
        """What the container printed."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def container(self) -> Container:
        """Its process."""
        found = Container.found(self.folder)
        assert found is not None, f"pod {self.uid} has no container"
        return found

    def kill(self) -> None:
        """The container crashes: phase Failed, reason Error, exit code 137."""
        self.container.kill()

    def kill_for_memory(self) -> None:
        """As if the kernel had killed the container for its limit: reason OOMKilled."""
        (self.folder / "oom").touch()
        self.kill()

    def evict(self) -> None:
        """The node lacks memory and throws the pod out: phase Failed, reason Evicted."""
        (self.folder / "evicted").touch()
        self.kill()
