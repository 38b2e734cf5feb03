"""CycleGAN's generator (Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent
adversarial networks", appendix 7.2), after Johnson et al. 2016, from the paper.

c7s1-64, d128, d256, R256 six or nine times, u128, u64, c7s1-3: convolutions of 7x7, two halvings, residual
blocks, two doublings. Instance norm (Ulyanov et al. 2016) has neither scale nor shift.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from gannet.networks.conv import DoublingConv
from gannet.networks.layers import at_least, initialise, norm_layers
from gannet.networks.translator import Added, Translator

Norm = Literal["instance", "batch"]
UpKernel = Literal[3, 4]


class ResNetBlocks(Translator):
    """a through `blocks` residual blocks at a quarter of its side, in 4 * `width` features, then tanh: [-1, 1].

    A number of 0 is the paper's: 6 blocks up to 128 pixels, 9 above. Each side of a is 8 pixels at least. Instance
    norm takes from each image how bright and how saturated it is: of a shape in one colour on black little more
    than the sign of its colours goes through. Batch norm leaves that. Doublings of 3x3 are the paper's: of the four
    pixels that they make of one, the first is made of one pixel and the last of four. With an `up_kernel` of 4 each is
    made of four, which leaves fewer checkerboards (Odena, Dumoulin and Olah 2016, "Deconvolution and checkerboard
    artifacts"); these have no bias, which the norm would take away.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 64,
        blocks: int = 0,
        norm: Norm = "instance",
        up_kernel: UpKernel = 3,
    ):
        at_least(8, **{"data.resolution": resolution})  # of less there is nothing to reflect in the blocks
        at_least(1, **{"G.width": width})
        at_least(0, **{"G.blocks": blocks})
        super().__init__(resolution, num_classes, scale=1, multiple=4)
        self.layers = nn.Sequential(
            Reflection(3),
            *normed(nn.Conv2d(channels, width, 7), norm),
            *normed(nn.Conv2d(width, 2 * width, 3, 2, 1), norm),
            *normed(nn.Conv2d(2 * width, 4 * width, 3, 2, 1), norm),
            *(block(4 * width, norm) for _ in range(blocks or (6 if resolution <= 128 else 9))),
            *normed(up(4 * width, 2 * width, up_kernel), norm),
            *normed(up(2 * width, width, up_kernel), norm),
            Reflection(3),
            nn.Conv2d(width, channels, 7),
            nn.Tanh(),
        )
        initialise(self, "dcgan")


class Reflection(nn.ReflectionPad2d):
    """Pads x `[N, C, H, W]` at each side with what lies within it, mirrored.

    torch's own has no deterministic gradient on CUDA: where one is asked for, mirrored slices are joined.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self.joined(input) if torch.are_deterministic_algorithms_enabled() else super().forward(input)

    def joined(self, x: Tensor) -> Tensor:
        num = self.padding[0]
        for dim in (2, 3):
            first, last = x.narrow(dim, 1, num), x.narrow(dim, x.shape[dim] - 1 - num, num)
            x = torch.cat([first.flip(dim), x, last.flip(dim)], dim)
        return x


def block(features: int, norm: Norm) -> Added:
    """Two 3x3 convolutions added to what they are given, with no ReLU after the sum (the paper's Rk)."""
    return Added(
        Reflection(1),
        *normed(nn.Conv2d(features, features, 3), norm),
        Reflection(1),
        nn.Conv2d(features, features, 3),
        *norm_layers(norm, features),
    )


def up(before: int, after: int, kernel: UpKernel) -> nn.ConvTranspose2d:
    return DoublingConv(before, after) if kernel == 4 else nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1)


def normed(conv: nn.Conv2d | nn.ConvTranspose2d, norm: Norm) -> list[nn.Module]:
    return [conv, *norm_layers(norm, conv.out_channels), nn.ReLU(inplace=True)]
