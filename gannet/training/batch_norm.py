"""Batch norm over the batch of all ranks.

torch's `SyncBatchNorm` refuses tensors on the CPU, and its backward cannot be differentiated again.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.training.ranks import AllReduce, Ranks


class SyncBatchNorm(_BatchNorm):
    """Batch norm (Ioffe and Szegedy 2015, algorithm 1) whose batch is that of all ranks together.

    Takes the place of `other`, whose parameters and buffers it shares. Every rank must bring equally many values.
    """

    def __init__(self, other: _BatchNorm, ranks: Ranks):
        super().__init__(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        self.ranks = ranks
        self._parameters, self._buffers, self.training = other._parameters, other._buffers, other.training

    def _check_input_dim(self, input: Tensor) -> None:  # any number of dimensions will do
        ...

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        across = [d for d in range(x.dim()) if d != 1]
        own = torch.stack([x.mean(across), x.var(across, unbiased=False)])
        every = AllReduce.apply(self.placed(own), self.ranks)
        means, variances = every[:, 0], every[:, 1]
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self.remember(mean.detach(), variance.detach(), x.numel() // x.shape[1] * self.ranks.num)
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        shift = -mean * scale + (0 if self.bias is None else self.bias)
        shape = [1, -1] + [1] * (x.dim() - 2)
        return (x * scale.view(shape) + shift.view(shape)).to(input.dtype)

    def placed(self, own: Tensor) -> Tensor:
        """`[num ranks, 2, C]` with this rank's moments in their place, and zeros elsewhere."""
        others = torch.zeros_like(own)
        return torch.stack([own if rank == self.ranks.rank else others for rank in range(self.ranks.num)])

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, num: int) -> None:
        """Moves the running statistics, which hold the unbiased variance."""
        if not self.track_running_stats:
            return
        cast(Tensor, self.num_batches_tracked).add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / cast(Tensor, self.num_batches_tracked).item()
        cast(Tensor, self.running_mean).lerp_(mean, momentum)
        cast(Tensor, self.running_var).lerp_(variance * (num / (num - 1)), momentum)


def synchronise(network: nn.Module, ranks: Ranks) -> None:
    """Puts `SyncBatchNorm` in the place of every batch norm below the network, where there are several ranks."""
    if ranks.num == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
                setattr(module, name, SyncBatchNorm(child, ranks))
