"""How far two sets of features are apart, as Gaussians (Frechet 1957; Heusel et al. 2017, equation 6)."""

from typing import Self

import torch
from torch import Tensor

from gannet.errors import UserError


class Gaussian:
    """Mean `[d]` and covariance `[d, d]` of features that come batch by batch, float64; no feature is kept."""

    def __init__(self) -> None:
        self.num, self.mean, self.scatter = 0, torch.zeros(()), torch.zeros(())

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """That of features `[N, d]`."""
        gaussian = cls()
        gaussian.add(features)
        return gaussian

    def add(self, features: Tensor) -> None:
        """Takes `[N, d]` more, by the pairwise update of Chan, Golub and LeVeque 1983."""
        features = features.double()
        num, mean = len(features), features.mean(0)
        centred, shift = features - mean, mean - self.mean
        both = self.num + num
        self.scatter = self.scatter + centred.T @ centred + torch.outer(shift, shift) * (self.num * num / both)
        self.mean = self.mean + shift * (num / both)
        self.num = both

    @property
    def covariance(self) -> Tensor:
        """Without bias, by N - 1. Raises `UserError` for fewer than two."""
        if self.num < 2:
            raise UserError(f"{self.num} image has no spread to compare: two are needed, and many are better")
        return self.scatter / (self.num - 1)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)): 0 for equal Gaussians, in the features' unit squared.

    Of fewer images than features, and even of more, it comes out too large: compare equal numbers only.
    """
    # With S = L L', the eigenvalues of S S' are those of L' S' L, which is symmetric.
    values, vectors = torch.linalg.eigh(one.covariance)
    root = vectors * values.clamp(min=0).sqrt()
    traces = torch.linalg.eigvalsh(root.T @ other.covariance @ root).clamp(min=0).sqrt().sum()
    total = one.covariance.trace() + other.covariance.trace() - 2 * traces
    return max(((one.mean - other.mean).square().sum() + total).item(), 0.0)  # rounding may leave less than nothing
