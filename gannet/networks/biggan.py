"""BigGAN and BigGAN-deep (Brock, Donahue and Simonyan 2019, "Large scale GAN training for high fidelity
natural image synthesis", appendix B).

All weights are orthogonal at first and spectrally normalised; the batch norms of G take scale and shift
from z and one embedding of the class that all of them share.
"""

from collections.abc import Callable
from itertools import pairwise, zip_longest

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from gannet.errors import UserError
from gannet.networks.layers import ClassEmbedding, at_least, initialise, spectrally_normalise
from gannet.networks.resnet import (
    ConditionalBatchNorm,
    DownBlock,
    UpBlock,
    attention_after,
    check_attention,
    doubled,
)

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


class Generator(nn.Module):
    """BigGAN's: pieces of z go to the dense layer and to each block: `[N, channels, R, R]`, [-1, 1].

    z is cut into one more piece than there are blocks, as equal as can be. Without classes the batch
    norms know their piece of z alone. Self-attention follows the maps of `attention` pixels, where they
    are smaller than the image.
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
        super().__init__()
        features = features_of(resolution, width, "G")
        at_least(len(features), **{"G.z_dim": z_dim})
        self.z_dim, self.start = z_dim, (features[0], 4, 4)
        self.embed, embedding_dim = shared_embedding(num_classes, embedding_dim)
        self.pieces = [z_dim // len(features) + (i < z_dim % len(features)) for i in range(len(features))]
        self.dense = nn.Linear(self.pieces[0], features[0] * 4 * 4)
        norms = [norm_of(piece + embedding_dim) for piece in self.pieces[1:]]
        self.blocks = nn.ModuleList(UpBlock(a, b, norm) for (a, b), norm in zip(pairwise(features), norms, strict=True))
        self.attends = attends(resolution, features, attention)
        self.norm = nn.BatchNorm2d(features[-1], EPS)
        self.to_image = nn.Conv2d(features[-1], channels, 3, 1, 1)
        finish(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        embedding = self.embed(c).to(z.dtype)
        first, *pieces = z.split(self.pieces, dim=1)
        x = self.dense(first).unflatten(1, self.start)
        for block, attend, piece in zip(self.blocks, self.attends, pieces, strict=True):
            x = attend(block(x, torch.cat([piece, embedding], dim=1)))
        return torch.tanh(self.to_image(relu(self.norm(x))))


class DeepGenerator(nn.Module):
    """BigGAN-deep's: all of z goes everywhere, two blocks a size: `[N, channels, R, R]`, [-1, 1].

    Settings are those of `Generator`.
    """

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
        super().__init__()
        features = features_of(resolution, width, "G")
        at_least(1, **{"G.z_dim": z_dim})
        self.z_dim, self.start = z_dim, (features[0], 4, 4)
        self.embed, embedding_dim = shared_embedding(num_classes, embedding_dim)
        self.dense = nn.Linear(z_dim + embedding_dim, features[0] * 4 * 4)
        norm = norm_of(z_dim + embedding_dim)
        self.same = nn.ModuleList(DeepUpBlock(a, a, norm, double=False) for a in features[:-1])
        self.blocks = nn.ModuleList(DeepUpBlock(a, b, norm, double=True) for a, b in pairwise(features))
        self.attends = attends(resolution, features, attention)
        self.norm = nn.BatchNorm2d(features[-1], EPS)
        self.to_image = nn.Conv2d(features[-1], channels, 3, 1, 1)
        finish(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        condition = torch.cat([z, self.embed(c).to(z.dtype)], dim=1)
        x = self.dense(condition).unflatten(1, self.start)
        for same, block, attend in zip(self.same, self.blocks, self.attends, strict=True):
            x = attend(block(same(x, condition), condition))
        return torch.tanh(self.to_image(relu(self.norm(x))))


class Discriminator(nn.Module):
    """BigGAN's: the widths of `Generator` the other way round, then one logit: `[N]`.

    Self-attention follows the maps of `attention` pixels, where they are smaller than the image.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 96,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__()
        features = features_of(resolution, width, "D")[::-1]
        sizes = sizes_of(resolution, attention, "D")
        # Unlike SNGAN's, each block has its later width from its first convolution on.
        blocks: list[nn.Module] = [
            DownBlock(channels, features[0], features[0], no_norm, first=True),
            attention_after(sizes[0], features[0], attention, resolution),
        ]
        for (before, after), size in zip_longest(pairwise(features), sizes[1:]):
            blocks.append(DownBlock(before, after, after, no_norm, halve=size is not None))
            blocks += [] if size is None else [attention_after(size, after, attention, resolution)]
        self.blocks = nn.Sequential(*blocks)
        self.to_logit = Logit(features[-1], num_classes)
        finish(self)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.to_logit(self.blocks(x), c)


