"""PatchGAN (Isola et al. 2017, "Image-to-image translation with conditional adversarial networks", section
6.1.2), from the paper: each logit rates a patch of the image, without knowing the others.

D of 70 pixels is C64-C128-C256-C512, then a convolution to one channel: 4x4 kernels, batch norm (but not in
the first layer) and LeakyReLU. The last two have stride 1, as a patch of 70 pixels asks for, the others 2.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.conv import HalvingConv
from gannet.networks.layers import at_least, initialise, norm_layers, spectrally_normalise

# Features of a patch's layers, in widths.
TIMES = {1: (1, 2), 16: (1, 2), 34: (1, 2, 4), 70: (1, 2, 4, 8), 286: (1, 2, 4, 8, 8, 8)}
KERNEL = 4


class Discriminator(Rating):
    """x to a logit for each patch of `patch` pixels a side: `[N, P]`, row by row.

    P is (R / 2^k - 2)^2 for k halvings: 1 for patches of 16 pixels, 2 for 34 (made as the paper's others are), 3 for
    70, 5 for 286, which is wider than an image of 256. Patches of 1 pixel have 1x1 kernels throughout, and P is
    R^2. A convolution has a bias where no batch or instance norm follows. The features are the last map before the
    logits. Labels are not in the paper: raises `UserError` for them, and for images that are too small for the patch.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        patch: Literal[1, 16, 34, 70, 286] = 70,
        width: int = 64,
        norm: Literal["batch", "instance", "spectral", "none"] = "batch",
    ):
        super().__init__()
        if num_classes:
            raise UserError("patchgan knows no labels: set --data.no-labels, or another --D.name")
        at_least(1, **{"D.width": width})
        features = [width * times for times in TIMES[patch]]
        halvings = 0 if patch == 1 else len(features) - 1
        check_resolution(resolution, patch, 2**halvings)

        def conv(before: int, after: int, halves: bool, bias: bool) -> nn.Conv2d:
            if patch == 1:
                return nn.Conv2d(before, after, 1, bias=bias)
            return HalvingConv(before, after, bias) if halves else nn.Conv2d(before, after, KERNEL, 1, 1, bias=bias)

        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise([channels, *features])):
            norms = norm_layers(norm, after) if i > 0 else []
            blocks += [conv(before, after, i < halvings, not norms), *norms, nn.LeakyReLU(0.2, inplace=True)]
        self.blocks = nn.Sequential(*blocks)
        self.to_logits = conv(features[-1], 1, halves=False, bias=True)
        side = resolution if patch == 1 else resolution // 2**halvings - 1
        self.num_features = features[-1] * side**2
        initialise(self, "dcgan")
        if norm == "spectral":
            spectrally_normalise(self)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(x)
        return self.to_logits(features).flatten(1), features.flatten(1)


def check_resolution(resolution: int, patch: int, multiple: int) -> None:
    """Raises `UserError` where a side is no multiple of the halvings, or where no logit would be left."""
    least = 1 if patch == 1 else 3 * multiple
    if resolution < least or resolution % multiple:
        raise UserError(
            f"patches of {patch} pixels are for images whose side is a multiple of {multiple} and at least {least}, not"
            f" {resolution}: set --D.patch or --data.resolution"
        )
