"""The game of codes: what G is asked for can be read from its images (Chen et al. 2016).

The categorical code is the run's label c: G has a class for each of its values, and the data's labels
are not used. The continuous codes are the first values of z.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gannet.errors import UserError
from gannet.games.acgan import hits
from gannet.games.gan import GAN, in_full
from gannet.games.turn import Batch, Draw, Loss, Noise, Now, Pieces, Turn, num_features
from gannet.losses.auxiliary import class_cross_entropy, gaussian_cross_entropy

HIDDEN = 128  # features of Q's inner layer, and the slope of its activation: table 1
SLOPE = 0.1


class InfoGAN(GAN):
    """Q reads the codes from D's features, and shares all of D but its last layers (section 6).

    G and Q maximise a lower bound of the codes' mutual information with the fakes (equation 6), and here D as well:
    `weight` times that of one of so many `categories`, and `continuous_weight` times that of
    `continuous` codes uniform on [-1, 1], whose Q is a Gaussian of free mean and spread. The constant
    H(c) is left out. Q learns in D's turn, with the features that both use: learning in G's turn, on features
    that only tell reals from fakes, it read the codes as surely, but from marks other than the digit.
    """

    labels_for_d: ClassVar[bool] = False

    @classmethod
    def classes(cls, found: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The values of the categorical code, by number. Raises `UserError` for fewer than two."""
        if settings["categories"] < 2:
            raise UserError(f"game.categories is {settings['categories']}, and must be at least 2")
        return tuple(str(number) for number in range(settings["categories"]))

    def __init__(
        self,
        pieces: Pieces,
        *,
        categories: int = 10,
        continuous: int = 2,
        weight: float = 1.0,
        continuous_weight: float = 0.1,
        **settings: Any,
    ):
        super().__init__(pieces, **settings)
        z_dim: Any = self.G.z_dim
        if not 0 <= continuous <= z_dim:
            raise UserError(f"game.continuous is {continuous}, and must be from 0 to G.z_dim, {z_dim}")
        if not (weight >= 0 and continuous_weight >= 0):
            raise UserError("game.weight and game.continuous_weight must be at least 0")
        self.categories, self.continuous = categories, continuous
        self.weight, self.continuous_weight = weight, continuous_weight
        self.Q = nn.Sequential(
            nn.Linear(num_features(self.D), HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, categories + 2 * continuous),
        )
        self.networks = {"Q": self.Q}
        self.players["D"].append(self.Q)

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        return super().turns(CodedDraw(draw, self.categories), now)

    def d_loss(self, batch: Batch, fake: Tensor) -> Loss:
        fake_logits, features = self.logits_and_features(fake, batch.c)
        loss = self.d_judged(batch, fake, self.logits(batch.x, batch.c), fake_logits)
        return Loss({**loss.terms, **self.code_terms(self.read(features), batch)}, loss.stats)

    def g_loss(self, fake: Tensor, noise: Noise, batch: Batch) -> Loss:
        logits, features = self.logits_and_features(fake, noise.c)
        loss, codes = self.g_judged(fake, noise, batch, logits), self.read(features)
        terms = {**loss.terms, **self.code_terms(codes, noise)}
        return Loss(terms, {**loss.stats, "code accuracy": hits(codes[0], noise.c)})

    def read(self, features: Tensor) -> tuple[Tensor, ...]:
        """What Q says: logits of the categories, and means and logarithms of the deviations of the continuous codes."""
        return in_full(self.Q(features)).split([self.categories, *[self.continuous] * 2], dim=1)

    def code_terms(self, codes: tuple[Tensor, ...], noise: Noise) -> dict[str, Tensor]:
        """How badly Q reads the codes that the images were made with."""
        category, mean, log_std = codes
        terms = {"code": self.weight * class_cross_entropy(category, noise.c)}
        if self.continuous:
            code = uniform_codes(noise.z[:, : self.continuous])
            terms["continuous code"] = self.continuous_weight * gaussian_cross_entropy(mean, log_std, code)
        return terms


def uniform_codes(z: Tensor) -> Tensor:
    """Normal z to codes uniform on [-1, 1]: erf(z / sqrt 2), of the same shape."""
    return torch.erf(z / math.sqrt(2))


@dataclass(frozen=True)
class CodedNoise:
    """z `[N, z_dim]`, and the categorical code c `[N, categories]`, one-hot."""

    z: Tensor
    c: Tensor


@dataclass(frozen=True)
class CodedBatch(CodedNoise):
    """The same, and reals x and given images a that have nothing to do with the code."""

    x: Tensor
    a: Tensor


class CodedDraw:
    """Another draw, with a uniform code in the place of each label.

    A code is made from the first value of a further z, so that it follows from a number alone, as all
    noise does, whatever the micro-batches and ranks.
    """

    def __init__(self, draw: Draw, categories: int):
        self.draw, self.offset, self.categories = draw, draw.offset, categories

    def __call__(self) -> CodedBatch:
        batch = self.draw()
        return CodedBatch(z=batch.z, c=self.codes(batch), x=batch.x, a=batch.a)

    def noise(self) -> CodedNoise:
        noise = self.draw.noise()
        return CodedNoise(z=noise.z, c=self.codes(noise))

    def codes(self, noise: Noise) -> Tensor:
        below = torch.special.ndtr(self.draw.noise().z[:, 0]) * self.categories
        number = below.long().clamp(max=self.categories - 1)  # in float32 ndtr reaches 1
        return one_hot(number, self.categories).to(noise.c)
