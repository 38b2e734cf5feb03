"""FastGAN (Liu et al. 2021, "Towards faster and stabilized GAN training for high-fidelity few-shot image
synthesis"), from the paper.

G has one convolution a resolution, gated linear units, and skip-layer excitation: features at a low
resolution weigh the channels at one 16 times as high. D is also an encoder: small decoders make the
image again from its features, which a game can ask for as a self-supervised term.

At 512 pixels and above the convolutions have three features (section 3). The paper does not list
the others: they are 1024, 512, 256, 128, 128, 64, 32 from 4x4 to 256x256 in G, and in D, whose features
end at 8x8, 1024, 512, 256, 128, 64, 32. Both follow `width`, the features at 128x128.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.conv import HalvingConv
from gannet.networks.layers import (
    ClassEmbedding,
    LabelledNoise,
    at_least,
    initialise,
    spectrally_normalise,
    with_projection,
)

G_TIMES = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5}  # features at a resolution, in widths
D_TIMES = {8: 16, 16: 8, 32: 4, 64: 2, 128: 1, 256: 0.5}
HIGH = 3  # features at 512 pixels and above
DECODED = 128  # pixels of what the decoders make, of smaller images all


def features_at(times: dict[int, float], resolution: int, width: int) -> int:
    """How many features a network has at a resolution."""
    return max(1, int(times[resolution] * width)) if resolution in times else HIGH


def check_resolution(resolution: int) -> None:
    if resolution not in (32, 64, 128, 256, 512, 1024):
        raise UserError(
            f"fastgan makes images of 32, 64, 128, 256, 512 or 1024 pixels, not {resolution}: set --data.resolution"
        )


class Generator(nn.Module):
    """z to 4x4, then doubled up to the image, tanh last: `[N, channels, R, R]`, [-1, 1].

    A doubling is of nearest pixels, a 3x3 convolution, noise, batch norm and a gated linear unit.
    Excitation goes from 8 to 128, 16 to 256, 32 to 512 (the paper's figure 3), and here from 4 to 64 as
    well (to 32 where that is all), so that small images have it. While training, noise is drawn anew; in
    eval mode it is the same for every sample. Labels are not in the paper: an embedding stands beside z.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 256,
        width: int = 64,
        embedding_dim: int = 64,
    ):
        super().__init__()
        check_resolution(resolution)
        at_least(1, **{"G.z_dim": z_dim, "G.width": width, "G.embedding_dim": embedding_dim})
        self.z_dim = z_dim
        self.noise = LabelledNoise(z_dim, num_classes, "embedding", embedding_dim)
        self.sizes = [2**i for i in range(2, resolution.bit_length())]
        features = {size: features_at(G_TIMES, size, width) for size in self.sizes}
        self.start = nn.Sequential(
            nn.ConvTranspose2d(self.noise.out_dim, 2 * features[4], 4, bias=False),
            nn.BatchNorm2d(2 * features[4]),
            nn.GLU(dim=1),
        )
        self.ups = nn.ModuleDict(
            {str(size): up_block(features[size // 2], features[size], size) for size in self.sizes[1:]}
        )
        pairs = [(min(64, resolution), 4), (128, 8), (256, 16), (512, 32)]
        self.sources = {high: low for high, low in pairs if high <= resolution}
        self.excitations = nn.ModuleDict(
            {str(high): Excitation(features[low], features[high], low) for high, low in self.sources.items()}
        )
        self.to_colours = nn.Conv2d(features[resolution], channels, 3, padding=1)
        initialise(self, "dcgan")

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        x = self.start(self.noise(z, c)[:, :, None, None])
        seen = {4: x}
        for size in self.sizes[1:]:
            x = self.ups[str(size)](x)
            if size in self.sources:
                x = x * self.excitations[str(size)](seen[self.sources[size]])
            seen[size] = x
        return self.to_colours(x).tanh()


class Discriminator(Rating):
    """Residual halvings to 8x8, then a 5x5 map of logits: `[N, 25]`, each for itself in the objective.

    A game of reconstruction takes `logits_and_maps`, the logits with D's maps at 16x16 and 8x8. `decode`
    makes the image again from the one at 8x8, and `decode_part` a part of it from a crop of the one at
    16x16, 16 times as large as the crop, or less where the image is smaller than 128 pixels: an 8x8 map
    becomes `[N, channels, S, S]`, S the lesser of 128 and R. Labels are not in the paper: projection
    (Miyato and Koyama 2018) on the features at 8x8.
    """

    def __init__(self, resolution: int, channels: int, num_classes: int, *, width: int = 64):
        super().__init__()
        check_resolution(resolution)
        at_least(1, **{"D.width": width})
        features = {size: features_at(D_TIMES, size, width) for size in (8, 16, 32, 64, 128, 256)}
        sizes = [size for size in (256, 128, 64, 32, 16) if size <= resolution]
        halvings = [Halving(features[before], features[after]) for before, after in pairwise(sizes)]
        self.to_16 = nn.Sequential(stem(resolution, channels, features[sizes[0]]), *halvings)
        self.to_8 = Halving(features[16], features[8])
        self.num_features = features[8]
        self.to_logits = nn.Sequential(
            nn.Conv2d(features[8], features[8], 1, bias=False),
            nn.BatchNorm2d(features[8]),
            nn.LeakyReLU(0.2),
            nn.Conv2d(features[8], 1, 4, bias=False),
        )
        doublings = min(resolution, DECODED).bit_length() - 4
        self.decode = decoder(features[8], width, channels, doublings)
        self.decode_part = decoder(features[16], width, channels, doublings)
        self.projection = ClassEmbedding(num_classes, features[8], std=features[8] ** -0.5) if num_classes else None
        initialise(self, "dcgan")
        for part in (self.to_16, self.to_8, self.to_logits):
            spectrally_normalise(part)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, F, 16, 16]` and `[N, 2F, 8, 8]` of x `[N, channels, R, R]`."""
        at_16 = self.to_16(x)
        return at_16, self.to_8(at_16)

    def logits_and_maps(self, x: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The logits `[N, 25]` and the `maps` that they are made from, which the decoders take, in one forward."""
        at_16, at_8 = self.maps(x)
        logits = self.to_logits(at_8).flatten(1)
        return with_projection(logits, at_8.mean((2, 3)), c, self.projection), (at_16, at_8)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        logits, (_, at_8) = self.logits_and_maps(x, c)
        return logits, at_8.mean((2, 3))


class Excitation(nn.Module):
    """Skip-layer excitation: low features `[N, C, low, low]` to a gate for each high channel, `[N, out, 1, 1]`.

    Pooled to 4x4, a convolution makes them 1x1 and another one gives the high layer's channels (section 3.1).
    """

    def __init__(self, before: int, after: int, low: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(low // 4),
            nn.Conv2d(before, after, 4, bias=False),
            nn.LeakyReLU(0.1),
            nn.Conv2d(after, after, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Noise(nn.Module):
    """Adds noise, one value a pixel, times a learned scale that starts at 0 (Karras et al. 2019, section 2)."""

    fixed: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("fixed", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed.to(x.dtype)
        return x + self.scale.to(x.dtype) * noise


class Halving(nn.Module):
    """The mean of two ways to half the size: two convolutions, and pooling with a 1x1 convolution (figure 4)."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.convolved = nn.Sequential(
            plain_halving(before, after),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2),
        )
        self.pooled = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.convolved(x) + self.pooled(x)) / 2


def stem(resolution: int, channels: int, after: int) -> nn.Sequential:
    """x to the first features, at 256 pixels or where x is smaller at its own size."""
    if resolution <= 256:
        return nn.Sequential(nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.LeakyReLU(0.2))
    if resolution == 512:
        return nn.Sequential(HalvingConv(channels, after), nn.LeakyReLU(0.2))
    return nn.Sequential(HalvingConv(channels, HIGH), nn.LeakyReLU(0.2), plain_halving(HIGH, after))


def plain_halving(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(HalvingConv(before, after), nn.BatchNorm2d(after), nn.LeakyReLU(0.2))


def up_block(before: int, after: int, size: int | None = None) -> nn.Sequential:
    """Doubles height and width, to `size` where there is noise. The GLU halves the features."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(before, 2 * after, 3, padding=1, bias=False),
        Noise(size) if size else nn.Identity(),
        nn.BatchNorm2d(2 * after),
        nn.GLU(dim=1),
    )


def decoder(before: int, width: int, channels: int, doublings: int) -> nn.Sequential:
    """Features to an image, [-1, 1], with one convolution a doubling, the last one to colours."""
    blocks = [up_block(before if i == 0 else width, width) for i in range(doublings - 1)]
    return nn.Sequential(*blocks, nn.Upsample(scale_factor=2), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
