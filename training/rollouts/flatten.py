"""A policy network as flat arrays, for the engine's compiled forward pass."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from env.engine.perceptron import RELU, TANH, Perceptron, make_perceptron
from training.network import Actor

_ACTIVATIONS = {nn.Tanh: TANH, nn.ReLU: RELU}


def flatten(actor: Actor) -> Perceptron:
    """The actor's network; it is copied, so the actor may be trained on meanwhile.

    The standardisation becomes part of the first layer.

    Raises:
        ValueError: the actor is not made of dense layers with the same activation after each of
            them, the hyperbolic tangent or ReLU.
    """
    layers, activation = _layers(actor)
    seen = actor.standardise
    mean, spread = _float64(seen.mean), _float64(seen.spread)
    weights = [_float64(layer.weight).T for layer in layers]
    biases = [_float64(layer.bias) for layer in layers]
    biases[0] = biases[0] - (mean / spread) @ weights[0]
    weights[0] = weights[0] / spread[:, None]
    ratios = seen.ratios
    nothing = np.zeros((0, 0), dtype=np.float32)
    return make_perceptron(
        low=_float32(seen.low),
        high=_float32(seen.high),
        places=np.zeros(0, dtype=np.int64) if ratios is None else ratios.places.numpy().copy(),
        scales=np.zeros(0, dtype=np.float32) if ratios is None else _float32(ratios.scales),
        above=nothing if ratios is None else _float32(ratios.above),
        below=nothing if ratios is None else _float32(ratios.below),
        constants=np.zeros((2, 0), np.float32) if ratios is None else _float32(ratios.constants),
        weights=weights,
        biases=biases,
        activation=activation,
    )


def _layers(actor: Actor) -> tuple[list[nn.Linear], int]:
    layers: list[nn.Linear] = []
    found = set()
    for position, module in enumerate(actor.hidden):
        if position % 2 == 0 and isinstance(module, nn.Linear):
            layers.append(module)
        elif position % 2 == 1 and type(module) in _ACTIVATIONS:
            found.add(_ACTIVATIONS[type(module)])
        else:
            raise ValueError(f"the network has a {type(module).__name__} at place {position}")
    if len(found) != 1 or len(actor.hidden) % 2:
        raise ValueError("the network needs the same activation, Tanh or ReLU, after each layer")
    return [*layers, actor.head], found.pop()


def _float64(values: torch.Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


def _float32(values: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.detach().cpu().float().numpy().copy())
