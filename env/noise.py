"""Chance by number: the k-th draw of a stream, without the draws before it.

What happens by chance in a run while it goes on (boots, stops, faults, copies) is drawn here, and
no draw depends on how many came before: the k-th boot takes the k-th draw of the boots' stream,
whatever was stopped meanwhile. So two policies meet the same chance as far as they do the same,
and the SimPy simulator and the compiled engine (`env.engine`) meet the same at all times.

The bits come from Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC 2011). A draw's counter is its stream and its number, its key is that of the run.

The functions are plain Python, and `env.engine.noise` has them compiled: they use integers below
2^64 whose products may wrap around in 64 bits, and floats with the four operations, a square root
and `frexp` only, so that both give the same to the last digit (`test_same_noise.py`).
"""

from __future__ import annotations

from math import frexp, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

BOOTS: Final = 0
"""Stream of the boots' scatter, by the number of the spawn."""
STOPS: Final = 1
"""Stream of the stops' scatter, by the number of the stop."""
COPIES: Final = 2
"""Stream of the scatter of the image's copies, by the number of the spawn."""
SPAWN_FAILURES: Final = 3
"""Stream of what decides whether a spawn fails, by its number."""
LIVES: Final = 4
"""Stream of the workers' lives, by the number of the spawn."""
_KEYS: Final = 5
"""Stream of the keys of other futures."""

_LOW: Final = 0xFFFFFFFF
_KEY_MASK: Final = (1 << 63) - 1  # a signed 64-bit integer holds it

_ROUNDS: Final = 10
_MULTIPLIER_0: Final = 0xD2511F53
_MULTIPLIER_1: Final = 0xCD9E8D57
_WEYL_0: Final = 0x9E3779B9
_WEYL_1: Final = 0xBB67AE85


def noise_key(seed: int) -> int:
    """The key of a run's noise, 0 .. 2^63 - 1, from the seed of the `Simulator`.

    Args:
        seed: not negative, of any size.
    """
    sequence = np.random.SeedSequence(seed).spawn(2)[1]  # the first is that of the jobs
    return int(sequence.generate_state(1, np.uint64)[0]) & _KEY_MASK


def other_key(key: int, number: int) -> int:
    """The key of another future of the run, independent of `key` and of those of other numbers.

    Args:
        key: of the run.
        number: which future, 0 .. 2^62.
    """
    high, low, _, _ = philox(key, _KEYS, number)
    return ((high & 0x7FFFFFFF) << 32) | low


def philox(key: int, stream: int, k: int) -> tuple[int, int, int, int]:
    """Four words of 32 random bits each.

    Args:
        key: 0 .. 2^63 - 1.
        stream: which of the key's streams, 0 .. 2^32 - 1.
        k: number of the draw, 0 .. 2^62.
    """
    return philox_block(key, k & _LOW, (k >> 32) & _LOW, stream, 0)


