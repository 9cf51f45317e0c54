"""The noise of `env.noise` for compiled code: the same functions, compiled from the same source.

Importing this module is enough: compiled code may then call the functions of `env.noise`.
"""

from __future__ import annotations

from numba.extending import register_jitable

from env import noise

for _function in (
    noise.philox_block,
    noise.philox,
    noise.natural_log,
    noise.normal_quantile,
    noise.uniform,
    noise.normal,
    noise.exponential,
    noise.other_key,
):
    register_jitable(_function)
