"""What a few seeds say: means with their intervals, and tests of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gannet.evaluation.student import t_quantile

MOST_EXACT = 16  # pairs of which all signs are gone through
DRAWN = 100_000  # signs, beyond that


@dataclass(frozen=True)
class Summary:
    """Values of several seeds: mean, standard deviation (n - 1), and the 95% t-interval of the mean.

    With one seed there is neither deviation nor interval: they are None.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        found = np.array(values, dtype=float)
        mean = float(found.mean())
        if len(found) < 2:
            return cls(tuple(values), mean, None, None, None)
        std = float(found.std(ddof=1))
        half = t_quantile(0.975, len(found) - 1) * std / len(found) ** 0.5
        return cls(tuple(values), mean, std, mean - half, mean + half)


@dataclass(frozen=True)
class Paired:
    """Two groups over the seeds that both have: the mean difference, its 95% t-interval, and p of a sign-flip test."""

    seeds: tuple[int, ...]
    difference: Summary
    p: float
    smallest_p: float
    """The least that so many seeds can give."""


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Paired | None:
    """`first` minus `second`, each by seed; None where they have no seed in common."""
    seeds = tuple(seed for seed in first if seed in second)
    if not seeds:
        return None
    found = np.array([first[seed] - second[seed] for seed in seeds])
    return Paired(seeds, Summary.of(found.tolist()), sign_flip(found), 2.0 ** (1 - len(seeds)))


def sign_flip(differences: np.ndarray) -> float:
    """p, two-sided, that paired differences `[N]` are symmetric about 0 (Fisher 1935, section 21).

    It is the share of all 2^N ways to give them signs whose sum is at least as far from 0. N pairs cannot go under
    2^(1 - N): 3 not under 0.25, and 6 are the fewest for 0.05. Above 16 pairs, 100,000 ways are drawn, always the same.
    """
    num = len(differences)
    if num <= MOST_EXACT:
        ways = np.arange(2 ** (num - 1))[:, None] >> np.arange(num) & 1  # the last sign stands: the rest is mirrored
    else:
        ways = np.random.Generator(np.random.Philox(0)).integers(0, 2, (DRAWN, num))
        ways[0] = 0
    sums = np.abs((1 - 2 * ways) @ differences)
    as_far = sums >= abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    return float(as_far.mean())
