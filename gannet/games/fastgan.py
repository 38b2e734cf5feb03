"""The game for few images: D makes the reals again from its features (FastGAN: Liu et al. 2021)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.errors import UserError
from gannet.games.gan import GAN, in_full
from gannet.games.turn import Batch, Loss, Pieces
from gannet.losses.auxiliary import l1


class FastGAN(GAN):
    """D encodes reals well enough to be decoded again (section 3.2, equation 3): it cannot go by a few details alone.

    From D's 8x8 map comes the whole image, from a random quarter of its 16x16 map that part of the image;
    both count `weight`. They are compared with the image that D saw, brought to the size of what is
    decoded. The paper compares features of another network (a perceptual loss); here it is the mean
    absolute difference of pixels, so that nothing has to be downloaded.
    """

    def __init__(self, pieces: Pieces, *, weight: float = 1.0, **settings: Any):
        super().__init__(pieces, **settings)
        if not weight >= 0:
            raise UserError(f"game.weight is {weight}, and must be at least 0")
        if not (hasattr(self.D, "decode") and hasattr(self.D, "decode_part")):
            raise UserError("fastgan decodes images from D's features, and this D cannot: set --D.name fastgan")
        self.weight = weight

    def d_loss(self, batch: Batch, fake: Tensor) -> Loss:
        D: Any = self.D
        seen = self.augment(batch.x)
        real_logits, (at_16, at_8) = D.logits_and_maps(seen, batch.c)
        loss = self.d_judged(batch, fake, in_full(real_logits), self.logits(fake, batch.c))
        part_at_16, part = same_quarter(at_16, seen)
        terms = {"whole": self.rebuilt(D.decode(at_8), seen), "part": self.rebuilt(D.decode_part(part_at_16), part)}
        return Loss({**loss.terms, **terms}, loss.stats)

    def rebuilt(self, decoded: Tensor, seen: Tensor) -> Tensor:
        """How far each decoded image is from what D saw."""
        target = interpolate(in_full(seen), decoded.shape[2:], mode="bilinear", antialias=True)
        return self.weight * l1(in_full(decoded), target)


def same_quarter(features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Half the rows and half the columns of a map `[N, F, S, S]`, from a random place on, and that part of x.

    One place for the batch; x is `[N, channels, R, R]`, R a multiple of S.
    """
    size = features.shape[2]
    top, left = torch.randint(size // 2 + 1, (2,)).tolist()

    def quarter(y: Tensor) -> Tensor:
        scale = y.shape[2] // size
        rows, columns = (slice(start * scale, (start + size // 2) * scale) for start in (top, left))
        return y[:, :, rows, columns]

    return quarter(features), quarter(x)
