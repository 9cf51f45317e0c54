"""A small perceptron in compiled code: logits for a batch of observations.

The networks of `training` are turned into this form by `training.rollouts.flatten`. The products
of matrices are BLAS's, which Numba calls as NumPy does: on one thread four times as fast as loops
that Numba compiles (docs/engine.md tells how that was measured).
"""

from __future__ import annotations

from math import expm1, log
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.engine.compiling import compiled, entry

Matrix = NDArray[np.float32]
_F = np.float32

TANH: Final = 0
RELU: Final = 1


class Perceptron(NamedTuple):
    """Observations are clipped, ratios of some of them are appended, then come dense layers.

    Ratio r is ``ln(amounts @ above[:, r] + constants[0, r]) - ln(amounts @ below[:, r] +
    constants[1, r])`` with ``amounts = expm1(observation[places] * scales)``; the last input is
    the logit of the preference, if there are ratios at all.

    Attributes:
        low: least value of each feature, shape (features,).
        high: greatest, likewise.
        places: features that amounts come from, shape (amounts,).
        scales: what their logarithms were divided by, likewise.
        above: shape (amounts, ratios); none for no ratios.
        below: likewise.
        constants: shape (2, ratios).
        weights: of each layer, shape (inputs, outputs) each; those of the last give logits.
        biases: of each layer, shape (outputs,) each.
        activation: after each layer but the last, `TANH` or `RELU`.
    """

    low: Matrix
    high: Matrix
    places: NDArray[np.int64]
    scales: Matrix
    above: Matrix
    below: Matrix
    constants: Matrix
    weights: tuple[Matrix, ...]
    biases: tuple[Matrix, ...]
    activation: int


@compiled
def n_inputs(network: Perceptron) -> int:
    """Features and ratios together."""
    return len(network.weights[0])


@compiled
def widest(network: Perceptron) -> int:
    """Outputs of the widest layer."""
    most = 0
    for bias in network.biases:
        most = max(most, len(bias))
    return most


@compiled
def fill_inputs(network: Perceptron, observations: Matrix, inputs: Matrix) -> None:
    """The clipped observations and their ratios.

    Args:
        network: whose inputs they are.
        observations: shape (n, features).
        inputs: shape (n, inputs), is filled.
    """
    n, width = observations.shape
    amounts, ratios = network.above.shape
    amount = np.empty(amounts, dtype=np.float32)
    for row in range(n):
        for k in range(width):
            inputs[row, k] = min(max(observations[row, k], network.low[k]), network.high[k])
        if ratios == 0:
            continue
        for k in range(amounts):
            amount[k] = expm1(inputs[row, network.places[k]] * network.scales[k])
        for r in range(ratios):
            top, bottom = network.constants[0, r], network.constants[1, r]
            for k in range(amounts):
                top += amount[k] * network.above[k, r]
                bottom += amount[k] * network.below[k, r]
            inputs[row, width + r] = log(top) - log(bottom)
        preference = 0.5 + 0.4 * inputs[row, 0]
        inputs[row, width + ratios] = log(preference / (1.0 - preference))


@compiled
def _activate(values: Matrix, bias: Matrix, activation: int) -> None:
    """Add the bias and apply the activation, in place.

    The hyperbolic tangent is a ratio of polynomials as in Eigen (``generic_fast_tanh_float``),
    right to some 4e-7: loops over it use the processor's vectors.
    """
    for row in range(len(values)):
        one = values[row]
        if activation == RELU:
            for k in range(len(bias)):
                x = one[k] + bias[k]
                one[k] = x if x > _F(0.0) else _F(0.0)
            continue
        for k in range(len(bias)):
            x = one[k] + bias[k]
            x = x if x < _F(7.90531110763549805) else _F(7.90531110763549805)
            x = x if x > _F(-7.90531110763549805) else _F(-7.90531110763549805)
            y = x * x
            p = _F(-2.76076847742355e-16) * y + _F(2.00018790482477e-13)
            p = p * y + _F(-8.60467152213735e-11)
            p = p * y + _F(5.12229709037114e-08)
            p = p * y + _F(1.48572235717979e-05)
            p = p * y + _F(6.37261928875436e-04)
            p = p * y + _F(4.89352455891786e-03)
            q = _F(1.19825839466702e-06) * y + _F(1.18534705686654e-04)
            q = q * y + _F(2.26843463243900e-03)
            q = q * y + _F(4.89352518554385e-03)
            one[k] = x * p / q


@compiled
def fill_logits(
    network: Perceptron, inputs: Matrix, one: Matrix, other: Matrix, logits: Matrix
) -> None:
    """From inputs to logits.

    Args:
        network: with at least one layer.
        inputs: shape (n, inputs).
        one: room for at least n times the widest layer, flat.
        other: likewise.
        logits: shape (n, actions), is filled.
    """
    n = len(inputs)
    layers = len(network.weights)
    before = inputs
    for layer in range(layers - 1):
        outputs = len(network.biases[layer])
        room = one if layer % 2 == 0 else other
        after = room[: n * outputs].reshape(n, outputs)
        np.dot(before, network.weights[layer], after)
        _activate(after, network.biases[layer], network.activation)
        before = after
    np.dot(before, network.weights[layers - 1], logits)
    logits += network.biases[layers - 1]


@compiled
def likeliest(logits: Matrix, mask: NDArray[np.bool_]) -> int:
    """The allowed action of the greatest logit, the first of several; shapes (actions,)."""
    best = -1
    for action in range(len(mask)):
        if mask[action] and (best < 0 or logits[action] > logits[best]):
            best = action
    return best


@entry
def forward(network: Perceptron, observations: Matrix) -> Matrix:
    """The logits of observations of shape (n, features); shape (n, actions)."""
    n = len(observations)
    inputs = np.empty((n, n_inputs(network)), dtype=np.float32)
    one = np.empty(n * widest(network), dtype=np.float32)
    other = np.empty(n * widest(network), dtype=np.float32)
    logits = np.empty((n, len(network.biases[len(network.biases) - 1])), dtype=np.float32)
    fill_inputs(network, observations, inputs)
    fill_logits(network, inputs, one, other, logits)
    return logits
