"""DCGAN (Radford, Metz and Chintala 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks"), at any resolution that is a power of two from 16.

Its five rules (section 3): strided convolutions in place of pooling, batch norm in both networks
(except G's output and D's input), no hidden dense layers, ReLU in G with tanh at its end, LeakyReLU
in D.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.conv import DoublingConv, HalvingConv
from gannet.networks.layers import (
    ClassEmbedding,
    Init,
    LabelChannel,
    LabelledNoise,
    LeakyDropout,
    at_least,
    initialise,
    spectrally_normalise,
)


def widths(resolution: int, width: int, max_width: int) -> list[int]:
    """Features at resolution/2, resolution/4, ... 4: `width`, doubled at each halving up to `max_width`."""
    if resolution not in (16, 32, 64, 128, 256):
        raise UserError(f"dcgan makes images of 16, 32, 64, 128 or 256 pixels, not {resolution}: set --data.resolution")
    return [min(width * 2**i, max(width, max_width)) for i in range(resolution.bit_length() - 3)]


class Generator(nn.Module):
    """z through transposed convolutions, 4x4 at first, doubled by each: `[N, channels, R, R]`, [-1, 1].

    `extra_convs` 3x3 convolutions follow each doubling, for a deeper G.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 100,
        width: int = 64,
        max_width: int = 512,
        extra_convs: int = 0,
        label: Literal["one-hot", "embedding"] = "one-hot",
        embedding_dim: int = 64,
        init: Init = "dcgan",
    ):
        super().__init__()
        at_least(1, **{"G.z_dim": z_dim, "G.width": width, "G.embedding_dim": embedding_dim})
        at_least(0, **{"G.extra_convs": extra_convs})
        self.z_dim = z_dim
        self.noise = LabelledNoise(z_dim, num_classes, label, embedding_dim)
        features = widths(resolution, width, max_width)[::-1]
        blocks = self.block(nn.ConvTranspose2d(self.noise.out_dim, features[0], 4, 1, 0, bias=False))
        for before, after in pairwise(features):
            blocks += self.block(DoublingConv(before, after))
            for _ in range(extra_convs):
                blocks += self.block(nn.Conv2d(after, after, 3, 1, 1, bias=False))
        blocks += [DoublingConv(features[-1], channels), nn.Tanh()]
        self.blocks = nn.Sequential(*blocks)
        initialise(self, init)

    @staticmethod
    def block(conv: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
        return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)]

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.blocks(self.noise(z, c)[:, :, None, None])


class Discriminator(nn.Module):
    """x through strided convolutions, halved by each down to 4x4, then one logit: `[N]`.

    `bias` gives biases to the convolutions that no batch norm follows. `label` brings c in as a
    channel beside x, or by projection (Miyato and Koyama 2018, equation 4).
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 64,
        max_width: int = 512,
        norm: Literal["batch", "spectral", "none"] = "batch",
        dropout: float = 0.0,
        bias: bool = False,
        label: Literal["channel", "projection"] = "channel",
        init: Init = "dcgan",
    ):
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"D.dropout is {dropout}, and must be from 0 to below 1")
        at_least(1, **{"D.width": width})
        features = widths(resolution, width, max_width)
        as_channel, projected = num_classes and label == "channel", num_classes and label == "projection"
        self.label_channel = LabelChannel(num_classes, resolution) if as_channel else None
        self.projection = ClassEmbedding(num_classes, features[-1], std=features[-1] ** -0.5) if projected else None
        sizes = [channels + bool(as_channel), *features]
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(sizes)):
            batch_norm = norm == "batch" and i > 0
            blocks.append(HalvingConv(before, after, bias=bias and not batch_norm))
            blocks += [nn.BatchNorm2d(after)] if batch_norm else []
            blocks.append(LeakyDropout(0.2, dropout))
        self.blocks = nn.Sequential(*blocks)
        self.to_logit = nn.Conv2d(features[-1], 1, 4, 1, 0, bias=bias)
        initialise(self, init)
        if norm == "spectral":
            spectrally_normalise(self)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        features = self.blocks(self.label_channel(x, c) if self.label_channel else x)
        logits = self.to_logit(features).flatten()
        return logits + (self.projection(c) * features.sum((2, 3))).sum(1) if self.projection else logits
