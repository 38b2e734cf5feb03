"""R3GAN (Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline"), from the paper.

Both networks are stages of residual blocks, one stage a resolution from 4x4 upward, without any
normalisation. Between stages the image is resampled bilinearly, and where the width changes a 1x1
convolution follows it. A block is a 1x1 convolution to `expansion` times the width, a grouped 3x3
convolution there, and a 1x1 convolution back, with LeakyReLU between them.

Only what stands before an activation has a bias. With a width of C, an expansion of 2 and g groups
that makes 2C^2 + 2C (out), 36C^2/g + 2C (grouped) and 2C^2 (back): 2,583,552 at 768 and 96 groups. To
the blocks and the 1x1 convolutions between widths, G adds the linear layer from z (64C), the basis it
scales (16C) and the convolution to colours (3C), and D the convolution from colours (3C), the
depthwise 4x4 convolution (16C) and the linear layer (C). For CIFAR-10 these are 20,732,160 and
20,683,776. Labels add an embedding of 64 a class to z in G; D's last layer is then C x C, and its
output is dotted with an embedding of C a class.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.layers import ClassEmbedding, at_least

WIDTHS = (768, 768, 768, 768, 384, 192, 96)
SLOPE = 0.2


class Generator(nn.Module):
    """z scales a learned 4x4 basis, and stages of blocks make it an image: `[N, channels, R, R]`.

    Its last layer is linear, as in the paper: values are about [-1, 1], and clipped where images leave.
    `widths` are the features at 4x4, 8x8, ..., of which the first log2(R) - 1 are used; `group_size` is
    the features in a group of the 3x3 convolutions. ImageNet-64 has 1536 five times, and groups of 32.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 64,
        widths: tuple[int, ...] = WIDTHS,
        blocks: int = 2,
        expansion: int = 2,
        group_size: int = 16,
        embedding_dim: int = 64,
    ):
        super().__init__()
        at_least(1, **{"G.z_dim": z_dim, "G.embedding_dim": embedding_dim})
        used = stage_widths("G", resolution, widths, blocks, expansion, group_size)
        self.z_dim = z_dim
        self.embed = ClassEmbedding(num_classes, embedding_dim) if num_classes else None
        self.from_noise = nn.Linear(z_dim + (embedding_dim if num_classes else 0), used[0], bias=False)
        self.basis = nn.Parameter(torch.randn(used[0], 4, 4))
        stages = residual_blocks(used[0], blocks, expansion, group_size)
        for before, after in pairwise(used):
            stages += [Up(before, after), *residual_blocks(after, blocks, expansion, group_size)]
        self.stages = nn.Sequential(*stages)
        self.to_colours = pointwise(used[-1], channels)
        initialise(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        if self.embed:
            z = torch.cat([z, self.embed(c).to(z.dtype)], dim=1)
        return self.to_colours(self.stages(self.from_noise(z)[:, :, None, None] * self.basis))


class Discriminator(Rating):
    """G's stages in reverse, down to 4x4 and a vector of that stage's width, then one logit: `[N]`.

    `widths` begin at 4x4, as G's do.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = WIDTHS,
        blocks: int = 2,
        expansion: int = 2,
        group_size: int = 16,
    ):
        super().__init__()
        used = stage_widths("D", resolution, widths, blocks, expansion, group_size)[::-1]
        self.num_features = last = used[-1]
        stages = [pointwise(channels, used[0]), *residual_blocks(used[0], blocks, expansion, group_size)]
        for before, after in pairwise(used):
            stages += [Down(before, after), *residual_blocks(after, blocks, expansion, group_size)]
        self.stages = nn.Sequential(*stages)
        self.to_vector = nn.Conv2d(last, last, 4, groups=last, bias=False)
        self.to_logit = nn.Linear(last, last if num_classes else 1, bias=False)
        self.embed = ClassEmbedding(num_classes, last, std=last**-0.5) if num_classes else None
        initialise(self)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = self.to_vector(self.stages(x)).flatten(1)
        out = self.to_logit(features)
        return (out * self.embed(c)).sum(1) if self.embed else out.squeeze(1), features


class Block(nn.Module):
    """x + the three convolutions of x, `[N, width, H, W]`."""

    def __init__(self, width: int, expansion: int, group_size: int):
        super().__init__()
        wide = width * expansion
        self.widen = nn.Conv2d(width, wide, 1)
        self.grouped = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // group_size)
        self.narrow = pointwise(wide, width)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.leaky_relu(self.widen(x), SLOPE)
        y = nn.functional.leaky_relu(self.grouped(y), SLOPE)
        return x + self.narrow(y)


class Up(nn.Module):
    """Doubles height and width. The 1x1 convolution commutes with it, and runs where there are fewer pixels."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.project = pointwise(before, after) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(self.project(x), scale_factor=2, mode="bilinear", align_corners=False)


class Down(nn.Module):
    """Halves height and width, bilinearly: the filter [1, 3, 3, 1]/8 in each direction, edges repeated.

    It is the transpose of the doubling, divided by 4. Written out because `interpolate(antialias=True)`
    has no kernel on some devices, and gradients that do not repeat on CUDA.
    """

    kernel: Tensor

    def __init__(self, before: int, after: int):
        super().__init__()
        self.project = pointwise(before, after) if before != after else nn.Identity()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", taps[:, None] * taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.expand(x.shape[1], 1, 4, 4)
        x = conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=x.shape[1])
        return self.project(x)


def pointwise(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 1, bias=False)


def residual_blocks(width: int, blocks: int, expansion: int, group_size: int) -> list[nn.Module]:
    return [Block(width, expansion, group_size) for _ in range(blocks)]


def stage_widths(
    network: str, resolution: int, widths: tuple[int, ...], blocks: int, expansion: int, group_size: int
) -> tuple[int, ...]:
    """The widths of the stages from 4x4 to `resolution`. Raises `UserError` for settings that cannot be built."""
    at_least(1, **{f"{network}.{name}": value for name, value in (("expansion", expansion), ("blocks", blocks))})
    at_least(1, **{f"{network}.group_size": group_size, f"{network}.widths": min(widths, default=0)})
    num = resolution.bit_length() - 2
    if resolution < 8 or resolution & (resolution - 1):
        raise UserError(f"r3gan makes images of 8, 16, 32, ... pixels, not {resolution}: set --data.resolution")
    if num > len(widths):
        raise UserError(
            f"{network}.widths has {len(widths)} stages, and r3gan needs {num} for {resolution} pixels: "
            "one for 4x4 and one for each doubling"
        )
    for width in widths[:num]:
        if width * expansion % group_size:
            raise UserError(
                f"{network}.widths: {width} times the expansion of {expansion} cannot be cut into groups of "
                f"{group_size}: choose other widths, or set --{network}.group_size"
            )
    return widths[:num]


def initialise(network: nn.Module) -> None:
    """Fix-up (Zhang et al. 2019, section 3): a block's last layer starts at 0, its others scaled by L^(-1/(2m-2)).

    L is the number of blocks and m the layers in one, 3. All else keeps the variance of what it is given.
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in blocks:
        nn.init.zeros_(block.narrow.weight)
        for layer in (block.widen, block.grouped):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            with torch.no_grad():
                layer.weight *= len(blocks) ** -0.25
