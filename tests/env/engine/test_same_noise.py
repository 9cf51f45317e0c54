"""The compiled noise is the plain one to the last digit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

numba = pytest.importorskip("numba")

import env.engine.noise  # noqa: E402, F401  # compiled code may call `env.noise` from here on
from env import noise  # noqa: E402


@numba.njit  # type: ignore[misc,unused-ignore]
def compiled(keys: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    found = np.empty((len(keys), n, 5))
    for i in range(len(keys)):
        for k in range(n):
            number = k if k < n // 2 else k << 33
            found[i, k, 0] = noise.uniform(keys[i], noise.BOOTS, number)
            found[i, k, 1] = noise.normal(keys[i], noise.STOPS, number)
            found[i, k, 2] = noise.exponential(keys[i], noise.LIVES, number, 5.0)
            found[i, k, 3] = noise.other_key(keys[i], number)
            found[i, k, 4] = noise.normal_quantile(2.0 ** -(1 + k % 53))
    return found


def test_compiled_noise_is_the_same_to_the_last_digit() -> None:
    keys = [0, 1, 2**63 - 1, *(noise.noise_key(seed) for seed in range(8))]
    n = 400
    found = compiled(np.array(keys), n)
    for i, key in enumerate(keys):
        for k in range(n):
            number = k if k < n // 2 else k << 33
            plain = [
                noise.uniform(key, noise.BOOTS, number),
                noise.normal(key, noise.STOPS, number),
                noise.exponential(key, noise.LIVES, number, 5.0),
                float(noise.other_key(key, number)),
                noise.normal_quantile(2.0 ** -(1 + k % 53)),
            ]
            assert found[i, k].tolist() == plain
