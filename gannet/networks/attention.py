"""Self-attention over the pixels of a map (SAGAN: Zhang et al. 2019, "Self-attention generative adversarial
networks"; BigGAN: Brock et al. 2019)."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from gannet.errors import UserError


class SelfAttention(nn.Module):
    """Every pixel of x `[N, C, H, W]` sees all the others (SAGAN, equations 1 to 3): x + gamma o, gamma 0 at first.

    Queries and keys have C/8 features and values C/2; keys and values are the largest of each 2x2
    pixels, a quarter of the memory. That is BigGAN's form; SAGAN's equations have C/8 values and all pixels.
    """

    def __init__(self, features: int):
        super().__init__()
        few, half = max(features // 8, 1), max(features // 2, 1)
        self.query = nn.Conv2d(features, few, 1, bias=False)
        self.key = nn.Conv2d(features, few, 1, bias=False)
        self.value = nn.Conv2d(features, half, 1, bias=False)
        self.out = nn.Conv2d(half, features, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = (max_pool2d(of(x), 2).flatten(2) for of in (self.key, self.value))
        # torch's fused attention cannot be differentiated twice, as gradient penalties do
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [N, pixels, pixels / 4]
        seen = (value @ weights.transpose(1, 2).to(value.dtype)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(seen)


def check_attention(name: str, attention: Collection[int], sizes: Collection[int]) -> None:
    """Raises `UserError` for a size in pixels that no map has."""
    for size in attention:
        if size not in sizes:
            raise UserError(f"{name} has {size}, and must be of the maps' sizes: {', '.join(map(str, sorted(sizes)))}")


def attention_after(size: int, features: int, attention: Collection[int]) -> nn.Module:
    """What follows a layer that makes maps of so many pixels and features: self-attention or nothing."""
    return SelfAttention(features) if size in attention else nn.Identity()


def smaller(sizes: Collection[int], resolution: int) -> list[int]:
    """The sizes below the image's: one setting then suits networks of several resolutions."""
    return [size for size in sizes if size < resolution]
