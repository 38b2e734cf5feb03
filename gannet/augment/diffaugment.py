"""Differentiable augmentation (Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN
training"): colour, translation and cutout, on every image that D sees."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gannet.augment.base import Augmentation, Draw, blank, chosen, cut_out
from gannet.augment.colour import recolour

POLICIES = ("color", "translation", "cutout")


class DiffAugment(Augmentation):
    """The augmentations of `policy`, each with a draw of its own for every image (section 3.2)."""

    def __init__(self, *, policy: str = "color,translation,cutout"):
        super().__init__()
        self.policy = chosen(policy, POLICIES, "augment.policy")

    def change(self, x: Tensor, parts: Sequence[int]) -> Tensor:
        draw = Draw(x, x.new_ones(()))
        pieces = x.split(tuple(parts), dim=1)
        if "color" in self.policy:
            shift, saturation, contrast = draw.random() - 0.5, 2 * draw.random(), draw.random() + 0.5
            pieces = [recolour_by(piece, shift, saturation, contrast) for piece in pieces]
        if "translation" in self.policy:
            across, down = (whole(draw, size) for size in (x.shape[3], x.shape[2]))
            pieces = [translate(piece, across, down) for piece in pieces]
        if "cutout" in self.policy:
            hole = draw.random(), draw.random(), draw.happens()
            pieces = [cut_out(piece, *hole) for piece in pieces]
        return torch.cat(list(pieces), dim=1)


def whole(draw: Draw, size: int) -> Tensor:
    """Whole pixels `[N]`, each as likely, up to an eighth of the size either way."""
    most = round(size / 8)
    return draw.integer(2 * most + 1).long() - most


def recolour_by(x: Tensor, shift: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast of each image, all parameters `[N]`.

    `shift` is added; the distance from the pixel's grey is multiplied by `saturation`, that from the
    image's mean by `contrast`.
    """
    shift, saturation, contrast = (value[:, None, None, None] for value in (shift, saturation, contrast))

    def change(v: Tensor, a: Tensor) -> Tensor:
        v = v + a * shift
        grey = v.mean(1, keepdim=True)
        v = grey + (v - grey) * saturation
        mean = a * (v.mean((1, 2, 3), keepdim=True) / a.mean((1, 2, 3), keepdim=True).clamp(min=1e-6))
        return mean + (v - mean) * contrast

    return recolour(x, change)


def translate(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """x moved by whole pixels `[N]` to the right and down; what comes in from outside is blank."""
    for dim, offset in ((3, across), (2, down)):
        size = x.shape[dim]
        source = torch.arange(size, device=x.device) - offset[:, None]
        shape = (-1, 1, 1, size) if dim == 3 else (-1, 1, size, 1)
        inside = ((source >= 0) & (source < size)).view(shape)
        moved = x.gather(dim, source.clamp(0, size - 1).view(shape).expand_as(x))
        x = torch.where(inside, moved, blank(x))
    return x
