"""Ratios of what a policy sees: jobs for each worker, work for each job, load for each worker.

Rules divide (KEDA's wants so many jobs for each worker); a small network that is given logarithms
of sums has to learn to. These ratios are worked out inside the network from the observation, so
they are exported with it, and the observation is the same with and without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from env.observation import features

NAMES: Final = (
    "jobs for each worker",
    "waiting jobs for each worker that boots or idles",
    "waiting jobs for each worker",
    "queued work for each worker",
    "queued work for each waiting job",
    "short load for each worker",
    "medium load for each worker",
    "booting workers for each waiting job",
    "workers",
    "preference",
)
"""Logarithms of these; that of the preference is ln(w / (1 - w))."""

_COUNT: Final = 0.3
"""Added to counts before they are divided, so that none of nothing is no infinity."""
_WORK_S: Final = 5.0
_ERLANGS: Final = 0.2


class Ratios(torch.nn.Module):
    """From observations (n, features) to ratios (n, `NAMES`).

    Args:
        flavors: names of the flavors of the observation.
    """

    def __init__(self, flavors: Sequence[str]) -> None:
        super().__init__()
        self._places = {feature.name: i for i, feature in enumerate(features(flavors))}
        self._flavors = tuple(flavors)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """See the class."""

        def seen(name: str) -> torch.Tensor:
            return observations[:, self._places[name]]

        def workers(state: str) -> torch.Tensor:
            counts = [torch.expm1(3 * seen(f"{state}[{flavor}]")) for flavor in self._flavors]
            return torch.stack(counts).sum(dim=0)

        waiting = torch.expm1(4 * seen("waiting"))
        booting, idle, busy = workers("booting"), workers("idle"), workers("busy")
        live = booting + idle + busy
        work_s = torch.expm1(8 * seen("queued_work"))
        short, medium = (torch.expm1(3 * seen(f"erlangs_{span}")) for span in ("short", "medium"))
        preference = 0.5 + 0.4 * seen("preference")
        return torch.stack(
            [
                _log_ratio(waiting + busy, live, _COUNT),
                _log_ratio(waiting, booting + idle, _COUNT),
                _log_ratio(waiting, live, _COUNT),
                torch.log((work_s + _WORK_S) / (live + _COUNT)),
                torch.log((work_s + _WORK_S) / (waiting + _COUNT)),
                _log_ratio(short, live, _ERLANGS),
                _log_ratio(medium, live, _ERLANGS),
                _log_ratio(booting, waiting, _COUNT),
                torch.log(live + _COUNT),
                torch.log(preference / (1 - preference)),
            ],
            dim=1,
        )


def _log_ratio(above: torch.Tensor, below: torch.Tensor, added: float) -> torch.Tensor:
    return torch.log((above + added) / (below + added))
