"""Which of the images that G makes are kept: those that D rates high, or so many as are as dense among reals."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from gannet.errors import UserError
from gannet.generation.latents import OfSeed
from gannet.generation.sampler import Sampler
from gannet.noise import Stream, uniform

BURN_IN = 2048  # images that the largest logit and gamma are estimated from; the paper takes 10,000
BATCH = 64
PERCENTILE = 80  # of F, which becomes gamma
EPS = 1e-6  # keeps the logarithm finite at the largest logit


class Filter(ABC):
    """Goes through images by their number, once."""

    @abstractmethod
    def keeps(self, x: Any, c: Any, first: int) -> np.ndarray:
        """Which of the images x `[N, C, R, R]` in [-1, 1] of c, number `first` and on, are kept: bool `[N]`."""

    @abstractmethod
    def hopeless(self, num_kept: int, num_drawn: int, wanted: int) -> UserError:
        """What to say where hardly any are."""


class AtLeast(Filter):
    """Keeps what D rates at least so real: by its probability, or else by its quantile among reals.

    Raises `UserError` where there is no D, and where its logits are no probabilities and their quantiles unknown.
    """

    def __init__(self, G: Sampler, least: float):
        self.D, self.least, self.ratings = G.discriminator(), least, [np.empty(0)]
        if not self.D.is_classifier and not self.D.real_logits:
            raise UserError(
                "this run's D gives no probabilities, and an older version saved it without the ratings of reals:"
                " gannet resume RUN --kimg N writes them, or leave --min-realness out"
            )

    def keeps(self, x: Any, c: Any, first: int) -> np.ndarray:
        self.ratings.append(self.D.realness(x, c).cpu().numpy())
        return self.ratings[-1] >= self.least

    def hopeless(self, num_kept: int, num_drawn: int, wanted: int) -> UserError:
        reached = np.sort(np.concatenate(self.ratings))[-min(wanted, num_drawn)]
        return UserError(
            f"D rates only {num_kept} of {num_drawn:,} images at {self.least} or more: take"
            f" --min-realness {int(reached * 100) / 100:g}, which {wanted} of them reach"
        )


class Rejection(Filter):
    """Discriminator rejection sampling (Azadi et al. 2019, "Discriminator rejection sampling", section 3).

    A D that classifies as well as can be has the logit log(p_data / p_G), so that images kept with the probability
    exp(logit - M) would be those of the data, M being the largest logit. Hardly any are, so the paper keeps an image
    with the probability sigmoid(F - gamma), F = logit - M - log(1 - exp(logit - M - epsilon)). M comes from a
    burn-in of 2,048 images, and rises where a larger logit is found. gamma, for which the paper takes a percentile
    of F in each batch, is here the 80th of those of the burn-in, so that the fate of image i hangs on no batch.

    Raises `UserError` where D does not classify.
    """

    def __init__(self, burn_in: OfSeed):
        self.D, self.seed = burn_in.G.discriminator(), burn_in.seed
        if not self.D.is_classifier:
            raise UserError(
                "this run's D gives no probabilities, which rejection sampling needs: leave --rejection out"
                " (--min-realness takes D's quantiles among reals)"
            )
        logits = np.concatenate([self.logits(*burn_in.images(i, BATCH)) for i in range(0, BURN_IN, BATCH)])
        self.largest = float(logits.max())
        self.gamma = float(np.percentile(log_odds(logits, np.full(len(logits), self.largest)), PERCENTILE))

    def logits(self, x: Any, c: Any) -> np.ndarray:
        return self.D.logits(x, c).cpu().numpy().astype(np.float64)

    def keeps(self, x: Any, c: Any, first: int) -> np.ndarray:
        logits = self.logits(x, c)
        largest = np.maximum.accumulate(np.maximum(logits, self.largest))
        self.largest = float(largest[-1])
        chance = 1 / (1 + np.exp(self.gamma - log_odds(logits, largest)))
        return uniform(self.seed, Stream.REJECTION, first, len(logits), 1)[:, 0] < chance

    def hopeless(self, num_kept: int, num_drawn: int, wanted: int) -> UserError:
        return UserError(
            f"rejection sampling keeps only {num_kept} of {num_drawn:,} images: leave --rejection out, or ask for fewer"
        )


def log_odds(logits: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """F, float64 `[N]`, of logits up to M `[N]`, the largest at their time."""
    return logits - largest - np.log(-np.expm1(logits - largest - EPS))
