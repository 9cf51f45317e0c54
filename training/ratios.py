"""Ratios of what a policy sees: jobs for each worker, work for each job, load for each worker.

Rules divide (KEDA's wants so many jobs for each worker); a small network that is given logarithms
of sums has to learn to. These ratios are worked out inside the network from the observation, so
they are exported with it, and the observation is the same with and without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from env.observation import features

_COUNT: Final = 0.3
"""Added to counts before they are divided, so that none of nothing is no infinity."""
_WORK_S: Final = 5.0
_ERLANGS: Final = 0.2

_LIVE: Final = ("booting", "idle", "busy")
_LOGARITHMS: Final = {
    "waiting": 4.0,
    **dict.fromkeys(_LIVE, 3.0),
    "queued_work": 8.0,
    "erlangs_short": 3.0,
    "erlangs_medium": 3.0,
}
"""Features that are ln(1 + amount) divided by this; workers are told by flavor."""


class _Sum(NamedTuple):
    """Amounts that are added up, and a constant."""

    amounts: tuple[str, ...]
    constant: float


_RATIOS: Final = {
    "jobs for each worker": (_Sum(("waiting", "busy"), _COUNT), _Sum(_LIVE, _COUNT)),
    "waiting jobs for each worker that boots or idles": (
        _Sum(("waiting",), _COUNT),
        _Sum(("booting", "idle"), _COUNT),
    ),
    "waiting jobs for each worker": (_Sum(("waiting",), _COUNT), _Sum(_LIVE, _COUNT)),
    "queued work for each worker": (_Sum(("queued_work",), _WORK_S), _Sum(_LIVE, _COUNT)),
    "queued work for each waiting job": (
        _Sum(("queued_work",), _WORK_S),
        _Sum(("waiting",), _COUNT),
    ),
    "short load for each worker": (_Sum(("erlangs_short",), _ERLANGS), _Sum(_LIVE, _ERLANGS)),
    "medium load for each worker": (_Sum(("erlangs_medium",), _ERLANGS), _Sum(_LIVE, _ERLANGS)),
    "booting workers for each waiting job": (
        _Sum(("booting",), _COUNT),
        _Sum(("waiting",), _COUNT),
    ),
    "workers": (_Sum(_LIVE, _COUNT), _Sum((), 1.0)),
}
NAMES: Final = (*_RATIOS, "preference")
"""Logarithms of these; that of the preference is ln(w / (1 - w))."""


class Ratios(torch.nn.Module):
    """From observations (n, features) to ratios (n, `NAMES`).

    All of them at once, as two matrices: at every decision of every branch a small operation costs
    more for being called than for what it does.

    Args:
        flavors: names of the flavors of the observation.

    Attributes:
        places: which features amounts come from.
        scales: what their logarithms were divided by.
        above, below: which amounts are added up, shape (amounts, ratios).
        constants: what is added to these sums, shape (2, ratios).
    """

    places: torch.Tensor
    scales: torch.Tensor
    above: torch.Tensor
    below: torch.Tensor
    constants: torch.Tensor

    def __init__(self, flavors: Sequence[str]) -> None:
        super().__init__()
        rows = [
            (feature.name, feature.name.partition("[")[0])
            for feature in features(flavors)
            if feature.name.partition("[")[0] in _LOGARITHMS
        ]
        everywhere = {feature.name: i for i, feature in enumerate(features(flavors))}
        sums = torch.zeros(2, len(rows), len(_RATIOS))
        for column, pair in enumerate(_RATIOS.values()):
            for side, part in enumerate(pair):
                for row, (_, amount) in enumerate(rows):
                    sums[side, row, column] = float(amount in part.amounts)
        constants = [[part[side].constant for part in _RATIOS.values()] for side in (0, 1)]
        self._preference = everywhere["preference"]
        # Not part of a checkpoint: they follow from the flavors.
        for name, values in {
            "places": torch.tensor([everywhere[name] for name, _ in rows]),
            "scales": torch.tensor([_LOGARITHMS[amount] for _, amount in rows]),
            "above": sums[0],
            "below": sums[1],
            "constants": torch.tensor(constants),
        }.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """See the class."""
        amounts = torch.expm1(observations[:, self.places] * self.scales)
        above = torch.log(amounts @ self.above + self.constants[0])
        below = torch.log(amounts @ self.below + self.constants[1])
        preference = 0.5 + 0.4 * observations[:, self._preference : self._preference + 1]
        return torch.cat([above - below, torch.logit(preference)], dim=1)
