"""The two rules that damp the Kubernetes HorizontalPodAutoscaler, for the scalers built on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from agents.parameters import DAY_S, STRICT, OneFlavorRivalParameters, Unit
from agents.windows import MovingMaximum


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HorizontalPodAutoscalerParameters(OneFlavorRivalParameters):
    """What the scalers built on the HorizontalPodAutoscaler have in common."""

    sync_period: Annotated[
        float, Field(gt=0, le=DAY_S, description="time between two reviews"), Unit("s")
    ] = 15.0
    tolerance: Annotated[
        float,
        Field(ge=0, le=1, description="relative distance from the target that changes nothing"),
    ] = 0.1
    stabilisation: Annotated[
        float,
        Field(
            ge=0,
            le=DAY_S,
            description="shrink only to the largest number wanted within this time",
        ),
        Unit("s"),
    ] = 300.0


class Stabiliser:
    """Scale up at once, and down only as far as every recommendation of the window allows.

    Source: ``stabilizeRecommendationWithBehaviors`` of the Kubernetes controller, with
    its default of no window for scaling up.
    """

    def __init__(self, window_s: float) -> None:
        self._largest = MovingMaximum(window_s)

    def settle(self, now: float, current: int, recommended: int) -> int:
        """The number to have, given the number that was wanted until now."""
        largest = self._largest.push(now, recommended)
        return max(recommended, min(current, largest))
