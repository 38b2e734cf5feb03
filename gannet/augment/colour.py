"""Colour as 4x4 matrices on homogeneous colours, one an image (Karras et al. 2020, appendix B).

With alpha, the homogeneous coordinate is alpha itself: a straight colour s, premultiplied in [0, 1],
is stored as a (s + 1) - 1, so v = a s is linear in what is stored, a colour matrix on (s, 1) is the
same matrix on (v, a), and nothing has to be divided.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gannet.augment.base import Draw, constant, opaque


def recolour(x: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """x `[N, C, H, W]` with its colours v changed to `change(v, a)`; alpha stays.

    v is in [-1, 1], times a, which is in [0, 1] and broadcasts with v.
    """
    if x.shape[1] != 4:
        return change(x, opaque(x))
    a = opaque(x)
    v = x[:, :3] + (1 - a)
    # The difference is added, so that colours that stay the same stay so to the last bit.
    return torch.cat([x[:, :3] + (change(v, a) - v), x[:, 3:]], dim=1)


class Basis(NamedTuple):
    """What colour matrices are made of, each `[4, 4]`: they are the identity plus multiples of the others."""

    identity: Tensor
    shift: Tensor  # the homogeneous coordinate, to each colour
    colours: Tensor  # each colour to itself
    luma: Tensor  # each colour to its part on the axis of greys
    cross: Tensor  # the cross product of the unit vector of that axis and the colour


@lru_cache(maxsize=4)
def basis(device: torch.device, dtype: torch.dtype) -> Basis:
    third, root = 1 / 3, 1 / math.sqrt(3)
    parts = [
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
        [[third, third, third, 0], [third, third, third, 0], [third, third, third, 0], [0, 0, 0, 0]],
        [[0, -root, root, 0], [root, 0, -root, 0], [-root, root, 0, 0], [0, 0, 0, 0]],
    ]
    return Basis(*constant(np.array(parts), device, dtype))


def brightness(basis: Basis, shift: Tensor) -> Tensor:
    """Adds `shift` `[N, 1, 1]` to each colour: `[N, 4, 4]`, as all of these."""
    return basis.identity + shift * basis.shift


def contrast(basis: Basis, scale: Tensor) -> Tensor:
    """Multiplies all colours."""
    return basis.identity + (scale - 1) * basis.colours


def luma_flip(basis: Basis, flip: Tensor) -> Tensor:
    """Where `flip` is 1, mirrors the axis of greys and leaves what is colourful."""
    return basis.identity - 2 * flip * basis.luma


def hue(basis: Basis, angle: Tensor) -> Tensor:
    """Turns the colours about the axis of greys (Rodrigues' formula)."""
    return basis.identity + angle.sin() * basis.cross + (1 - angle.cos()) * (basis.luma - basis.colours)


def saturation(basis: Basis, scale: Tensor) -> Tensor:
    """Multiplies the distance from grey."""
    return basis.identity + (scale - 1) * (basis.colours - basis.luma)


def colour_matrix(draw: Draw) -> Tensor:
    """All five changes, `[N, 4, 4]`."""
    shift, scale, flip, angle, colourfulness = (
        value[:, None, None]
        for value in (
            draw.normal(0.2),
            draw.normal(0.5).exp2(),
            draw.integer(2),
            draw.uniform(-math.pi, math.pi),
            draw.normal(1.0).exp2(),
        )
    )
    parts = basis(draw.x.device, draw.x.dtype)
    lighter = luma_flip(parts, flip) @ contrast(parts, scale) @ brightness(parts, shift)
    return saturation(parts, colourfulness) @ hue(parts, angle) @ lighter


def apply_colour(x: Tensor, matrix: Tensor) -> Tensor:
    """x `[N, C, H, W]` with its colours multiplied by `matrix` `[N, 4, 4]`; one channel is three that are equal."""
    if x.shape[1] == 1:
        matrix = torch.stack([matrix[:, :3, :3].sum(2), matrix[:, :3, 3]], 2).mean(1, keepdim=True)
    num = matrix.shape[2] - 1
    linear, shift = matrix[:, :num, :num], matrix[:, :num, num, None, None]
    return recolour(x, lambda v, a: (linear @ v.flatten(2)).view_as(v) + shift * a)
