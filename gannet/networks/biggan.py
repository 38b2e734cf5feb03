"""BigGAN and BigGAN-deep (Brock, Donahue and Simonyan 2019, "Large scale GAN training for high fidelity
natural image synthesis", appendix B).

All weights are orthogonal at first and spectrally normalised; the batch norms of G take scale and shift
from z and one embedding of the class that all of them share.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise, zip_longest

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from gannet.errors import UserError
from gannet.networks.attention import attention_after, check_attention, smaller
from gannet.networks.base import Rating
from gannet.networks.layers import (
    ClassEmbedding,
    ConditionalBatchNorm,
    at_least,
    initialise,
    spectral_norm,
    spectrally_normalise,
    with_projection,
)
from gannet.networks.resnet import DownBlock, UpBlock, doubled

EPS = 1e-4  # of batch norm: larger than usual, for half precision (the paper's appendix)
# Widths of the maps from 4x4 on, in multiples of `width`. 128 and more are the paper's; 32 is the shape of
# SNGAN's networks for CIFAR-10, and 64 is the one for 128 without the last doubling.
MULTIPLES = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}


class BlockGenerator(nn.Module, ABC):
    """What both generators have: a shared embedding, a dense layer to 4x4, blocks that double it, and an image last.

    `[N, channels, R, R]`, [-1, 1]. Without classes the batch norms know z alone. Self-attention follows
    the maps of `attention` pixels, where they are smaller than the image.
    """

    dense: nn.Linear

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        z_dim: int,
        width: int,
        embedding_dim: int,
        attention: tuple[int, ...],
    ):
        super().__init__()
        features = features_of(resolution, width, "G")
        at_least(1, **{"G.embedding_dim": embedding_dim})
        self.z_dim, self.start = z_dim, (features[0], 4, 4)
        self.embed = ClassEmbedding(num_classes, embedding_dim) if num_classes else nn.Identity()
        self.build_blocks(features, embedding_dim if num_classes else 0)
        sizes = [2**i for i in range(3, resolution.bit_length())]
        attends = smaller(attention, resolution)
        check_attention("G.attention", attends, smaller(sizes, resolution))
        pairs = zip(sizes, features[1:], strict=True)
        self.attends = nn.ModuleList(attention_after(size, after, attends) for size, after in pairs)
        self.norm = nn.BatchNorm2d(features[-1], EPS)
        self.to_image = nn.Conv2d(features[-1], channels, 3, 1, 1)
        finish(self)

    @abstractmethod
    def build_blocks(self, features: list[int], embedding_dim: int) -> None:
        """Sets `dense` and the blocks between maps of so many features, from 4x4 on."""

    @abstractmethod
    def conditions(self, z: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the dense layer sees, `[N, ...]`, and what the blocks of each size see."""

    @abstractmethod
    def up(self, i: int, x: Tensor, condition: Tensor) -> Tensor:
        """x through the blocks of the i-th size, which double it."""

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        first, conditions = self.conditions(z, self.embed(c).to(z.dtype))
        x = self.dense(first).unflatten(1, self.start)
        for i, (attend, condition) in enumerate(zip(self.attends, conditions, strict=True)):
            x = attend(self.up(i, x, condition))
        return torch.tanh(self.to_image(relu(self.norm(x))))


