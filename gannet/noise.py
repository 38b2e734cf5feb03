"""The noise that generators start from: z number i of a seed, the same everywhere.

z_i is a function of (seed, stream, i) alone: the counter-based generator Philox (Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3") is set to the counter that belongs to i, so
batch size, device and number of ranks change nothing. Its 64-bit outputs become normal deviates by
the Box-Muller transform, which takes a fixed number of outputs for each deviate.
"""

import math
from enum import IntEnum
from statistics import NormalDist

import numpy as np

WORDS_PER_COUNTER = 4  # Philox4x64 yields four 64-bit words for each value of its counter


class Stream(IntEnum):
    """What a sequence of random numbers is for; each has its own key, so none overlap."""

    SAMPLE = 0
    TRAIN = 1
    GRID = 2
    ORDER = 3
    REALS = 4
    STANDING = 5
    CROP = 6
    VARIATION = 7
    BURN_IN = 8
    REJECTION = 9
    LOOKS = 10


def philox(seed: int, stream: Stream, counter: int = 0) -> np.random.Philox:
    """Philox keyed by (seed, stream) with its counter set to `counter`."""
    return np.random.Philox(key=np.array([seed % 2**64, stream], np.uint64), counter=counter)


def uniform(seed: int, stream: Stream, start: int, num: int, dim: int) -> np.ndarray:
    """Rows number `start` to `start + num` of a seed: float64 `[num, dim]`, uniform in (0, 1)."""
    words = -(-dim // WORDS_PER_COUNTER) * WORDS_PER_COUNTER
    bits = philox(seed, stream, start * words // WORDS_PER_COUNTER).random_raw(num * words)
    return (((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53).reshape(num, words)[:, :dim]


def normal(seed: int, stream: Stream, start: int, num: int, dim: int) -> np.ndarray:
    """z numbers `start` to `start + num` of a seed: float32 `[num, dim]` from N(0, 1)."""
    words = -(-dim // WORDS_PER_COUNTER) * WORDS_PER_COUNTER
    radius, angle = uniform(seed, stream, start, num, words).reshape(num, 2, words // 2).transpose(1, 0, 2)
    radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
    z = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return z[:, :dim].astype(np.float32)


def truncated_normal(z: np.ndarray, bound: float) -> np.ndarray:
    """z `[N, dim]` from N(0, 1), mapped to that distribution between -bound and bound: float32.

    Brock, Donahue and Simonyan (2019, section 3.1) draw a value anew until it lies within. Here each goes
    where its quantile is: image i of a seed stays image i, changes gently with the bound, and hangs on no other.
    """
    outside, quantile = lower_tail(-bound), NormalDist().inv_cdf
    # of the lower half, where nothing is rounded to 1
    size = [-quantile(outside + lower_tail(-abs(value)) * (1 - 2 * outside)) for value in z.ravel().tolist()]
    return np.copysign(np.clip(size, 0, bound).reshape(z.shape), z).astype(np.float32)


def lower_tail(x: float) -> float:
    """The probability that a value of N(0, 1) is below x."""
    return math.erfc(-x / math.sqrt(2)) / 2
