"""A fixed feature space in which samples are compared with reals while a run goes on. It needs no download.

A convolutional net whose weights nobody trained keeps what separates images (Naeem et al. 2020, section 3.2, compare
generators by such a net), and forgets the pixel noise in which pooled pixels drown on black margins. Its means and
spreads are standardised and whitened by reals. It sees a collapse and blur; it is no measure of quality.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, leaky_relu

WIDTHS = (16, 32, 64)
SIDE = 32  # pixels: larger images are brought down to it, by halves
DIMENSIONS = 32  # those in which reals differ most
FLAT = 1e-3  # of the widest: a feature that moves less is not blown up
SEED = 7
ALIKE = 0.02  # of reals are nearer to another one than what counts as a duplicate


class RandomNet:
    """Images `[N, C, H, W]` to features float32 `[N, 560]`, computed where they are, on the CPU."""

    def __init__(self, channels: int):
        generator, before, self.weights = torch.Generator().manual_seed(SEED), channels, []
        for width in WIDTHS:
            weight = torch.randn(width, before, 3, 3, generator=generator)
            self.weights.append(weight * (2 / (9 * before)) ** 0.5)
            before = width

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        x, found = x.float(), []
        while x.shape[-1] > SIDE:
            x = avg_pool2d(x, 2)
        for weight in self.weights:
            x = leaky_relu(conv2d(x, weight.to(x.device), stride=2, padding=1), 0.2)
            found += [adaptive_avg_pool2d(x, 2).flatten(1), x.flatten(2).std(2, correction=0)]
        return torch.cat(found, 1).cpu()


@dataclass(frozen=True)
class Whitened:
    """The directions in which the features of reals differ most, each with a spread of 1 over the reals."""

    mean: Tensor
    directions: Tensor

    @classmethod
    def by(cls, features: Tensor) -> "Whitened | None":
        """By features `[N, d]` of reals; None where these are all the same."""
        features = features.double()
        mean, std = features.mean(0), features.std(0, correction=0)
        if not std.max() > 0:
            return None
        scale = 1 / std.clamp_min(FLAT * std.max())
        values, directions = torch.linalg.eigh(torch.cov(((features - mean) * scale).T, correction=0))
        values, directions = values.flip(0)[:DIMENSIONS], directions.flip(1)[:, :DIMENSIONS]
        kept = values > FLAT * values[0]
        return cls(mean, scale[:, None] * directions[:, kept] / values[kept].sqrt())

    def __call__(self, features: Tensor) -> Tensor:
        """Float64 `[N, at most 32]`."""
        return (features.double() - self.mean) @ self.directions


@dataclass(frozen=True)
class Known:
    """Images that D trains on, by features standardised and not whitened: of few images, whitening would push apart
    those that it is made of, and no others."""

    scale: Tensor
    points: Tensor
    near: float
    """So near to another of them is one in twenty."""

    @classmethod
    def by(cls, features: Tensor) -> "Known | None":
        """By features `[N, d]`; None where these are all the same."""
        features = features.double()
        std = features.std(0, correction=0)
        if not std.max() > 0:
            return None
        scale = 1 / std.clamp_min(FLAT * std.max())
        return cls(scale, features * scale, nearer_than_most(features * scale, 0.05))

    def nearest(self, features: Tensor | None = None) -> Tensor:
        """The number of the nearest of these to each of `features` `[N, d]`; without them, to each of these another."""
        if features is None:
            return torch.cdist(self.points, self.points).fill_diagonal_(float("inf")).argmin(1)
        return torch.cdist(features.double() * self.scale, self.points).argmin(1)

    def copies(self, features: Tensor) -> float:
        """Which part of `features` `[N, d]` is as near to one of these; of other images of the kind, a twentieth."""
        return float((to_nearest(features.double() * self.scale, self.points) < self.near).double().mean())


def effective_number(features: Tensor, width: float) -> float:
    """How many different images there are among `features` `[N, d]`, from 1 to N (Vendi score: Friedman and Dieng
    2023, equation 2), by a Gaussian kernel of so wide a deviation."""
    kernel = torch.exp(torch.cdist(features, features).square() / (-2 * width**2))
    shares = torch.linalg.eigvalsh(kernel / len(kernel)).clamp_min(1e-12)
    return float(torch.exp(-(shares * shares.log()).sum()))


def to_nearest(features: Tensor, others: Tensor | None = None) -> Tensor:
    """From each of `features` to the nearest of `others`, or to the nearest other one of them, `[N]`."""
    if others is not None:
        return torch.cdist(features, others).amin(1)
    return torch.cdist(features, features).fill_diagonal_(float("inf")).amin(1)


def nearer_than_most(features: Tensor, part: float) -> float:
    """A distance that this part of `features` have to their nearest other one, or less; copies count for nothing.

    0 where all are the same.
    """
    distances = to_nearest(features)
    apart = distances[distances > 0]
    return float(apart.quantile(part)) if len(apart) else 0.0


def energy_distance(one: Tensor, other: Tensor) -> float:
    """Between two clouds of points; 0 where they are the same (Szekely and Rizzo 2013, equation 1)."""
    between, within = torch.cdist(one, other).mean(), (torch.cdist(one, one).mean(), torch.cdist(other, other).mean())
    return float(2 * between - within[0] - within[1])


def told_apart(features: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """How often the nearest other one of `features` has the same label; what chance gives, and its deviation."""
    num = len(features)
    nearest = torch.cdist(features, features).fill_diagonal_(float("inf")).argmin(1)
    chance = float(labels.bincount().double().div(num).square().sum())
    return float((labels[nearest] == labels).double().mean()), chance, (chance * (1 - chance) / num) ** 0.5


def above(ones: Tensor, others: Tensor) -> float:
    """In which share of pairs one is above the other: 0.5 where nothing tells them apart."""
    differences = ones.flatten()[:, None] - others.flatten()
    return float(torch.sign(differences).mean() / 2 + 0.5)


def agreement(labels: Tensor, others: Tensor, num_classes: int) -> tuple[float, float]:
    """How much more often two int64 `[N]` agree than by chance, in parts of what is left above it, and its deviation.

    0 by chance, 1 where they always agree (kappa: Cohen 1960, "A coefficient of agreement for nominal scales",
    equation 1).
    """
    num = len(labels)
    shares = [each.bincount(minlength=num_classes).double() / num for each in (labels, others)]
    chance = min(float(torch.dot(*shares)), 1 - 1 / num)
    agreed = float((labels == others).double().mean())
    return (agreed - chance) / (1 - chance), (chance / (1 - chance) / num) ** 0.5


class Space:
    """Where samples are compared with groups of reals."""

    def __init__(self, whitened: Whitened, reals: list[Tensor]):
        self.whitened, self.reals = whitened, reals
        first = torch.pdist(reals[0])
        self.width = float(first.median()) / 2
        self.number = float(np.mean([effective_number(some, self.width) for some in reals])) if self.width > 0 else 0.0
        self.nearest = min(nearer_than_most(some, ALIKE) for some in reals)
        between = [energy_distance(reals[i], reals[k]) for i in range(len(reals)) for k in range(i)]
        self.apart = float(np.mean(between))

    def compare(self, features: Tensor) -> dict[str, float]:
        """Each relative to what as many reals have, whose diversity and distance are 1."""
        points = self.whitened(features)
        found = {"duplicates": float((to_nearest(points) < self.nearest).double().mean())}
        if self.width > 0:
            found["diversity"] = effective_number(points, self.width) / self.number
        if self.apart > 0:
            far = float(np.mean([energy_distance(points, some) for some in self.reals]))
            found["sample distance"] = far / self.apart
        return found
