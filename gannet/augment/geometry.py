"""Geometric transformations as 3x3 matrices, one an image, and one resampling for all of them.

After Karras et al. 2020, appendix B. The matrices are those of the way back: from a pixel of the
result to the place in the image that it shows, so a chain of transformations is the product of their
matrices from left to right, and nothing has to be inverted. The origin is the centre of the image,
x goes to the right, y down, in pixels.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gannet.augment.base import Draw
from gannet.augment.wavelets import CENTRE, enlarging, reducing


def matrix(entries: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """`[N, 3, 3]` from the upper two rows, each entry `[N]` or a number."""
    back = like.new_zeros(len(like), 3, 3)
    back[:, 2, 2] = 1.0
    for i, row in enumerate(entries):
        for j, entry in enumerate(row):
            if isinstance(entry, Tensor) or entry:
                back[:, i, j] = entry
    return back


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Makes the image x times as wide and y times as high."""
    return matrix([[1 / x, 0.0, 0.0], [0.0, 1 / y, 0.0]], x)


def rotation(angle: Tensor) -> Tensor:
    """Turns the image by an angle, from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return matrix([[cos, sin, 0.0], [-sin, cos, 0.0]], angle)


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Moves the image by x pixels to the right and y down."""
    return matrix([[1.0, 0.0, -x], [0.0, 1.0, -y]], x)


def flip(draw: Draw) -> Tensor:
    """Left becomes right, every other time."""
    sign = 1 - 2 * draw.integer(2)
    return scaling(sign, torch.ones_like(sign))


def quarter_turn(draw: Draw) -> Tensor:
    """By 0, 90, 180 or 270 degrees."""
    return rotation(draw.integer(4) * (math.pi / 2))


def whole_translation(draw: Draw) -> Tensor:
    """By whole pixels, from U(-1/8, 1/8) of the size along each side."""
    height, width = draw.x.shape[2:]
    happens = draw.happens()
    x, y = (torch.where(happens, ((draw.random() - 0.5) / 4 * size).round(), 0.0) for size in (width, height))
    return translation(x, y)


def isotropic_scaling(draw: Draw) -> Tensor:
    """By s, log2 s from N(0, 0.2^2)."""
    scale = draw.normal(0.2).exp2()
    return scaling(scale, scale)


def arbitrary_rotation(draw: Draw) -> Tensor:
    """By an angle from U(-pi, pi), as often as makes two chances of it one of probability p."""
    return rotation(draw.half_as_often().uniform(-math.pi, math.pi))


def anisotropic_scaling(draw: Draw) -> Tensor:
    """By s along x and 1/s along y, log2 s from N(0, 0.2^2)."""
    scale = draw.normal(0.2).exp2()
    return scaling(scale, 1 / scale)


def fractional_translation(draw: Draw) -> Tensor:
    """From N(0, (1/8)^2) of the size along each side."""
    height, width = draw.x.shape[2:]
    happens = draw.happens()
    x, y = (torch.where(happens, torch.randn_like(draw.x[:, 0, 0, 0]) / 8 * size, 0.0) for size in (width, height))
    return translation(x, y)


BLIT = (flip, quarter_turn, whole_translation)
GENERAL = (isotropic_scaling, arbitrary_rotation, anisotropic_scaling, arbitrary_rotation, fractional_translation)


def chain(changes: Sequence[Callable[[Draw], Tensor]], draw: Draw) -> Tensor:
    """The changes one after another, each with its chance: `[N, 3, 3]`."""
    back = torch.eye(3, device=draw.x.device, dtype=draw.x.dtype).expand(len(draw.x), 3, 3)
    for change in changes:
        back = back @ change(draw)
    return back


