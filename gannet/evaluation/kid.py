"""Kernel Inception Distance (Binkowski et al. 2018, "Demystifying MMD GANs", section 4), in features of any kind."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate, bootstrapped

SUBSETS, SUBSET = 100, 1000
SEED = 2020
ENTRIES = 2**22  # of the kernel at once: 32 MB


def kid(real: Tensor, fake: Tensor) -> Estimate:
    """`Kid` of real and of generated features, once."""
    return Kid(real, len(fake))(fake)


class Kid:
    """The squared maximum mean discrepancy of features `[N, d]` and `[M, d]`: 0 on average for equal distributions.

    What follows from the real ones and from M, the number of generated ones, is computed once, when it is built.

    The kernel is (x.y / d + 1)^3. The value is the mean of the unbiased estimates from 100 subsets of 1,000 of each
    set (of as many as the smaller set has, where that is fewer), drawn as torch-fidelity 0.4 draws them with its
    first input `fake`. It may be below 0. All subsets come from one kernel of all images, computed in blocks.

    The interval is over the images of both sets and over the draw of the subsets: what is resampled is each image's
    influence on the estimate from all images (the first-order projection of the U-statistic, Hoeffding 1948), and
    the subsets' values. Near equal distributions it is too wide rather than too narrow, for the influences that are
    0 there are known with an error. Raises `UserError` for fewer than two images.
    """

    def __init__(self, real: Tensor, num_fake: int) -> None:
        self.real, self.size = real, subset_size(len(real), num_fake)
        random = np.random.RandomState(SEED)
        chosen = [torch.zeros(num, SUBSETS, dtype=torch.float64) for num in (num_fake, len(real))]
        for subset in range(SUBSETS):
            for picks in chosen:
                picks[random.choice(len(picks), self.size, replace=False), subset] = 1
        self.of_fake, self.of_real = chosen
        self.real_real = summed(real, real, self.of_real, self.of_real)

    def __call__(self, fake: Tensor) -> Estimate:
        """KID and its interval, of as many features `[M, d]` as were announced."""
        num_real, num_fake, size = len(self.real), len(fake), self.size
        fake_fake = summed(fake, fake, self.of_fake, self.of_fake)
        real_fake = summed(self.real, fake, self.of_real, self.of_fake)
        values = self.real_real.subsets + fake_fake.subsets
        values = values / (size * (size - 1)) - 2 * real_fake.subsets / size**2
        by_real = 2 * (self.real_real.rows / (num_real - 1) - real_fake.rows / num_fake)
        by_fake = 2 * (fake_fake.rows / (num_fake - 1) - real_fake.columns / num_real)
        return bootstrapped(values.mean().item(), by_real, by_fake, values)


def subset_size(num_real: int, num_fake: int) -> int:
    """How many images of each set a subset has; `UserError` for fewer than two."""
    size = min(SUBSET, num_real, num_fake)
    if size < 2:
        raise UserError(f"{size} image has no pairs to compare: KID needs two of each set, and is better with many")
    return size


@dataclass(frozen=True)
class Sums:
    """Of a kernel: over all of each row and column, and within each subset."""

    rows: Tensor
    columns: Tensor
    subsets: Tensor


def summed(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Sums:
    """Sums of the kernel of x `[N, d]` and y `[M, d]`, without its diagonal where they are the same tensor.

    `of_x` `[N, S]` and `of_y` `[M, S]` have 1 for the images in each of S subsets. Products are in the features'
    precision, all else in float64.
    """
    rows, columns = [], torch.zeros(len(y), dtype=torch.float64)
    subsets = torch.zeros(of_x.shape[1], dtype=torch.float64)
    size = max(1, ENTRIES // len(y))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        kernel = (x[part] @ y.T).double().div_(x.shape[1]).add_(1).pow_(3)
        if x is y:
            kernel.diagonal(start).zero_()
        rows.append(kernel.sum(1))
        columns += kernel.sum(0)
        subsets += (of_x[part] * (kernel @ of_y)).sum(0)
    return Sums(torch.cat(rows), columns, subsets)
