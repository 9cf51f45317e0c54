"""One network made of several, each in charge of a stretch of the operator's dial.

The parts stand side by side in one perceptron. For each boundary between two of them a unit of
the first layer tells on which side the preference lies: -1 below, 1 above. A part that is not in
charge has its second layer pushed to where tanh is -1, whatever is observed; what these constants
add to the logits is taken off again through the same units. So the result is a plain network of
two layers that is exported, run and trained as any other, and its logits are those of the part in
charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

import torch
from torch import nn

from training.network import Actor

_STEEPNESS: Final = 400.0
"""Of the units that tell the side: within 0.01 of a boundary of the dial two parts are mixed."""

_FLAT: Final = 9.1
"""From here on tanh is 1 in single precision."""


def gated_width(parts: Sequence[Actor]) -> int:
    """Units of each hidden layer of the parts joined."""
    return sum(_layers(part)[1].out_features for part in parts) + len(parts) - 1


def join_actors(joined: Actor, parts: Sequence[Actor], boundaries: Sequence[float]) -> None:
    """Make an actor of several.

    Args:
        joined: is overwritten; its hidden layers are `gated_width(parts)` wide.
        parts: from the lean end of the dial to the fast one, all with two layers of tanh.
        boundaries: between one part and the next, rising, as values of the first feature of the
            observation (`preference`), shape (parts - 1,).

    Raises:
        ValueError: too few or too many boundaries, or they do not rise.
    """
    if len(boundaries) != len(parts) - 1 or any(a >= b for a, b in pairwise(boundaries)):
        raise ValueError(f"{len(parts)} parts cannot be divided at {list(boundaries)}")
    first, second = _layers(joined)
    head, common = joined.head, parts[0].standardise
    mean, spread = float(common.mean[0]), float(common.spread[0])
    sizes = [_layers(part)[1].out_features for part in parts]
    ends = list(accumulate(sizes))
    gates = range(ends[-1], ends[-1] + len(boundaries))
    with torch.no_grad():
        joined.standardise.load_state_dict(common.state_dict())
        for layer in (first, second, head):
            layer.weight.zero_()
            layer.bias.zero_()
        for gate, boundary in zip(gates, boundaries, strict=True):
            first.weight[gate, 0] = _STEEPNESS * spread
            first.bias[gate] = _STEEPNESS * (mean - boundary)
            second.weight[gate, gate] = 2 * _FLAT
        for number, (part, size, end) in enumerate(zip(parts, sizes, ends, strict=True)):
            here, (lower, upper) = slice(end - size, end), _layers(part)
            theirs = part.standardise
            first.weight[here] = lower.weight * (common.spread / theirs.spread)
            shift = (common.mean - theirs.mean) / theirs.spread
            first.bias[here] = lower.bias + lower.weight @ shift
            second.weight[here, here] = upper.weight
            second.bias[here] = upper.bias
            # No unit can be driven higher than this by what the observation tells.
            push = (upper.weight.abs().sum(dim=1) + upper.bias.abs() + _FLAT) / 2
            closing = [(gate, push) for gate in gates[:number][-1:]]  # while it is below
            closing += [(gate, -push) for gate in gates[number:][:1]]  # while it is above
            for gate, weight in closing:
                second.weight[here, gate] = weight
                second.bias[here] -= push
            head.weight[:, here] = part.head.weight
        # A part that is not in charge adds minus the sum of its weights: that is taken off again.
        constants = [part.head.weight.sum(dim=1) for part in parts]
        own = [part.head.bias - constant for part, constant in zip(parts, constants, strict=True)]
        head.bias.copy_(torch.stack(constants).sum(dim=0) + (own[0] + own[-1]) / 2)
        for gate, (below, above) in zip(gates, pairwise(own), strict=True):
            head.weight[:, gate] = (above - below) / 2


def _layers(actor: Actor) -> tuple[nn.Linear, nn.Linear]:
    first, _, second, _ = actor.hidden
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    return first, second
