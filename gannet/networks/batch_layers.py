"""Layers that look beyond one value: over the batch, over the image, or at the label; and orthogonal weights.

D with a layer over the batch rates samples together: what it says of one hangs on the others.
"""

import torch
from torch import Tensor, nn

from gannet.networks.layers import ClassEmbedding


class MinibatchDiscrimination(nn.Module):
    """How close each sample is to the others of its batch (Salimans et al. 2016, section 3.2).

    f `[N, in_features]` to `[N, out_features]`: f, and for each of `num_kernels` b
    o_b(x_i) = sum_j exp(-|M_ib - M_jb|_1), M = f T with rows of `kernel_dim`. Each is from 1, alone, to
    N, all the same. Reals and fakes must come in batches of their own.
    """

    def __init__(self, in_features: int, num_kernels: int, kernel_dim: int):
        super().__init__()
        self.num_kernels, self.kernel_dim = num_kernels, kernel_dim
        self.out_features = in_features + num_kernels
        # distances near 1 at first, for features near 1: the exponential is flat at 0 and far out
        std = in_features**-0.5 / kernel_dim
        self.weight = nn.Parameter(torch.randn(in_features, num_kernels * kernel_dim) * std)

    def forward(self, f: Tensor) -> Tensor:
        rows = f @ self.weight
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32)).unflatten(1, (self.num_kernels, self.kernel_dim))
        distances = (rows[:, None] - rows[None]).abs().sum(3)
        return torch.cat([f, (-distances).exp().sum(1).to(f.dtype)], dim=1)


class MinibatchStdDev(nn.Module):
    """x `[N, C, H, W]` with one more channel: how much the samples differ (Karras et al. 2018, section 3).

    The deviation over a group of each value, averaged over the values: one number a group. A group is
    `group_size` neighbours in the batch, or fewer where that does not divide N.
    """

    def __init__(self, group_size: int = 4):
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        size = max(size for size in range(1, self.group_size + 1) if len(x) % size == 0)
        groups = x.unflatten(0, (-1, size)).to(torch.promote_types(x.dtype, torch.float32))
        # the root has no slope at 0
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = deviation.repeat_interleave(size).to(x.dtype)[:, None, None, None]
        return torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], dim=1)

    def extra_repr(self) -> str:
        return f"group_size={self.group_size}"


class SelfAttention(nn.Module):
    """Each pixel takes from all pixels: x `[N, C, H, W]` to the same shape (SAGAN: Zhang et al. 2019, section 3).

    y = gamma v(attention) + x with gamma 0 at first, so it begins as the identity. Its inner width is C / 8.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // 8)
        self.query, self.key, self.value = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (conv(x).flatten(2) for conv in (self.query, self.key, self.value))
        # torch's fused attention cannot be differentiated twice, as gradient penalties do
        attention = (query.transpose(1, 2) @ key).softmax(dim=2)
        taken = (value @ attention.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma.to(x.dtype) * self.out(taken).to(x.dtype)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias hang on the label (de Vries et al. 2017, section 3).

    x `[N, num_features, H, W]` and one-hot or soft c `[N, num_classes]`. A class adds its own part to
    the gain and bias of all, 0 at first; without classes it is plain batch norm.
    """

    def __init__(self, num_features: int, num_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, affine=False)
        self.gain, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.class_gain, self.class_bias = (ClassEmbedding(num_classes, num_features, std=0.0) for _ in range(2))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        y = self.norm(x)
        gain = (self.gain + self.class_gain(c)).to(y.dtype)[:, :, None, None]
        bias = (self.bias + self.class_bias(c)).to(y.dtype)[:, :, None, None]
        return torch.addcmul(bias, y, gain)


def initialise_orthogonally(network: nn.Module) -> None:
    """Makes the weights of linear and convolution layers orthogonal, biases 0 (Saxe et al. 2014; Brock et al. 2019).

    Before spectral norm is laid over them, not after.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.orthogonal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
