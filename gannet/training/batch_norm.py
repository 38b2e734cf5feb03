"""Batch norm over the batch of all ranks.

torch's `SyncBatchNorm` refuses tensors on the CPU, and its backward cannot be differentiated again.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.errors import UserError
from gannet.training.ranks import AllReduce, Ranks


class SyncBatchNorm(_BatchNorm):
    """Batch norm (Ioffe and Szegedy 2015, algorithm 1) whose batch is that of all ranks together.

    Takes the place of `other`, whose parameters and buffers it shares. Every rank must bring
    equally many values.
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
        precision = torch.promote_types(input.dtype, torch.float32)
        weight = input.new_ones(self.num_features, dtype=precision) if self.weight is None else self.weight
        bias = torch.zeros_like(weight) if self.bias is None else self.bias
        y, mean, variance = cast(Any, _Normalise.apply(input, weight, bias, self.eps, self.ranks))
        self.remember(mean, variance, input.numel() // input.shape[1] * self.ranks.num)
        return y

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, num: int) -> None:
        """Moves the running statistics, which hold the unbiased variance."""
        if not self.track_running_stats:
            return
        cast(Tensor, self.num_batches_tracked).add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / cast(Tensor, self.num_batches_tracked).item()
        cast(Tensor, self.running_mean).lerp_(mean, momentum)
        cast(Tensor, self.running_var).lerp_(variance * (num / (num - 1)), momentum)


class _Normalise(torch.autograd.Function):
    """By torch's own kernels, with the sums of all ranks; where it is to be differentiated again, by `plainly`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks) -> Any:
        mean, variance = moments(x, ranks.gather)
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.eps, ctx.ranks = eps, ranks
        ctx.mark_non_differentiable(mean, variance)
        return nn.functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, bias, mean, variance = ctx.saved_tensors
        dy, needed = gradients[0], ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            inputs = [tensor for tensor, is_needed in zip((x, weight, bias), needed, strict=True) if is_needed]
            found = iter(
                torch.autograd.grad(plainly(x, weight, bias, ctx.eps, ctx.ranks), inputs, dy, create_graph=True)
            )
            return *(next(found) if is_needed else None for is_needed in needed), None, None
        # The kernel moves mean and variance with this rank's sums (the paper's section 3, its chain rule); what the
        # others' sums differ by is added, which is little, and so safe in half precision.
        backward, scale = torch.ops.aten.native_batch_norm_backward, (variance + ctx.eps).rsqrt()
        dx, dweight, dbias = backward(dy, x, weight, None, None, mean, scale, True, ctx.eps, [True, True, True])
        if needed[0]:
            sum_weight, sum_bias = ctx.ranks.sum_(torch.stack([dweight, dbias]))
            own = x.numel() // x.shape[1]
            of_x = -weight * scale.square() * (sum_weight / ctx.ranks.num - dweight) / own
            shift = -weight * scale * (sum_bias / ctx.ranks.num - dbias) / own - of_x * mean
            dx.add_(across(shift, x)).addcmul_(x, across(of_x, x).to(x.dtype))
        return dx, dweight, dbias, None, None


def plainly(x: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks) -> Tensor:
    """The normalised x in operations that can be differentiated as often as one likes."""

    def gathered(own: Tensor) -> Tensor:
        others = torch.zeros_like(own)
        return AllReduce.apply(torch.stack([own if r == ranks.rank else others for r in range(ranks.num)]), ranks)

    mean, variance = moments(x, gathered)
    scale = (variance + eps).rsqrt() * weight
    return (x * across(scale, x) + across(bias - mean * scale, x)).to(x.dtype)


def moments(x: Tensor, gathered: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance `[C]` over the batch of all ranks; `gathered` makes `[num ranks, 2, C]` of each one's own."""
    dims = [d for d in range(x.dim()) if d != 1]
    own = x.mean(dims, dtype=torch.promote_types(x.dtype, torch.float32))
    every = gathered(torch.stack([own, (x - across(own, x)).square().mean(dims)]))
    means, variances = every[:, 0], every[:, 1]
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def across(values: Tensor, x: Tensor) -> Tensor:
    """`[C]`, to be broadcast over x `[N, C, ...]`."""
    return values.view([1, -1] + [1] * (x.dim() - 2))


def synchronise(network: nn.Module, ranks: Ranks) -> None:
    """Puts `SyncBatchNorm` in the place of every batch norm below the network, where there are several ranks."""
    if ranks.num == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
                setattr(module, name, SyncBatchNorm(child, ranks))


def refuse_single_values(network: nn.Module) -> None:
    """Has every batch norm of the network raise `UserError` for one value a feature, which it would make 0.

    A batch of one image is none where there are several pixels: that is instance norm (Isola et al. 2017, section 3.4).
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
            module.register_forward_pre_hook(refuse_single_value)


def refuse_single_value(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    if norm.training and inputs[0].numel() == inputs[0].shape[1]:
        raise UserError(
            "batch norm has one value a feature to go by here, and needs several: set --batch (or --train.micro-batch)"
            " to 2 or more"
        )
