"""Distances class by class, and how varied the images of a class are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.frechet import frechet


@dataclass(frozen=True)
class OfClass:
    """One class: how many images of it there were, how far apart both sets are, and how varied each is."""

    label: int
    num_real: int
    num_fake: int
    distance: Estimate
    diversity_real: float
    diversity_fake: float


def by_class(
    real: Tensor,
    real_labels: np.ndarray,
    fake: Tensor,
    fake_labels: np.ndarray,
    distance: Callable[[Tensor, Tensor], Estimate] = frechet,
) -> tuple[OfClass, ...]:
    """Features `[N, d]` and `[M, d]` compared within each class that both have at least two images of.

    With the Frechet distance these are the distances of intra-FID (Miyato and Koyama 2018, "cGANs with projection
    discriminator", section 4). Classes have few images, of which it comes out too large: compare equal numbers, or
    take `kid`. Raises `UserError` where no class is left.
    """
    found = []
    for label in np.unique(real_labels).tolist():
        own, other = real[torch.from_numpy(real_labels == label)], fake[torch.from_numpy(fake_labels == label)]
        if min(len(own), len(other)) >= 2:
            apart = distance(own, other)
            found.append(OfClass(label, len(own), len(other), apart, diversity(own), diversity(other)))
    if not found:
        raise UserError("no class has two real and two generated images to compare: make more, or leave classes out")
    return tuple(found)


def mean_distance(classes: tuple[OfClass, ...]) -> Estimate:
    """The mean of the classes' distances, each class counting alike (intra-FID, with the Frechet distance).

    Classes have no image in common: the halves of their intervals add up as squares.
    """
    num = len(classes)
    value = sum(one.distance.value for one in classes) / num
    below = math.hypot(*(one.distance.value - one.distance.low for one in classes)) / num
    above = math.hypot(*(one.distance.high - one.distance.value for one in classes)) / num
    return Estimate(value, value - below, value + above)


def diversity(features: Tensor) -> float:
    """How far two images of `[N, d]` are from each other: the root of the mean of their squared distances.

    Far below that of the reals of a class, the generator makes the same image of it again and again.
    """
    return math.sqrt(2 * features.double().var(0).sum().item())