class DeepDiscriminator(nn.Module):
    """BigGAN-deep's: a convolution, then two blocks a size, then one logit: `[N]`.

    Settings are those of `Discriminator`.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 128,
        attention: tuple[int, ...] = (64,),
    ):
        super().__init__()
        features = features_of(resolution, width, "D")[::-1]
        blocks: list[nn.Module] = [nn.Conv2d(channels, features[0], 3, 1, 1)]
        for (before, after), size in zip_longest(pairwise(features), sizes_of(resolution, attention, "D")):
            halve = size is not None
            blocks += [DeepDownBlock(before, after, halve=halve), DeepDownBlock(after, after, halve=False)]
            blocks += [attention_after(size, after, attention, resolution)] if halve else []
        self.blocks = nn.Sequential(*blocks)
        self.to_logit = Logit(features[-1], num_classes)
        finish(self)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.to_logit(self.blocks(x), c)


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
    """Features `[N, C, H, W]`, summed over pixels, to one logit, with c by projection: `[N]`."""

    def __init__(self, features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.projection = ClassEmbedding(num_classes, features) if num_classes else None

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        features = relu(x).sum((2, 3))
        logits = self.linear(features).squeeze(1)
        return logits + (self.projection(c) * features).sum(1) if self.projection else logits


def features_of(resolution: int, width: int, player: str) -> list[int]:
    """Widths of the maps from 4x4 to the image."""
    if resolution not in MULTIPLES:
        raise UserError(
            f"biggan makes images of 32, 64, 128, 256 or 512 pixels, not {resolution}: set --data.resolution"
        )
    at_least(1, **{f"{player}.width": width})
    return [multiple * width for multiple in MULTIPLES[resolution]]


def sizes_of(resolution: int, attention: tuple[int, ...], player: str) -> list[int]:
    """Sizes of the maps that the blocks make, checked against those that self-attention is asked for."""
    if player == "G":
        sizes = [2**i for i in range(3, resolution.bit_length())]
    else:
        smallest = 8 if resolution == 32 else 4
        sizes = [resolution // 2**i for i in range(1, resolution.bit_length()) if resolution // 2**i >= smallest]
    check_attention(f"{player}.attention", attention, sizes, resolution)
    return sizes


def attends(resolution: int, features: list[int], attention: tuple[int, ...]) -> nn.ModuleList:
    """What follows each size's blocks of G."""
    sizes = sizes_of(resolution, attention, "G")
    pairs = zip(sizes, features[1:], strict=True)
    return nn.ModuleList(attention_after(size, after, attention, resolution) for size, after in pairs)


def shared_embedding(num_classes: int, dim: int) -> tuple[nn.Module, int]:
    """What every batch norm of G knows of the class, and its width; nothing without classes."""
    at_least(1, **{"G.embedding_dim": dim})
    return (ClassEmbedding(num_classes, dim), dim) if num_classes else (nn.Identity(), 0)


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


@torch.no_grad()
def standing_statistics(G: nn.Module, sample: Callable[[], tuple[Tensor, Tensor]], passes: int = 100) -> None:
    """Replaces the running statistics of G's batch norms by their means over forward passes (the paper's appendix).

    `sample` gives the z `[N, z_dim]` and c `[N, num_classes]` of one pass, truncated as they will be
    used: what was collected in training fits z that is not. Nothing else of G changes, its mode included.
    """
    norms = [module for module in G.modules() if isinstance(module, _BatchNorm)]
    modes = [(module, module.training) for module in G.modules()]
    momenta = [norm.momentum for norm in norms]
    G.eval()  # spectral norm stays as it is
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # the mean of all passes, each with the same weight
    try:
        for _ in range(passes):
            G(*sample())
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
