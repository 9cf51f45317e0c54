"""What the embedded service is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.shipped import model_folder

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Settings of the embedded service; a port 0 means any that is free.

    Attributes:
        data: folder of all that it keeps.
        rest_port: of the Job API.
        grpc_port: of the controller.
        http_port: of the controller's metrics, health and preference.
        scheduler: a rule's name or a frozen policy's folder.
        fallback: the rule that takes over where the policy cannot.
        preference: w, 0.1 lean .. 0.9 fast; by default as it was last set, at first 0.5.
        catalog: the movies that are rendered at the first start: a shipped catalog or a CSV file.
        profile: expected times; a shipped profile or a TOML file.
        cores: cores that workers may use; by default all.
        max_workers: most workers at once; by default as many as fit.
        max_attempts: how many workers a job may be given before it ends in Error.
        boot_delay_s: a worker starts this much later, as a VM that boots would, seconds.
        most_restarts: more restarts of one program within a minute are made after pauses.
    """

    data: Path
    rest_port: int = 8000
    grpc_port: int = 50051
    http_port: int = 9464
    scheduler: str = "models/dacirco"
    fallback: str = "grace-period"
    preference: float | None = None
    catalog: str = "local"
    profile: str = "local"
    cores: int | None = None
    max_workers: int | None = None
    max_attempts: int = 3
    boot_delay_s: float = 0.0
    most_restarts: int = 5


def find_policy(spec: str) -> str:
    """A scheduler's name as it stands for a program that runs in another folder.

    A path is taken from the working directory; ``models/NAME`` also from the installation.
    """
    folder = model_folder(spec)
    return str(folder.absolute()) if "/" in spec and folder.is_dir() else spec
