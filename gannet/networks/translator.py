"""What the networks that translate have in common."""

import torch
from torch import Tensor, nn

from gannet.errors import UserError


class Translator(nn.Module):
    """Makes images of images: `[N, channels, H, W]` to `[N, channels, scale * H, scale * W]`, [-1, 1].

    It is built for `resolution`, the side of what it makes, and takes any H and W that are multiples of
    `multiple`, equal or not. It draws no z. Raises `UserError` for labels and for a side that it cannot make.
    """

    z_dim = 0
    layers: nn.Sequential
    """What `forward` goes through, where a G is no more than that."""

    def __init__(self, resolution: int, num_classes: int, scale: int, multiple: int):
        super().__init__()
        if num_classes:
            raise UserError("a network that translates knows no labels: set --data.no-labels")
        if resolution % (scale * multiple):
            step = f"a multiple of {scale * multiple}"
            raise UserError(f"this G makes images whose side is {step}, not {resolution}: set --data.resolution")
        self.scale, self.multiple = scale, multiple

    def forward(self, a: Tensor) -> Tensor:
        """Images made of a, in its batch and its channels."""
        return self.layers(a)


class Added(nn.Module):
    """x + `scale` times what its layers make of it, in the same shape (He et al. 2016; Szegedy et al. 2017)."""

    def __init__(self, *layers: nn.Module, scale: float = 1.0):
        super().__init__()
        self.layers, self.scale = nn.Sequential(*layers), scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.layers(x), alpha=self.scale)
