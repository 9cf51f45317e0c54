"""A small perceptron in compiled code: logits for a batch of observations.

The networks of `training` are turned into this form by `training.rollouts.flatten`. Products of
matrices are made here, in tiles: on one core nine tenths of what OpenBLAS reaches at these sizes
(docs/engine.md), and the logits of an observation do not depend on those it is together with.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, log
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.engine.compiling import compiled, entry, fused

Matrix = NDArray[np.float32]
_F = np.float32

TANH: Final = 0
RELU: Final = 1

_ROWS: Final = 8
_DEPTH: Final = 4
_PAD: Final = 8
"""Widths are filled up with zeros to a multiple of this."""


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
        weights: of each layer, of which there are at least two, shape (inputs, outputs) each;
            those of the last give logits. See `make_perceptron`: widths are filled up.
        biases: of each layer, shape (outputs,) each.
        actions: how many of the last outputs are logits.
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
    actions: int
    activation: int


def make_perceptron(
    *,
    low: Matrix,
    high: Matrix,
    places: NDArray[np.int64],
    scales: Matrix,
    above: Matrix,
    below: Matrix,
    constants: Matrix,
    weights: Sequence[NDArray[np.float64]],
    biases: Sequence[NDArray[np.float64]],
    activation: int,
) -> Perceptron:
    """A perceptron from layers of any widths; for the arguments see `Perceptron`.

    Raises:
        ValueError: there are fewer than two layers.
    """
    if len(weights) < 2:
        raise ValueError(f"a perceptron needs two layers at least, not {len(weights)}")
    filled = [(_filled(weight.shape[0]), _filled(weight.shape[1])) for weight in weights]
    wide = [np.zeros(shape, dtype=np.float32) for shape in filled]
    long = [np.zeros(shape[1], dtype=np.float32) for shape in filled]
    for weight, bias, more_weights, more_biases in zip(weights, biases, wide, long, strict=True):
        more_weights[: weight.shape[0], : weight.shape[1]] = weight
        more_biases[: len(bias)] = bias
    return Perceptron(
        low,
        high,
        places,
        scales,
        above,
        below,
        constants,
        tuple(wide),
        tuple(long),
        len(biases[-1]),
        activation,
    )


def _filled(width: int) -> int:
    return -(-width // _PAD) * _PAD


class Workspace(NamedTuple):
    """Room for a forward pass: compiled code asks for no memory.

    Attributes:
        amounts: shape (amounts,).
        inputs: shape (n, features and ratios), filled up as the widths are.
        hidden: after each layer but the last, shape (n, outputs) each.
        logits: shape (n, actions), likewise.
    """

    amounts: Matrix
    inputs: Matrix
    hidden: tuple[Matrix, ...]
    logits: Matrix


def workspace(network: Perceptron, n: int) -> Workspace:
    """Room for the network to see n observations at once (or a few more: to fill tiles)."""
    rows = -(-n // _ROWS) * _ROWS
    *hidden, last = [np.zeros((rows, len(bias)), dtype=np.float32) for bias in network.biases]
    return Workspace(
        np.zeros(len(network.places), dtype=np.float32),
        np.zeros((rows, len(network.weights[0])), dtype=np.float32),
        tuple(hidden),
        last,
    )


@compiled
def _fill_inputs(network: Perceptron, observations: Matrix, work: Workspace) -> None:
    """The clipped observations and their ratios."""
    n, width = observations.shape
    amounts, ratios = network.above.shape
    amount, low, high = work.amounts, network.low, network.high
    for row in range(n):
        # Views of one row: loops over these use the processor's vectors.
        seen, into = observations[row], work.inputs[row]
        for k in range(width):
            x = seen[k]
            x = x if x > low[k] else low[k]
            into[k] = x if x < high[k] else high[k]
        if ratios == 0:
            continue
        for k in range(amounts):
            amount[k] = expm1(into[network.places[k]] * network.scales[k])
        for r in range(ratios):
            top, bottom = network.constants[0, r], network.constants[1, r]
            for k in range(amounts):
                top += amount[k] * network.above[k, r]
                bottom += amount[k] * network.below[k, r]
            into[width + r] = log(top) - log(bottom)
        preference = 0.5 + 0.4 * into[0]
        into[width + ratios] = log(preference / (1.0 - preference))


@fused
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


@fused
def _multiply(left: Matrix, right: Matrix, product: Matrix) -> None:
    """Product of matrices: rows are a multiple of `_ROWS`, the common dimension of `_DEPTH`.

    Tiles of 8 rows and 4 columns of the left one are held in registers while a loop over the right
    one's columns uses the processor's vectors.
    """
    n, common = left.shape
    width = right.shape[1]
    for r in range(0, n, _ROWS):
        p0 = product[r + 0]
        p1 = product[r + 1]
        p2 = product[r + 2]
        p3 = product[r + 3]
        p4 = product[r + 4]
        p5 = product[r + 5]
        p6 = product[r + 6]
        p7 = product[r + 7]
        for j in range(width):
            p0[j] = p1[j] = p2[j] = p3[j] = p4[j] = p5[j] = p6[j] = p7[j] = _F(0.0)
        for k in range(0, common, _DEPTH):
            right0 = right[k + 0]
            right1 = right[k + 1]
            right2 = right[k + 2]
            right3 = right[k + 3]
            a00, a01, a02, a03 = (
                left[r + 0, k + 0],
                left[r + 0, k + 1],
                left[r + 0, k + 2],
                left[r + 0, k + 3],
            )
            a10, a11, a12, a13 = (
                left[r + 1, k + 0],
                left[r + 1, k + 1],
                left[r + 1, k + 2],
                left[r + 1, k + 3],
            )
            a20, a21, a22, a23 = (
                left[r + 2, k + 0],
                left[r + 2, k + 1],
                left[r + 2, k + 2],
                left[r + 2, k + 3],
            )
            a30, a31, a32, a33 = (
                left[r + 3, k + 0],
                left[r + 3, k + 1],
                left[r + 3, k + 2],
                left[r + 3, k + 3],
            )
            a40, a41, a42, a43 = (
                left[r + 4, k + 0],
                left[r + 4, k + 1],
                left[r + 4, k + 2],
                left[r + 4, k + 3],
            )
            a50, a51, a52, a53 = (
                left[r + 5, k + 0],
                left[r + 5, k + 1],
                left[r + 5, k + 2],
                left[r + 5, k + 3],
            )
            a60, a61, a62, a63 = (
                left[r + 6, k + 0],
                left[r + 6, k + 1],
                left[r + 6, k + 2],
                left[r + 6, k + 3],
            )
            a70, a71, a72, a73 = (
                left[r + 7, k + 0],
                left[r + 7, k + 1],
                left[r + 7, k + 2],
                left[r + 7, k + 3],
            )
            for j in range(width):
                b0, b1, b2, b3 = right0[j], right1[j], right2[j], right3[j]
                p0[j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                p1[j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                p2[j] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                p3[j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
                p4[j] += a40 * b0 + a41 * b1 + a42 * b2 + a43 * b3
                p5[j] += a50 * b0 + a51 * b1 + a52 * b2 + a53 * b3
                p6[j] += a60 * b0 + a61 * b1 + a62 * b2 + a63 * b3
                p7[j] += a70 * b0 + a71 * b1 + a72 * b2 + a73 * b3


@compiled
def fill_logits(network: Perceptron, observations: Matrix, work: Workspace) -> None:
    """From observations, shape (n, features), to the logits of the workspace."""
    _fill_inputs(network, observations, work)
    layers = len(network.weights)
    before = work.inputs
    for layer in range(layers - 1):
        after = work.hidden[layer]
        _multiply(before, network.weights[layer], after)
        _activate(after, network.biases[layer], network.activation)
        before = after
    _multiply(before, network.weights[layers - 1], work.logits)
    last = network.biases[layers - 1]
    for row in range(len(work.logits)):
        for k in range(len(last)):
            work.logits[row, k] += last[k]


@compiled
def likeliest(logits: Matrix, mask: NDArray[np.bool_]) -> int:
    """The allowed action of the greatest logit, the first of several; shapes (actions,)."""
    best = -1
    for action in range(len(mask)):
        if mask[action] and (best < 0 or logits[action] > logits[best]):
            best = action
    return best


def forward(network: Perceptron, observations: Matrix) -> Matrix:
    """The logits of observations of shape (n, features); shape (n, actions)."""
    work = workspace(network, len(observations))
    _forward(network, np.ascontiguousarray(observations), work)
    return work.logits[: len(observations), : network.actions].copy()


@entry
def _forward(network: Perceptron, observations: Matrix, work: Workspace) -> None:
    fill_logits(network, observations, work)
