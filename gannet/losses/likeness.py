"""How unlike two images look, to make one like the other: by features, where their network is there, and pixels."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from gannet.efficientnet import efficientnet_lite0
from gannet.errors import UserError
from gannet.losses.content import LARGE, colours

SMALLEST = 8  # pixels a side of the smallest images that are compared
MOST = 256  # pixels that the network sees at most: larger images are reduced (Karras et al. 2020, section 5)
DEPTHS = (0, 2, 4, 10)  # blocks of EfficientNet-Lite0: the last ones of 1/2, 1/4, 1/8 and 1/16 of the size

Distance = Callable[[Tensor], Tensor]


def likeness() -> tuple[str, Callable[[Tensor], Distance]]:
    """What the distance is made of, in words, and what makes it for a target `[1, C, R, R]` in [-1, 1].

    The distance of images `[N, C, R, R]` is `[N]`, 0 for the target itself: that of `pixels`, and where the packages
    of EfficientNet-Lite0 are installed that of `features` beside it.
    """
    try:
        lite0()
    except UserError:
        return "pixels and edges at several sizes", lambda target: lambda x: pixels(x, target)

    def both(target: Tensor) -> Distance:
        with torch.no_grad():
            known = maps(target)
        return lambda x: features(maps(x), known) + pixels(x, target)

    return "features of efficientnet-lite0, pixels and edges", both


def pixels(x: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of pixels, and of their differences across and down: `[N]`.

    It is the mean over the images' own size and its halves down to 8 pixels.
    """
    found = []
    difference = x - other
    while True:
        across, down = difference.diff(dim=3), difference.diff(dim=2)
        found.append(torch.stack([part.abs().mean((1, 2, 3)) for part in (difference, across, down)]).sum(0))
        if difference.shape[2] < 2 * SMALLEST:
            return torch.stack(found).mean(0)
        difference = avg_pool2d(difference, 2)


def features(found: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """The distance of Zhang et al. (2018, equation 1) of maps `[N, F, H, W]` of several depths, all weights 1: `[N]`.

    Each place's features are brought to length 1; the squared distance is the mean over places, and then over depths.
    """
    pairs = zip(found, other, strict=True)
    return torch.stack([(normalize(a) - normalize(b)).square().sum(1).mean((1, 2)) for a, b in pairs]).mean(0)


def maps(x: Tensor) -> list[Tensor]:
    """Features of EfficientNet-Lite0 at `DEPTHS`, of images in [-1, 1], shown at 96 to 256 pixels without alpha.

    Raises `UserError` where it is not installed.
    """
    network = lite0().to(x.device)
    x = 2 * colours(x) - 1
    side = min(max(x.shape[2], LARGE), MOST)
    if side != x.shape[2]:
        x = interpolate(x, size=(side, side), mode="bilinear", antialias=side < x.shape[2])
    x = network._swish(network._bn0(network._conv_stem(x)))
    found = []
    for i, block in enumerate(network._blocks[: DEPTHS[-1] + 1]):
        x = block(x)
        if i in DEPTHS:
            found.append(x)
    return found


@functools.cache
def lite0() -> Any:
    """The network, loaded once."""
    return efficientnet_lite0()