def places(back: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What `back` makes of the pixels in columns x `[W]` and rows y `[H]`: two `[N, H, W]`."""
    x, y = x[None, None, :], y[None, :, None]
    first, second = (back[:, i, :, None, None] for i in (0, 1))
    return first[:, 0] * x + first[:, 1] * y + first[:, 2], second[:, 0] * x + second[:, 1] * y + second[:, 2]


def look_up(x: Tensor, index: Tensor) -> Tensor:
    """Of each image of x `[N, C, H, W]` the pixels number `index` `[N, H', W']`: `[N, C, H', W']`.

    By `gather`, which is differentiable any number of times and, when torch is asked, deterministic;
    `grid_sample` is neither.
    """
    every_channel = index.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, every_channel).unflatten(2, index.shape[1:])


def blit(x: Tensor, back: Tensor) -> Tensor:
    """x seen through `back` `[N, 3, 3]`, each pixel copied from the nearest place; edges are mirrored once.

    `back` turns by quarters and flips, and moves by at most a side of the image, as those of `BLIT` do: so a row of the
    result is a part of one row or of one column, and a place is found for each row and each column, not for each pixel.
    An image that is turned keeps its size, also where it is not square: one side at most twice the other.
    """
    height, width = x.shape[2:]
    is_turned = back[:, :1, 1].abs() > 0.5

    def place(i: int, j: int, size: int) -> Tensor:
        """Of the source's columns (i 0) or rows (i 1), those that the result's columns (j 0) or rows (j 1) show."""
        num = x.shape[3 - j]
        pixel = torch.arange(num, device=x.device, dtype=x.dtype) - (num - 1) / 2
        index = (back[:, i, j, None] * pixel + back[:, i, 2, None] + (size - 1) / 2).round().abs()
        return (size - 1 - (size - 1 - index).abs()).long()

    across = torch.where(is_turned, place(1, 0, height) * width, place(0, 0, width))
    down = torch.where(is_turned, place(0, 1, width), place(1, 1, height) * width)
    return look_up(x, down[:, :, None] + across[:, None, :])


def resample(x: Tensor, back: Tensor) -> Tensor:
    """x seen through `back` `[N, 3, 3]`, edges mirrored without end, free of aliasing.

    Enlarged twice by a wavelet's filter, looked up by bilinear interpolation, reduced by the same
    filter: the identity gives x. One period of the mirror image is enlarged, so that every place is
    in it, whatever was drawn, and nothing is read to find how much padding it takes.
    """
    width, height = sizes = (x.shape[3], x.shape[2])
    kind = (x.device, x.dtype)
    large = enlarging(height, *kind) @ x @ enlarging(width, *kind).mT
    sides = [
        (torch.arange(2 * size + 10, device=x.device, dtype=x.dtype) - CENTRE) / 2 - (size - 1) / 2 for size in sizes
    ]
    lower, weights = [], []
    for place, size in zip(places(back, *sides), sizes, strict=True):
        period = 4 * size - 4
        sample = (2 * place + (size - 1 + CENTRE)).remainder(period)
        lower.append(sample.long().clamp(max=period - 1))  # a remainder can be rounded up to the period
        weights.append((sample - lower[-1])[:, None])
    (column, row), (right, below) = lower, weights
    index, line = row * large.shape[3] + column, large.shape[3]
    above_mixed = torch.lerp(look_up(large, index), look_up(large, index + 1), right)
    below_mixed = torch.lerp(look_up(large, index + line), look_up(large, index + line + 1), right)
    seen = torch.lerp(above_mixed, below_mixed, below)
    return reducing(height, *kind) @ seen @ reducing(width, *kind).mT


def transform(x: Tensor, copied: Tensor, resampled: Tensor) -> Tensor:
    """x `[N, C, H, W]` seen through both matrices `[N, 3, 3]`, the first of which copies whole pixels.

    Where the second changes nothing, pixels are copied: no image is blurred by a resampling that it
    does not need.
    """
    still = (resampled == torch.eye(3, device=x.device, dtype=x.dtype)).flatten(1).all(1)
    return torch.where(still[:, None, None, None], blit(x, copied), resample(x, copied @ resampled))