def philox_block(key: int, c0: int, c1: int, c2: int, c3: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 of a counter of four words; `c0` .. may be int64 arrays, see `normals`.

    Args:
        key: two words, the low one first.
        c0: of the counter, 32 bits, as all of its words.
        c1: see `c0`.
        c2: see `c0`.
        c3: see `c0`.
    """
    k0, k1 = key & _LOW, (key >> 32) & _LOW
    for _ in range(_ROUNDS):
        # The masks make it the same whether the products wrap around at 2^64 or not.
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _LOW) ^ c1 ^ k0,
            p1 & _LOW,
            ((p0 >> 32) & _LOW) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


def uniform(key: int, stream: int, k: int) -> float:
    """Uniform in (0, 1): 52 bits, the ends left out, symmetric about 1/2.

    For the arguments see `philox`.
    """
    a, b, _, _ = philox(key, stream, k)
    return ((a >> 6) * 67108864.0 + (b >> 6) + 0.5) * (1.0 / 4503599627370496.0)


def normal(key: int, stream: int, k: int) -> float:
    """Standard normal; for the arguments see `philox`."""
    return normal_quantile(uniform(key, stream, k))


def exponential(key: int, stream: int, k: int, mean: float) -> float:
    """Exponential with this mean; for the other arguments see `philox`."""
    return -mean * natural_log(uniform(key, stream, k))


def normals(key: int, stream: int, n: int) -> NDArray[np.float64]:
    """The first n draws of `normal`."""
    ks = np.arange(n, dtype=np.int64)
    zeros = np.zeros_like(ks)
    a, b, _, _ = philox_block(key, ks & _LOW, ks >> 32, zeros + stream, zeros)  # type: ignore[arg-type]
    p = ((a >> 6) * 67108864.0 + (b >> 6) + 0.5) * (1.0 / 4503599627370496.0)
    return np.array([normal_quantile(one) for one in p.tolist()])  # type: ignore[attr-defined]


def natural_log(x: float) -> float:
    """Logarithm of a positive normal number, within one unit in the last place.

    The algorithm of fdlibm's ``e_log.c`` (Sun Microsystems 1993). The processor's own operations
    round alike everywhere, the C libraries' logarithms do not.
    """
    mantissa, exponent = frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        exponent -= 1
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (
        3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)
    )
    odd = z * (
        6.666666666666735130e-01
        + w
        * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half = 0.5 * f * f
    low = exponent * 1.90821492927058770002e-10
    high = exponent * 6.93147180369123816490e-01
    return high - ((half - (s * (half + (odd + even)) + low)) - f)


def normal_quantile(p: float) -> float:
    """The standard normal variable that is exceeded with probability 1 - p, for p in (0, 1).

    Algorithm AS 241, PPND16 (Wichura 1988, "The percentage points of the normal distribution",
    Applied Statistics 37, 477-484); relative error about 1e-16.
    """
    q = p - 0.5
    if -0.425 <= q <= 0.425:
        r = 0.180625 - q * q
        above = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        above = above * r + 6.7265770927008700853e4
        above = above * r + 4.5921953931549871457e4
        above = above * r + 1.3731693765509461125e4
        above = above * r + 1.9715909503065514427e3
        above = above * r + 1.3314166789178437745e2
        above = above * r + 3.3871328727963666080e0
        below = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        below = below * r + 3.9307895800092710610e4
        below = below * r + 2.1213794301586595867e4
        below = below * r + 5.3941960214247511077e3
        below = below * r + 6.8718700749205790830e2
        below = below * r + 4.2313330701600911252e1
        below = below * r + 1.0
        return above * q / below
    r = sqrt(-natural_log(p if q <= 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        above = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        above = above * r + 2.41780725177450611770e-1
        above = above * r + 1.27045825245236838258e0
        above = above * r + 3.64784832476320460504e0
        above = above * r + 5.76949722146069140550e0
        above = above * r + 4.63033784615654529590e0
        above = above * r + 1.42343711074968357734e0
        below = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        below = below * r + 1.51986665636164571966e-2
        below = below * r + 1.48103976427480074590e-1
        below = below * r + 6.89767334985100004550e-1
        below = below * r + 1.67638483018380384940e0
        below = below * r + 2.05319162663775882187e0
        below = below * r + 1.0
    else:
        r -= 5.0
        above = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        above = above * r + 1.24266094738807843860e-3
        above = above * r + 2.65321895265761230930e-2
        above = above * r + 2.96560571828504891230e-1
        above = above * r + 1.78482653991729133580e0
        above = above * r + 5.46378491116411436990e0
        above = above * r + 6.65790464350110377720e0
        below = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        below = below * r + 1.84631831751005468180e-5
        below = below * r + 7.86869131145613259100e-4
        below = below * r + 1.48753612908506148525e-2
        below = below * r + 1.36929880922735805310e-1
        below = below * r + 5.99832206555887937690e-1
        below = below * r + 1.0
    x = above / below
    return -x if q < 0.0 else x
