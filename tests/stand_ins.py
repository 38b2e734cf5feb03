"""Functions of images in the place of networks that translate, and images to give them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from gannet.config import Data
from gannet.generation.translate import ImageToImage
from gannet.networks.translator import Translator


class Stub(Translator):
    """A function of images in the place of a network, and the sizes that it was given."""

    def __init__(self, make: Callable[[Tensor], Tensor], resolution: int = 16, scale: int = 1, multiple: int = 1):
        super().__init__(resolution, 0, scale, multiple)
        self.make, self.seen = make, list[Tensor]()

    def forward(self, a: Tensor) -> Tensor:
        self.seen.append(a)
        return self.make(a)


def identity(a: Tensor) -> Tensor:
    return a


def doubled(a: Tensor) -> Tensor:
    return interpolate(a, scale_factor=2)


def blocks(a: Tensor) -> Tensor:
    """The means of squares of 4 pixels: other ones, if it is shifted by 1 to 3."""
    return interpolate(avg_pool2d(a, 4), scale_factor=4)


def smoothed(a: Tensor) -> Tensor:
    """Each channel's mean over 5x5 pixels, with zeros around: it sees 2 pixels far."""
    return conv2d(a, torch.full((a.shape[1], 1, 5, 5), 1 / 25), padding=2, groups=a.shape[1])


def image_to_image(make: Callable[[Tensor], Tensor] = identity, channels: int = 3, **facts: Any) -> ImageToImage:
    """Tiles of 32 pixels; trained at 16, or as `facts` say."""
    of_network = {name: facts.pop(name) for name in ("scale", "multiple") if name in facts}
    data = Data(resolution=facts.pop("resolution", 16), **facts)
    network = Stub(make, data.resolution, **of_network)
    return ImageToImage(network, data, channels, torch.device("cpu"), tile=32 * network.scale)


def seen(G: ImageToImage) -> list[Tensor]:
    assert isinstance(G.network, Stub)
    return G.network.seen


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(height))
    return random.integers(0, 256, (height, width, channels), np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(abs(one.astype(int) - other.astype(int)).max())
