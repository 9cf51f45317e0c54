"""A decision and where it comes from: what the live controller logs and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from env.actions import Action
    from env.cluster import Cluster


class Source(StrEnum):
    """Who decided."""

    POLICY = "policy"
    FALLBACK = "fallback"
    SHIELD = "shield"


@dataclass(frozen=True, slots=True)
class Decision:
    """One action with its source.

    Attributes:
        action: what to do.
        source: who decided.
        reason: a short slug that can be counted (a metric's label), e.g. ``policy``,
            ``deadline-missed``, ``masked-action``, ``waiting-too-long``.
        detail: one line for people, empty if the reason says it all.
        observation: sha256 of the observation that the policy saw, empty if none was made.
    """

    action: Action
    source: Source
    reason: str
    detail: str = ""
    observation: str = ""


@runtime_checkable
class Explained(Protocol):
    """A policy that tells for each action where it comes from."""

    def decide(self, cluster: Cluster) -> Decision:
        """As `Policy.act`, with the source."""