class Generator(BlockGenerator):
    """BigGAN's: z is cut into one more piece than there are blocks, as equal as can be, for the dense layer
    and each block.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 120,
        width: int = 96,
        embedding_dim: int = 128,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__(resolution, channels, num_classes, z_dim, width, embedding_dim, attention)

    def build_blocks(self, features: list[int], embedding_dim: int) -> None:
        at_least(len(features), **{"G.z_dim": self.z_dim})
        piece, rest = divmod(self.z_dim, len(features))
        self.pieces = [piece + (i < rest) for i in range(len(features))]
        self.dense = nn.Linear(self.pieces[0], features[0] * 4 * 4)
        norms = [norm_of(piece + embedding_dim) for piece in self.pieces[1:]]
        self.blocks = nn.ModuleList(UpBlock(a, b, norm) for (a, b), norm in zip(pairwise(features), norms, strict=True))

    def conditions(self, z: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        first, *pieces = z.split(self.pieces, dim=1)
        return first, [torch.cat([piece, embedding], dim=1) for piece in pieces]

    def up(self, i: int, x: Tensor, condition: Tensor) -> Tensor:
        return self.blocks[i](x, condition)


class DeepGenerator(BlockGenerator):
    """BigGAN-deep's: all of z goes everywhere, and there are two blocks a size."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 128,
        width: int = 128,
        embedding_dim: int = 128,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__(resolution, channels, num_classes, z_dim, width, embedding_dim, attention)

    def build_blocks(self, features: list[int], embedding_dim: int) -> None:
        at_least(1, **{"G.z_dim": self.z_dim})
        self.dense = nn.Linear(self.z_dim + embedding_dim, features[0] * 4 * 4)
        norm = norm_of(self.z_dim + embedding_dim)
        self.same = nn.ModuleList(DeepUpBlock(a, a, norm, double=False) for a in features[:-1])
        self.blocks = nn.ModuleList(DeepUpBlock(a, b, norm, double=True) for a, b in pairwise(features))

    def conditions(self, z: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        condition = torch.cat([z, embedding], dim=1)
        return condition, [condition] * len(self.blocks)

    def up(self, i: int, x: Tensor, condition: Tensor) -> Tensor:
        return self.blocks[i](self.same[i](x, condition), condition)


class BlockDiscriminator(Rating):
    """What both discriminators have: blocks that halve, of G's widths the other way round, then one logit.

    Self-attention follows the maps of `attention` pixels, where they are smaller than the image.
    """

    def __init__(self, resolution: int, channels: int, num_classes: int, width: int, attention: tuple[int, ...]):
        super().__init__()
        features = features_of(resolution, width, "D")[::-1]
        self.num_features = features[-1]
        smallest = 8 if resolution == 32 else 4
        sizes = [size for size in (resolution // 2**i for i in range(1, resolution.bit_length())) if size >= smallest]
        attends = smaller(attention, resolution)
        check_attention("D.attention", attends, sizes)
        self.blocks = nn.Sequential(*self.built(channels, features, sizes, attends))
        self.to_logit = Logit(features[-1], num_classes)
        finish(self)

    @abstractmethod
    def built(self, channels: int, features: list[int], sizes: list[int], attends: list[int]) -> list[nn.Module]:
        """The blocks, for maps of so many features, the image's first, and of so many pixels once halved."""

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.to_logit(self.blocks(x), c)


class Discriminator(BlockDiscriminator):
    """BigGAN's: each block has its later width from its first convolution on, unlike SNGAN's."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 96,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__(resolution, channels, num_classes, width, attention)

    def built(self, channels: int, features: list[int], sizes: list[int], attends: list[int]) -> list[nn.Module]:
        blocks: list[nn.Module] = [
            DownBlock(channels, features[0], features[0], no_norm, first=True),
            attention_after(sizes[0], features[0], attends),
        ]
        for (before, after), size in zip_longest(pairwise(features), sizes[1:]):
            blocks.append(DownBlock(before, after, after, no_norm, halve=size is not None))
            blocks += [] if size is None else [attention_after(size, after, attends)]
        return blocks


class DeepDiscriminator(BlockDiscriminator):
    """BigGAN-deep's: a convolution, then two blocks a size."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 128,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__(resolution, channels, num_classes, width, attention)

    def built(self, channels: int, features: list[int], sizes: list[int], attends: list[int]) -> list[nn.Module]:
        blocks: list[nn.Module] = [nn.Conv2d(channels, features[0], 3, 1, 1)]
        for (before, after), size in zip_longest(pairwise(features), sizes):
            halve = size is not None
            blocks += [DeepDownBlock(before, after, halve=halve), DeepDownBlock(after, after, halve=False)]
            blocks += [attention_after(size, after, attends)] if halve else []
        return blocks


class DeepUpBlock(nn.Module):
    """x `[N, before, H, W]` and a condition to `[N, after, H, W]`, or twice the size with `double`: norm and ReLU
    before each of 1x1 to a quarter of the features, 3x3, 3x3 and 1x1; beside it, the first `after` of x itself.
    """

    def __init__(self, before: int, after: int, norm_of: Callable[[int], nn.Module], double: bool):
        super().__init__()
        few = max(before // 4, 1)
        self.after, self.doubles = after, double
        self.norms = nn.ModuleList(norm_of(features) for features in (before, few, few, few))
        self.convs = nn.ModuleList(convs_of(before, few, after))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = x
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = relu(norm(h, condition))
            h = conv(doubled(h) if self.doubles and i == 1 else h)
        x = x[:, : self.after]
        return h + (doubled(x) if self.doubles else x)


class DeepDownBlock(nn.Module):
    """x `[N, before, H, W]` to `[N, after, H, W]`, or half the size with `halve`: ReLU before each of 1x1 to a
    quarter of the features, 3x3 and 3x3, then ReLU, mean of 2x2 and 1x1; beside it, x itself, and what 1x1 makes
    of it where there are to be more features.
    """

    def __init__(self, before: int, after: int, halve: bool):
        super().__init__()
        self.halve = halve
        self.convs = nn.ModuleList(convs_of(before, max(after // 4, 1), after))
        self.more = nn.Conv2d(before, after - before, 1) if after > before else None

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for i, conv in enumerate(self.convs):
            h = relu(h)
            h = conv(avg_pool2d(h, 2) if self.halve and i == 3 else h)
        x = avg_pool2d(x, 2) if self.halve else x
        return h + (torch.cat([x, self.more(x)], dim=1) if self.more else x)


class Logit(nn.Module):
    """A map `[N, C, H, W]`, summed over pixels: to one logit, with c by projection, `[N]`; and the sums `[N, C]`."""

    def __init__(self, features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.projection = ClassEmbedding(num_classes, features) if num_classes else None

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = relu(x).sum((2, 3))
        return with_projection(self.linear(features).squeeze(1), features, c, self.projection), features


def features_of(resolution: int, width: int, player: str) -> list[int]:
    """Widths of the maps from 4x4 to the image."""
    if resolution not in MULTIPLES:
        raise UserError(
            f"biggan makes images of 32, 64, 128, 256 or 512 pixels, not {resolution}: set --data.resolution"
        )
    at_least(1, **{f"{player}.width": width})
    return [multiple * width for multiple in MULTIPLES[resolution]]


def norm_of(condition_dim: int) -> Callable[[int], nn.Module]:
    """Makes batch norms whose scale and shift are linear in a condition so wide."""

    def make(features: int) -> nn.Module:
        scale, shift = (nn.Linear(condition_dim, features, bias=False) for _ in range(2))
        return ConditionalBatchNorm(features, scale, shift, EPS)

    return make


def no_norm(features: int) -> nn.Module:
    return nn.Identity()


def convs_of(before: int, few: int, after: int) -> list[nn.Conv2d]:
    """The bottleneck: 1x1, 3x3, 3x3, 1x1."""
    sizes = ((before, few, 1), (few, few, 3), (few, few, 3), (few, after, 1))
    return [nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b, kernel in sizes]


def finish(network: nn.Module) -> None:
    """Orthogonal weights (Saxe et al. 2014), then spectral norm on all but the embedding that G shares."""
    initialise(network, "orthogonal")
    for module in list(network.modules()):
        if isinstance(module, ClassEmbedding):
            nn.init.orthogonal_(module.weight)
    for module in list(network.modules()):
        if isinstance(module, Logit) and module.projection:
            spectral_norm(module.projection)
    spectrally_normalise(network)
