"""Residual networks, as in SNGAN (Miyato et al. 2018, "Spectral normalization for generative adversarial
networks", tables 4 to 6), WGAN-GP (Gulrajani et al. 2017, its CIFAR-10 ResNet) and SAGAN (Zhang et al. 2019,
"Self-attention generative adversarial networks").

Without settings they are SNGAN's, with its widths at 32, 48 and 128 pixels. WGAN-GP's at 32 pixels have
`width` 128 and `max_width` 128 in both, D with `norm` none and `pool` mean. SAGAN's at 128 pixels have
`attention` (32,) in both, and G with `spectral`.
"""

from collections.abc import Callable
from itertools import pairwise, zip_longest
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gannet.errors import UserError
from gannet.networks.attention import attention_after, check_attention, smaller
from gannet.networks.base import Rating
from gannet.networks.layers import (
    ClassBatchNorm,
    ClassEmbedding,
    Init,
    SameBatchNorm,
    at_least,
    doubled_widths,
    initialise,
    spectral_norm,
    spectrally_normalise,
    with_projection,
)

DOUBLINGS = {16: 2, 32: 3, 48: 3, 64: 4, 128: 5, 256: 6}  # of G, one a block
HALVINGS = {16: (2, 2), 32: (2, 2), 48: (4, 1), 64: (4, 1), 128: (5, 1), 256: (6, 1)}  # of D, and further blocks


class Generator(nn.Module):
    """z through a dense layer to 4x4 (or 6x6), doubled by each block: `[N, channels, R, R]`, [-1, 1].

    The image has `width` features, doubled at each halving up to `max_width`; a width of 0 is the
    paper's, 256 everywhere up to 32 pixels and 64 at the image beyond. `norm` brings c in by the scale
    and shift of batch norms, or beside z. Self-attention follows the maps of `attention` pixels, where
    they are smaller than the image.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 128,
        width: int = 0,
        max_width: int = 1024,
        norm: Literal["conditional", "batch"] = "conditional",
        attention: tuple[int, ...] = (),
        spectral: bool = False,
        init: Init = "glorot_uniform",
    ):
        super().__init__()
        check_resolution(resolution)
        at_least(1, **{"G.z_dim": z_dim, "G.max_width": max_width})
        at_least(0, **{"G.width": width})
        num = DOUBLINGS[resolution]
        start = resolution // 2**num
        sizes = [start * 2 ** (i + 1) for i in range(num)]
        attends = smaller(attention, resolution)
        check_attention("G.attention", attends, smaller(sizes, resolution))
        features = widths(num + 1, resolution, width, max_width, small=256)[::-1]
        self.z_dim = z_dim
        self.is_label_input = norm == "batch"
        self.start = (features[0], start, start)
        self.dense = nn.Linear(z_dim + self.is_label_input * num_classes, features[0] * start**2)
        by_class = norm == "conditional" and num_classes > 0

        def norm_of(num_features: int) -> nn.Module:
            return ClassBatchNorm(num_features, num_classes) if by_class else SameBatchNorm(num_features)

        self.blocks = nn.ModuleList(UpBlock(a, b, norm_of) for a, b in pairwise(features))
        self.attends = nn.ModuleList(
            attention_after(size, after, attends) for size, after in zip(sizes, features[1:], strict=True)
        )
        self.norm = nn.BatchNorm2d(features[-1])
        self.to_image = nn.Conv2d(features[-1], channels, 3, 1, 1)
        initialise_residual(self, init)
        if spectral:
            spectrally_normalise(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        x = torch.cat([z, c.to(z.dtype)], dim=1) if self.is_label_input else z
        x = self.dense(x).unflatten(1, self.start)
        for block, attend in zip(self.blocks, self.attends, strict=True):
            x = attend(block(x, c))
        return torch.tanh(self.to_image(relu(self.norm(x))))


class Discriminator(Rating):
    """x through blocks that halve it, then over its pixels to one logit: `[N]`.

    The first block has `width` features, doubled at each one up to `max_width`; a width of 0 is the
    paper's, 128 everywhere up to 32 pixels and 64 beyond. `pool` sums features over pixels or takes
    their mean. `label` brings c in by projection (Miyato and Koyama 2018, equation 4), or not at all.
    Self-attention follows the maps of `attention` pixels, where they are smaller than the image.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 0,
        max_width: int = 1024,
        norm: Literal["spectral", "layer", "none"] = "spectral",
        pool: Literal["sum", "mean"] = "sum",
        label: Literal["projection", "none"] = "projection",
        attention: tuple[int, ...] = (),
        init: Init = "glorot_uniform",
    ):
        super().__init__()
        check_resolution(resolution)
        at_least(1, **{"D.max_width": max_width})
        at_least(0, **{"D.width": width})
        halvings, further = HALVINGS[resolution]
        sizes = [resolution // 2 ** (i + 1) for i in range(halvings)]
        attends = smaller(attention, resolution)
        check_attention("D.attention", attends, sizes)
        features = widths(halvings + further, resolution, width, max_width, small=128)

        def norm_of(num_features: int) -> nn.Module:
            return nn.GroupNorm(1, num_features) if norm == "layer" else nn.Identity()

        # The first convolution of a block keeps the number of features, but in the first block.
        blocks = [DownBlock(channels, features[0], features[0], norm_of, first=True)]
        blocks += [DownBlock(a, a, b, norm_of, halve=i < halvings) for i, (a, b) in enumerate(pairwise(features), 1)]
        layers: list[nn.Module] = []
        for block, size, after in zip_longest(blocks, sizes, features):
            layers += [block] if size is None else [block, attention_after(size, after, attends)]
        self.blocks = nn.Sequential(*layers)
        self.pool = pool
        self.num_features = features[-1]
        self.to_logit = nn.Linear(features[-1], 1)
        projected = num_classes and label == "projection"
        self.projection = ClassEmbedding(num_classes, features[-1], std=features[-1] ** -0.5) if projected else None
        initialise_residual(self, init)
        if norm == "spectral":
            spectrally_normalise(self)
            if self.projection:
                spectral_norm(self.projection)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = relu(self.blocks(x))
        features = features.sum((2, 3)) if self.pool == "sum" else features.mean((2, 3))
        return with_projection(self.to_logit(features).squeeze(1), features, c, self.projection), features


class UpBlock(nn.Module):
    """x `[N, before, H, W]` and a condition to `[N, after, 2H, 2W]` (or H, W without `double`): norm, ReLU, twice
    the size, 3x3; norm, ReLU, 3x3; beside it, x itself through 1x1 where its shape changes, and twice the size.

    `norm_of` makes norms, which are called with x and the condition.
    """

    def __init__(self, before: int, after: int, norm_of: Callable[[int], nn.Module], double: bool = True):
        super().__init__()
        self.doubles = double
        self.norm1, self.norm2 = norm_of(before), norm_of(after)
        self.conv1 = nn.Conv2d(before, after, 3, 1, 1)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1) if double or before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = relu(self.norm1(x, condition))
        h = self.conv1(doubled(h) if self.doubles else h)
        h = self.conv2(relu(self.norm2(h, condition)))
        x = self.skip(x)  # copying pixels and 1x1 commute, and this order is the cheaper one
        return h + (doubled(x) if self.doubles else x)


