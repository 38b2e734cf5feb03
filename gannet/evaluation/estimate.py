"""A measured number and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

RESAMPLES = 1000
TAILS = (0.025, 0.975)
SEED = 0
DRAWS = 2**18  # at once


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval: what other images from the same sources would give."""

    value: float
    low: float
    high: float


def bootstrapped(
    value: float, *parts: Tensor, nums: Sequence[int] = (), lowest: float = -math.inf, highest: float = math.inf
) -> Estimate:
    """The interval of a number that moves, to first order, with the means of what each image contributes.

    `parts` holds one tensor for each set of images that the number was made of, `[n]`: by how much the number grows
    as an image gets more weight (its influence, Hampel 1974), up to a constant. Each set is resampled by itself,
    with replacement, 1,000 times with the same random numbers always; the interval has the 2.5% and 97.5%
    quantiles of the resampled means around their centre, at `value`. So no resample has the bias of a smaller set.
    `nums` are the sizes of the sets where `parts` holds some of their images only. Nothing goes beyond `lowest` and
    `highest`.
    """
    random = np.random.Generator(np.random.Philox(SEED))
    moved = np.zeros(RESAMPLES)
    for part, num in zip(parts, nums or [len(part) for part in parts], strict=True):
        values = part.double().numpy()
        values = values - values.mean()
        for some in np.array_split(moved, -(-RESAMPLES * num // DRAWS)):
            some += values[random.integers(len(values), size=(len(some), num))].mean(1)
    below, above = np.quantile(moved - moved.mean(), TAILS).tolist()
    return Estimate(value, max(value + min(below, 0.0), lowest), min(value + max(above, 0.0), highest))


def places(total: int, num: int) -> np.ndarray:
    """Where `num` of `total` are that are spread evenly: int64, rising, `[min(num, total)]`."""
    if num >= total:
        return np.arange(total)
    return np.linspace(0, total - 1, num).round().astype(np.int64)
