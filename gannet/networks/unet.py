"""The U-Net of pix2pix (Isola et al. 2017, "Image-to-image translation with conditional adversarial
networks", section 6.1.1), from the paper.

The encoder is C64-C128-C256-C512-C512-C512-C512-C512, the decoder its mirror, where Ck is a 4x4
convolution of stride 2 with k features, batch norm and (Leaky)ReLU.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.conv import DoublingConv, HalvingConv
from gannet.networks.layers import LeakyDropout, at_least, check_dropout, doubled_widths, initialise, norm_layers
from gannet.networks.translator import Translator

DROPPED = 3  # layers of the decoder that have dropout, from the innermost on


class UNet(Translator):
    """a halved `depth` times, then doubled as often, each map of the encoder beside the decoder's: [-1, 1].

    A depth of 0 halves down to 1x1 where the resolution is a power of two, elsewhere as long as the side is
    even. There are `width` features after the first halving, doubled by each up to `max_width`. No norm
    follows the first convolution nor the innermost, whose single pixel it would make 0 in a batch of one.
    The last convolution alone has a bias.

    Dropout is the only noise. The paper leaves it on when it samples; here it is off in eval mode as everywhere, so
    that one a gives one image. The paper also takes batch norm's statistics from the test batch, and its batches
    are of one image: that is instance norm, which here has the scale and the shift of batch norm.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        width: int = 64,
        max_width: int = 512,
        depth: int = 0,
        dropout: float = 0.5,
        norm: Literal["batch", "instance"] = "batch",
    ):
        at_least(1, **{"G.width": width})
        at_least(0, **{"G.depth": depth})
        check_dropout("G", dropout)
        most = halvings_of(resolution)
        if depth > most:
            raise UserError(f"G.depth is {depth}, and {resolution} pixels can be halved {most} times only")
        depth = depth or max(1, most)
        super().__init__(resolution, num_classes, scale=1, multiple=2**depth)
        features = doubled_widths(depth, width, max_width)

        downs = [
            nn.Sequential(
                HalvingConv(before, after),
                *(norm_layers(norm, after, affine=True) if 0 < i < depth - 1 else []),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for i, (before, after) in enumerate(pairwise([channels, *features]))
        ]
        ups = [
            nn.Sequential(
                DoublingConv(before if i == 0 else 2 * before, after),
                *norm_layers(norm, after, affine=True),
                LeakyDropout(0.0, dropout if i < DROPPED else 0.0),
            )
            for i, (before, after) in enumerate(pairwise(features[::-1]))
        ]
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        last = features[0] if depth == 1 else 2 * features[0]
        self.to_colours = nn.ConvTranspose2d(last, channels, 4, 2, 1)
        initialise(self, "dcgan")

    def forward(self, a: Tensor) -> Tensor:
        maps = [a]
        for down in self.downs:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in self.ups:
            x = torch.cat([up(x), maps.pop()], dim=1)
        return self.to_colours(x).tanh()


def halvings_of(side: int) -> int:
    """How often a side can be halved until it is odd."""
    return (side & -side).bit_length() - 1
