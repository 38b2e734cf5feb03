"""DCGAN (Radford, Metz and Chintala 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks"), at any resolution that is a power of two from 16.

Its five rules (section 3): strided convolutions in place of pooling, batch norm in both networks
(except G's output and D's input), no hidden dense layers, ReLU in G with tanh at its end, LeakyReLU
in D.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.attention import SelfAttention, check_attention
from gannet.networks.base import Rating
from gannet.networks.conv import DoublingConv, FirstConv, HalvingConv, LastConv, SmoothDoublingConv
from gannet.networks.layers import (
    ClassBatchNorm,
    ClassEmbedding,
    Init,
    LabelChannel,
    LabelledNoise,
    LeakyDropout,
    Residual,
    at_least,
    beside,
    check_dropout,
    doubled_widths,
    initialise,
    spectrally_normalise,
    through,
    with_projection,
)
from gannet.networks.minibatch import Minibatch, minibatch_layer

SIZES = (16, 32, 64, 128, 256)


def widths(resolution: int, width: int, max_width: int, sizes: tuple[int, ...] = SIZES) -> list[int]:
    """Features at resolution/2, resolution/4, ... 4: `width`, doubled at each halving up to `max_width`.

    Raises `UserError` for a resolution that is not in `sizes`.
    """
    if resolution not in sizes:
        raise UserError(f"dcgan makes images of 16, 32, 64, 128 or 256 pixels, not {resolution}: set --data.resolution")
    return doubled_widths(resolution.bit_length() - 3, width, max_width)


def halved(x: Tensor) -> Tensor:
    """x `[N, C, H, W]` at half its size: means of 2x2, in half the time of torch's own pooling of few channels.

    In float32 at least, as reals are: fakes of bfloat16 would be rounded more often than reals, which D could see.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    rows = x[:, :, ::2] + x[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def check_extra(player: str, extra_convs: int, residual: bool) -> None:
    """Raises `UserError` for settings of a deeper network that cannot be."""
    at_least(0, **{f"{player}.extra_convs": extra_convs})
    if residual and not extra_convs:
        raise UserError(f"{player}.residual is for the extra convolutions: set --{player}.extra_convs to 1 or more")


class Generator(nn.Module):
    """z through transposed convolutions, 4x4 at first, doubled by each: `[N, channels, R, R]`, [-1, 1].

    `extra_convs` 3x3 convolutions follow each doubling, for a deeper G; with `residual` each adds to what
    it is given, before its ReLU (He et al. 2016). Self-attention follows the maps of `attention` pixels.
    A `smooth` G doubles the last map bilinearly, before a 3x3 convolution, so that flat areas have less grain.
    `label` brings c in beside z, one-hot or as an embedding, or by a scale and a shift for each class in
    every batch norm (Dumoulin et al. 2017).
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
        residual: bool = False,
        attention: tuple[int, ...] = (),
        smooth: bool = False,
        label: Literal["one-hot", "embedding", "batch-norm"] = "one-hot",
        embedding_dim: int = 64,
        init: Init = "dcgan",
    ):
        super().__init__()
        at_least(1, **{"G.z_dim": z_dim, "G.width": width, "G.embedding_dim": embedding_dim})
        check_extra("G", extra_convs, residual)
        features = widths(resolution, width, max_width)[::-1]
        sizes = [4 * 2**i for i in range(len(features))]
        check_attention("G.attention", attention, sizes)
        self.z_dim = z_dim
        self.noise = None if label == "batch-norm" else LabelledNoise(z_dim, num_classes, label, embedding_dim)
        by_class = label == "batch-norm" and num_classes > 0

        def block(conv: nn.Conv2d | nn.ConvTranspose2d, residual: bool = False) -> list[nn.Module]:
            num = conv.out_channels
            layers = [conv, ClassBatchNorm(num, num_classes) if by_class else nn.BatchNorm2d(num)]
            return [*([Residual(*layers)] if residual else layers), nn.ReLU(inplace=True)]

        start = self.noise.out_dim if self.noise else z_dim
        blocks: list[nn.Module] = []
        for i, (size, after) in enumerate(zip(sizes, features, strict=True)):
            if i == 0:
                blocks += block(FirstConv(start, after))
            else:
                blocks += block(DoublingConv(features[i - 1], after))
                for _ in range(extra_convs):
                    blocks += block(nn.Conv2d(after, after, 3, 1, 1, bias=False), residual)
            blocks += [SelfAttention(after)] if size in attention else []
        blocks += [(SmoothDoublingConv if smooth else DoublingConv)(features[-1], channels), nn.Tanh()]
        self.blocks = nn.Sequential(*blocks)
        initialise(self, init)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        z = self.noise(z, c) if self.noise else z
        return through(self.blocks, z[:, :, None, None], c)


class Discriminator(Rating):
    """x through strided convolutions, halved by each down to 4x4, then one logit: `[N]`.

    `extra_convs` 3x3 convolutions follow each halving, with `residual` as in `Generator`, and
    self-attention the maps of `attention` pixels. `bias` gives biases to the convolutions that no batch
    norm follows. `minibatch` shows the last layer how much the samples of a batch differ. `label` brings
    c in as a channel beside x (an embedding, or one-hot: as many constant channels as classes), by
    projection (Miyato and Koyama 2018, equation 4), or not at all. The features are the map of 4x4.

    A `stem` is a 3x3 convolution to so many features before the first halving. With `scales` above 1 there is a
    smaller D beside, for x at half its size, and so on (after pix2pixHD: Wang et al. 2018, section 3.2), without
    stem, extra convolutions, attention and minibatch layer: then one logit for each, `[N, scales]`. Losses
    are means over them, and penalties see the slope of their mean. The features are those of the large D alone.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 64,
        max_width: int = 512,
        stem: int = 0,
        scales: int = 1,
        norm: Literal["batch", "spectral", "none"] = "batch",
        dropout: float = 0.0,
        bias: bool = False,
        extra_convs: int = 0,
        residual: bool = False,
        attention: tuple[int, ...] = (),
        minibatch: Minibatch = "none",
        label: Literal["channel", "concatenation", "projection", "none"] = "channel",
        init: Init = "dcgan",
    ):
        super().__init__()
        check_dropout("D", dropout)
        at_least(1, **{"D.width": width, "D.scales": scales})
        at_least(0, **{"D.stem": stem})
        check_extra("D", extra_convs, residual)
        features = widths(resolution, width, max_width, (8, *SIZES))  # as half of 16
        if scales > (most := len(features)):
            raise UserError(f"D.scales is {scales}, and at {resolution} pixels at most {most}: the smallest D sees 8")
        sizes = [resolution // 2 ** (i + 1) for i in range(len(features))]
        check_attention("D.attention", attention, sizes)
        as_channel, projected = num_classes and label == "channel", num_classes and label == "projection"
        self.label_channel = LabelChannel(num_classes, resolution) if as_channel else None
        self.is_concatenated = label == "concatenation" and num_classes > 0
        self.projection = ClassEmbedding(num_classes, features[-1], std=features[-1] ** -0.5) if projected else None

        def block(conv: nn.Conv2d, batch_norm: bool, residual: bool = False) -> list[nn.Module]:
            layers = [conv, *([nn.BatchNorm2d(conv.out_channels)] if batch_norm else [])]
            return [*([Residual(*layers)] if residual else layers), LeakyDropout(0.2, dropout)]

        before = channels + bool(as_channel) + self.is_concatenated * num_classes
        stem_layers = block(nn.Conv2d(before, stem, 3, 1, 1, bias=bias), batch_norm=False) if stem else []
        self.stem = nn.Sequential(*stem_layers)
        blocks: list[nn.Module] = []
        before = stem or before
        for i, (size, after) in enumerate(zip(sizes, features, strict=True)):
            batch_norm = norm == "batch" and i > 0
            blocks += block(HalvingConv(before, after, bias=bias and not batch_norm), batch_norm)
            batch_norm = norm == "batch"
            for _ in range(extra_convs):
                conv = nn.Conv2d(after, after, 3, 1, 1, bias=bias and not batch_norm)
                blocks += block(conv, batch_norm, residual)
            blocks += [SelfAttention(after)] if size in attention else []
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.num_features = before * 4 * 4
        self.minibatch, more = minibatch_layer(minibatch, self.num_features)
        self.to_logit = LastConv(before + more, 1, bias)
        initialise(self, init)
        if norm == "spectral":
            spectrally_normalise(self)
        self.smaller: Discriminator | None = None
        if scales > 1:  # after the others have been initialised, as it does so by itself
            self.smaller = Discriminator(
                resolution // 2,
                channels,
                num_classes,
                width=width,
                max_width=max_width,
                scales=scales - 1,
                norm=norm,
                dropout=dropout,
                bias=bias,
                label=label,
                init=init,
            )

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.label_channel(x, c) if self.label_channel else beside(x, c) if self.is_concatenated else x
        features = through(self.blocks, self.stem(seen), c)
        logits = self.to_logit(self.minibatch(features)).flatten()
        logits = with_projection(logits, features.sum((2, 3)), c, self.projection)
        if self.smaller:
            logits = torch.cat([logits[:, None], self.smaller(halved(x), c).reshape(len(x), -1)], dim=1)
        return logits, features.flatten(1)
