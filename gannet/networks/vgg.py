"""The discriminator of SRGAN (Ledig et al. 2017, "Photo-realistic single image super-resolution using a
generative adversarial network", figure 4), from the paper: 3x3 convolutions as in VGG, strides in place of pooling.
"""

from itertools import pairwise

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.layers import at_least

TIMES = (1, 1, 2, 2, 4, 4, 8, 8)  # features of the convolutions, in widths; every second one halves
SLOPE = 0.2
HALVINGS = 4


class Discriminator(Rating):
    """x through eight convolutions, halved by every second one, a dense layer, then one logit: `[N]`.

    LeakyReLU follows each layer but the last, and batch norm each convolution but the first, which alone has a
    bias. The features are the `hidden` values of the dense layer. The weights start as torch has them: the paper
    does not say. Labels are not in the paper: raises `UserError` for them, and for a side that is no multiple of 16.
    """

    def __init__(self, resolution: int, channels: int, num_classes: int, *, width: int = 64, hidden: int = 1024):
        super().__init__()
        if num_classes:
            raise UserError("vgg knows no labels: set --data.no-labels, or another --D.name")
        at_least(1, **{"D.width": width, "D.hidden": hidden})
        if resolution % 2**HALVINGS:
            raise UserError(
                f"this D is for images whose side is a multiple of {2**HALVINGS}, not {resolution}: set"
                " --data.resolution or --D.name"
            )
        features = [width * times for times in TIMES]
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise([channels, *features])):
            conv = nn.Conv2d(before, after, 3, stride=1 + i % 2, padding=1, bias=i == 0)
            blocks += [conv, *([nn.BatchNorm2d(after)] if i > 0 else []), nn.LeakyReLU(SLOPE, inplace=True)]
        self.blocks = nn.Sequential(*blocks)
        side = resolution // 2**HALVINGS
        self.to_features = nn.Sequential(nn.Linear(features[-1] * side**2, hidden), nn.LeakyReLU(SLOPE, inplace=True))
        self.num_features = hidden
        self.to_logit = nn.Linear(hidden, 1)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = self.to_features(self.blocks(x).flatten(1))
        return self.to_logit(features).flatten(), features
