"""Layers of D that look at the whole batch: what it says of one sample then hangs on the others.

Reals and fakes must come in batches of their own.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from gannet.networks.layers import beside

Minibatch = Literal["none", "deviation", "discrimination"]


class MinibatchDiscrimination(nn.Module):
    """x `[N, C, ...]` with `num_kernels` more channels: how close each sample is to the others
    (Salimans et al. 2016, section 3.2).

    f is x as a vector of `in_features`, and o_b(x_i) = sum_j exp(-|M_ib - M_jb|_1) with M = f T in rows of
    `kernel_dim`, for each kernel b. Each is from 1, alone, to N, all the same.
    """

    def __init__(self, in_features: int, num_kernels: int = 50, kernel_dim: int = 5):
        super().__init__()
        self.num_kernels, self.kernel_dim = num_kernels, kernel_dim
        # distances near 1 at first, for features near 1: the exponential is flat at 0 and far out
        std = in_features**-0.5 / kernel_dim
        self.weight = nn.Parameter(torch.randn(in_features, num_kernels * kernel_dim) * std)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1) @ self.weight
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32)).unflatten(1, (self.num_kernels, self.kernel_dim))
        distances = (rows[:, None] - rows[None]).abs().sum(3)
        return beside(x, (-distances).exp().sum(1))


class MinibatchStdDev(nn.Module):
    """x `[N, C, ...]` with one more channel: how much the samples differ (Karras et al. 2018, section 3).

    The deviation over a group of each value, averaged over the values: one number a group. A group is
    `group_size` neighbours in the batch, or as many as divide N. So a batch can be cut between groups,
    over ranks or micro-batches, and nothing changes.
    """

    def __init__(self, group_size: int = 4):
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        size = max(size for size in range(1, self.group_size + 1) if len(x) % size == 0)
        groups = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (-1, size))
        # the root has no slope at 0
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().flatten(1).mean(1)
        return beside(x, deviation.to(x.dtype).repeat_interleave(size)[:, None])

    def extra_repr(self) -> str:
        return f"group_size={self.group_size}"


def minibatch_layer(minibatch: Minibatch, in_features: int) -> tuple[nn.Module, int]:
    """The layer of a setting, for maps or vectors of so many values, and how many channels it adds."""
    if minibatch == "deviation":
        return MinibatchStdDev(), 1
    if minibatch == "discrimination":
        layer = MinibatchDiscrimination(in_features)
        return layer, layer.num_kernels
    return nn.Identity(), 0