class DownBlock(nn.Module):
    """x `[N, before, H, W]` to `[N, after, H/2, W/2]` (or H, W without `halve`): norm, ReLU, 3x3 to `hidden`
    features; norm, ReLU, 3x3; mean of 2x2; beside it, x itself through 1x1 where its shape changes.

    The `first` block sees an image, and so starts with its convolution.
    """

    def __init__(
        self,
        before: int,
        hidden: int,
        after: int,
        norm_of: Callable[[int], nn.Module],
        halve: bool = True,
        first: bool = False,
    ):
        super().__init__()
        self.halve = halve
        self.prepare = nn.Identity() if first else nn.Sequential(norm_of(before), nn.ReLU())
        self.conv1 = nn.Conv2d(before, hidden, 3, 1, 1)
        self.norm = norm_of(hidden)
        self.conv2 = nn.Conv2d(hidden, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1) if halve or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(relu(self.norm(self.conv1(self.prepare(x)))))
        if not self.halve:
            return h + self.skip(x)
        return avg_pool2d(h, 2) + self.skip(avg_pool2d(x, 2))  # mean and 1x1 commute, as in UpBlock


def doubled(x: Tensor) -> Tensor:
    """Each pixel twice in both directions."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def check_resolution(resolution: int) -> None:
    """Raises `UserError` for a size that no table has."""
    if resolution not in DOUBLINGS:
        raise UserError(
            f"resnet makes images of 16, 32, 48, 64, 128 or 256 pixels, not {resolution}: set --data.resolution"
        )


def widths(num: int, resolution: int, width: int, max_width: int, small: int) -> list[int]:
    """`num` widths from `width` on, doubled each time up to `max_width`; of width 0, see `Generator`."""
    if not width and resolution <= 32:
        width, max_width = small, small
    width = width or 64
    return doubled_widths(num, width, max_width)


def initialise_residual(network: nn.Module, init: Init) -> None:
    """`initialise`; with Glorot's, the 3x3 convolutions of the blocks are larger by sqrt(2), as each follows a ReLU."""
    initialise(network, init)
    if init == "glorot_uniform":
        for block in network.modules():
            if isinstance(block, UpBlock | DownBlock):
                for conv in (block.conv1, block.conv2):
                    conv.weight.data.mul_(2**0.5)
