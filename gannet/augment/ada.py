"""Adaptive discriminator augmentation (Karras et al. 2020, "Training generative adversarial networks
with limited data"): a chain of changes, each with probability p, and p steered by D's overfitting.

Each change leaves the image alone with probability 1 - p at least, so the distribution of the
images can be told from that of the changed ones, and G does not learn the changes (appendix C).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gannet.augment.base import Augmentation, Draw, chosen, cut_out
from gannet.augment.colour import apply_colour, colour_matrix, recolour
from gannet.augment.geometry import BLIT, GENERAL, blit, chain, transform
from gannet.augment.wavelets import octaves
from gannet.errors import UserError

CATEGORIES = ("blit", "geom", "color", "filter", "noise", "cutout")
ITERATIONS = 4  # between two steps of p
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of the four bands in natural images, 1/f


class ADA(Augmentation):
    """The augmentations of appendix B in `categories`, and the controller of section 3.1.

    p starts at the setting `p`. Every fourth iteration it rises where the mean sign of D's logits on
    reals since the last step is over `target`, and falls where it is under, so fast that it goes from
    0 to 1 in `kimg` thousand images, and never over `most`: from about 0.8 on G may learn the changes
    themselves (section 2.2). A `target` of 0 leaves p as it is, or to its schedule. The paper's
    default leaves `filter`, `noise` and `cutout` out.
    """

    p: Tensor
    signs: Tensor
    images: Tensor
    iterations: Tensor

    def __init__(
        self,
        *,
        p: float = 0.0,
        most: float = 1.0,
        target: float = 0.6,
        kimg: float = 500.0,
        categories: str = "blit,geom,color",
    ):
        super().__init__()
        if not 0 <= p <= most <= 1:
            raise UserError(f"augment.p is {p} and augment.most {most}: probabilities, the first at most the second")
        if not -1 < target < 1:
            raise UserError(f"augment.target is {target}, and must be between -1 and 1: it is a mean of signs")
        if not kimg > 0:
            raise UserError(f"augment.kimg is {kimg}, and must be over 0")
        self.most, self.target, self.kimg, self.steered = most, target, kimg, target != 0
        self.categories = chosen(categories, CATEGORIES, "augment.categories")
        self.register_buffer("p", torch.tensor(p))
        for name in ("signs", "images", "iterations"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def update(self, sign_mean: Tensor, num_images: int) -> None:
        """One iteration: the mean sign of D's logits on `num_images` reals, of all ranks; p may step.

        Nothing is read to Python. A mean that is not finite counts as on target.
        """
        if not self.target:
            return
        self.signs += torch.nan_to_num(sign_mean.to(self.signs), nan=self.target) * num_images
        self.images += num_images
        self.iterations += 1
        due = self.iterations == ITERATIONS
        step = torch.sign(self.signs - self.target * self.images) * self.images / (1000 * self.kimg)
        self.p.copy_(torch.where(due, self.p + step, self.p).clamp(0, self.most))
        for count in (self.signs, self.images, self.iterations):
            count.mul_(~due)

    def stats(self) -> Mapping[str, Tensor]:
        return {"augment p": self.p}

    def change(self, x: Tensor, parts: Sequence[int]) -> Tensor:
        draw = Draw(x, self.p)
        x = self.move(x, draw)
        pieces = x.split(tuple(parts), dim=1)
        if "color" in self.categories:
            matrix = colour_matrix(draw)
            pieces = [apply_colour(piece, matrix) for piece in pieces]
        if "filter" in self.categories:
            gains, acts = band_gains(draw)
            pieces = [torch.where(acts[:, None, None, None], filtered(piece, gains), piece) for piece in pieces]
        if "noise" in self.categories:
            std = draw.normal(0.1).abs()[:, None, None, None]
            pieces = [recolour(piece, lambda v, a: v + a * std * torch.randn_like(v)) for piece in pieces]
        if "cutout" in self.categories:
            hole = draw.random(), draw.random(), draw.happens()
            pieces = [cut_out(piece, *hole) for piece in pieces]
        return torch.cat(list(pieces), dim=1)

    def move(self, x: Tensor, draw: Draw) -> Tensor:
        """x after the geometric changes, all of them in one resampling."""
        copied = chain(BLIT if "blit" in self.categories else (), draw)
        if "geom" in self.categories:
            return transform(x, copied, chain(GENERAL, draw))
        return blit(x, copied) if "blit" in self.categories else x


def band_gains(draw: Draw) -> tuple[Tensor, Tensor]:
    """The gain of each band, `[N, 4]`, and where any differs from 1, `[N]` (appendix B, figure 18).

    Band after band is amplified by t, log2 t from N(0, 1), and then all together made so strong that
    the power of a natural image stays what it was.
    """
    changes = [draw.normal(1.0) for _ in POWER]
    gains = []
    for band in range(len(POWER)):
        gain = changes[band].exp2()
        for share, change in zip(POWER, changes, strict=True):
            gain = gain / (1 + share * (change.exp2() ** 2 - 1)).sqrt()
        gains.append(gain)
    return torch.stack(gains, dim=1), torch.stack(changes, dim=1).any(dim=1)


def filtered(x: Tensor, gains: Tensor) -> Tensor:
    """x with its four bands amplified by `gains` `[N, 4]`, along rows and columns alike, edges mirrored."""
    along_y, along_x = (
        (gains @ octaves(size, x.device, x.dtype).flatten(1)).view(-1, 1, size, size) for size in x.shape[2:]
    )
    return recolour(x, lambda v, a: v + a * (along_y @ v @ along_x.mT - v))
