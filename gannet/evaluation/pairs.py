"""How far images are from their targets, pixel for pixel: L1, PSNR and SSIM of each pair."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from gannet.errors import UserError

PEAK = 255.0
ROUNDING = 1 / 12  # squared error of rounding to 8 bits, in levels
WINDOW, SIGMA = 11, 1.5  # pixels

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Measure:
    """uint8 images and their targets `[N, C, H, W]` to a number for each, float64 `[N]`."""

    of: Callable[[np.ndarray, np.ndarray], Tensor]
    better: Better
    protocol: Mapping[str, str]


def l1(made: np.ndarray, target: np.ndarray) -> Tensor:
    """The mean absolute difference, black to white being 1: `[N]`."""
    one, other = as_levels(made, target)
    return (one - other).abs().flatten(1).mean(1) / PEAK


def psnr(made: np.ndarray, target: np.ndarray) -> Tensor:
    """10 log10(255^2 / mean squared error) of each image, in dB: `[N]`.

    The error counts as that of rounding, 1/12, at least, so that equal images have 58.9 dB and not infinitely many.
    """
    one, other = as_levels(made, target)
    error = (one - other).square().flatten(1).mean(1)
    return 10 * torch.log10(PEAK**2 / error.clamp(min=ROUNDING))


def ssim(made: np.ndarray, target: np.ndarray) -> Tensor:
    """Structural similarity, 1 for equal images, in each channel and averaged: `[N]`.

    Wang et al. 2004, equation 13 and section III.C: a Gaussian window of 11x11 pixels with sigma 1.5, K1 0.01,
    K2 0.03, at every place where the window lies inside the image. Raises `UserError` where it lies nowhere.
    """
    one, other = (levels.flatten(0, 1) for levels in as_levels(made, target))
    if min(one.shape[1:]) < WINDOW:
        height, width = one.shape[1:]
        raise UserError(f"SSIM looks at {WINDOW}x{WINDOW} pixels at once, and the images have {width}x{height}")
    m, n, mm, nn, mn = windowed(torch.stack([one, other, one * one, other * other, one * other]))
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    similar = (2 * m * n + c1) * (2 * (mn - m * n) + c2)
    similar /= (m * m + n * n + c1) * (mm - m * m + nn - n * n + c2)
    return similar.unflatten(0, made.shape[:2]).flatten(1).mean(1)


def windowed(x: Tensor) -> Tensor:
    """Weighted means over windows of images `[K, M, H, W]`: `[K, M, H - 10, W - 10]`."""
    bell = torch.exp(-((torch.arange(WINDOW, dtype=x.dtype) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    bell /= bell.sum()
    down = conv2d(x.flatten(0, 1)[:, None], bell.view(1, 1, -1, 1))
    return conv2d(down, bell.view(1, 1, 1, -1)).squeeze(1).unflatten(0, x.shape[:2])


MEASURES = {
    "L1": Measure(l1, "lower", {"range": "0 to 1"}),
    "PSNR": Measure(psnr, "higher", {"peak": "255", "mean": "of the images' dB"}),
    "SSIM": Measure(ssim, "higher", {"window": "11x11 Gaussian, sigma 1.5", "channels": "averaged"}),
}


def as_levels(made: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
    """Both as float64 in [0, 255]. Raises `ValueError` where their shapes differ."""
    if made.shape != target.shape:
        raise ValueError(f"images {made.shape} and targets {target.shape} are no pairs")
    return torch.from_numpy(made).double(), torch.from_numpy(target).double()
