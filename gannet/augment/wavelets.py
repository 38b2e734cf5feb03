"""Constant matrices of wavelet filters on a line of pixels, with the edges mirrored.

A line is mirrored at its first and last pixel, which stand once: its period is 2 (size - 1).
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gannet.augment.base import constant

# The scaling filters of the least asymmetric wavelets with 6 and 2 vanishing moments (Daubechies 1992,
# "Ten lectures on wavelets", table 6.3): unit energy, sum sqrt(2), orthogonal to their shifts by 2, 4, ...
SYM6 = np.array([
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
])  # fmt: skip
SYM2 = np.array([1 + math.sqrt(3), 3 + math.sqrt(3), 3 - math.sqrt(3), 1 - math.sqrt(3)]) / math.sqrt(32)
CENTRE = float(SYM6 @ np.arange(12) / SYM6.sum())  # sample 2 n + CENTRE of an enlarged line is over pixel n


def mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Where in a line of `size` pixels the pixel `index` of its endless mirror image is."""
    index = index % (2 * size - 2)
    return np.minimum(index, 2 * size - 2 - index)


@lru_cache(maxsize=16)
def enlarging(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Lines of `size` pixels to one period of their mirror image at twice the resolution: `[4 size - 3, size]`.

    The last sample is the first again.
    """
    matrix = np.zeros((4 * size - 3, size))
    sample = np.arange(len(matrix))
    for tap in range(12):
        even = sample[(sample - tap) % 2 == 0]
        np.add.at(matrix, (even, mirrored((even - tap) // 2, size)), math.sqrt(2) * SYM6[tap])
    return constant(matrix, device, dtype)


@lru_cache(maxsize=16)
def reducing(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Samples 0 to 2 size + 9 of an enlarged line back to `size` pixels: `[size, 2 size + 10]`."""
    matrix = np.zeros((size, 2 * size + 10))
    for tap in range(12):
        matrix[np.arange(size), 2 * np.arange(size) + tap] = SYM6[tap] / math.sqrt(2)
    return constant(matrix, device, dtype)


@lru_cache(maxsize=16)
def octaves(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A line of `size` pixels to its four bands, low to high, whose sum it is: `[4, size, size]`."""
    bands = np.zeros((4, size, size))
    pixel = np.arange(size)
    for band, taps in zip(bands, octave_filters(), strict=True):
        for offset, tap in zip(range(-21, 22), taps, strict=True):
            np.add.at(band, (pixel, mirrored(pixel + offset, size)), tap)
    return constant(bands, device, dtype)


def octave_filters() -> np.ndarray:
    """The zero-phase filters H_1 to H_4 of Karras et al. 2020, appendix B: `[4, 43]`, the middle tap is 21."""
    low = np.convolve(SYM2, SYM2[::-1]) / 2  # H(z) H(1/z) / 2
    high = low * (-1.0) ** np.arange(-3, 4)  # the same of -z

    def times(*factors: np.ndarray) -> np.ndarray:
        """The product of factors in z, z^2 and z^4."""
        taps = np.ones(1)
        for octave, factor in enumerate(factors):
            spread = np.zeros(6 * 2**octave + 1)
            spread[:: 2**octave] = factor
            taps = np.convolve(taps, spread)
        return np.pad(taps, (43 - len(taps)) // 2)

    return np.stack([times(low, low, low), times(low, low, high), times(low, high), times(high)])
