"""Networks that enlarge: SRResNet (Ledig et al. 2017, "Photo-realistic single image super-resolution using a
generative adversarial network", figure 4) and ESRGAN's RRDB net (Wang et al. 2018, "ESRGAN: enhanced
super-resolution generative adversarial networks", section 3.1), from the papers.

Both end in a convolution, as the papers have it: there is no tanh, so values somewhat beyond [-1, 1] can
occur, and are cut off where pixels are made of them.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gannet.networks.layers import at_least
from gannet.networks.translator import Added, Translator

SCALING = 0.2  # of what a branch of the RRDB net adds
SMALLER = 0.1  # its weights at the start, in He's


class SRResNet(Translator):
    """a through `blocks` residual blocks at its own size, then doubled once or twice by pixel shuffle.

    A 9x9 convolution to `width` features comes first, another one to colours last. A PReLU has one slope for
    all its features, and a convolution before batch norm has no bias. The weights start as torch has them:
    the paper does not say.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        scale: Literal[2, 4] = 4,
        width: int = 64,
        blocks: int = 16,
    ):
        at_least(1, **{"G.width": width, "G.blocks": blocks})
        super().__init__(resolution, num_classes, scale, multiple=1)
        inner = [Added(*normed(width), nn.PReLU(), *normed(width)) for _ in range(blocks)]
        ups = [layer for _ in range(scale // 2) for layer in shuffled(width)]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 9, padding=4),
            nn.PReLU(),
            Added(*inner, *normed(width)),
            *ups,
            nn.Conv2d(width, channels, 9, padding=4),
        )


def normed(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]


def shuffled(width: int) -> list[nn.Module]:
    """Doubles height and width by sub-pixel convolution (Shi et al. 2016)."""
    return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]


class RRDBNet(Translator):
    """a through `blocks` residual blocks of three dense blocks, then doubled once or twice by nearest pixels.

    There is no batch norm. A 3x3 convolution follows each doubling, and two more the last one. Within the
    dense blocks a convolution makes `growth` features, and their weights start at a tenth of He's (2015):
    branches that start small are easier to train (the paper's supplement).
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        scale: Literal[2, 4] = 4,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
    ):
        at_least(1, **{"G.width": width, "G.blocks": blocks, "G.growth": growth})
        super().__init__(resolution, num_classes, scale, multiple=1)
        inner = [Added(*(Dense(width, growth) for _ in range(3)), scale=SCALING) for _ in range(blocks)]
        ups = [layer for _ in range(scale // 2) for layer in (nn.Upsample(scale_factor=2), *activated(width))]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            Added(*inner, nn.Conv2d(width, width, 3, padding=1)),
            *ups,
            *activated(width),
            nn.Conv2d(width, channels, 3, padding=1),
        )


class Dense(nn.Module):
    """x + a fifth of the last of five convolutions, each of which sees x and what those before it made."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        outs = [growth] * 4 + [width]
        convs = [nn.Conv2d(width + i * growth, out, 3, padding=1) for i, out in enumerate(outs)]
        with torch.no_grad():
            for conv in convs:
                nn.init.kaiming_normal_(conv.weight, a=0.2).mul_(SMALLER)
        self.convs, self.last = nn.ModuleList(convs[:-1]), convs[-1]

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in self.convs:
            seen = torch.cat([seen, leaky_relu(conv(seen), 0.2)], dim=1)
        return torch.add(x, self.last(seen), alpha=SCALING)


def activated(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)]
