"""Whether samples are like reals, and whether all reals are covered: nearest neighbours in the space of features."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate, bootstrapped
from gannet.evaluation.neighbours import nearest, squared_distances

PRECISION_K = 3
DENSITY_K = 5
SPARE = 4  # neighbours after the k-th that rounding may have put before it
ROWS = 1024  # differences of features at once in float64


def precision_recall(real: Tensor, fake: Tensor) -> tuple[Estimate, Estimate]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, equations 1 and 2) of features `[N, d]` and `[M, d]`.

    Precision: the share of fakes that lie no further from some real than its third nearest real does. Recall: the
    share of reals that lie no further from some fake than its third nearest fake does. Each interval is over the
    images that are counted, with the neighbourhoods as they are: it has no width where all are counted alike.
    Raises `UserError` for fewer than four images.
    """
    around_real, around_fake = neighbourhoods(real, PRECISION_K), neighbourhoods(fake, PRECISION_K)
    precise, recalled = [], torch.zeros(len(real), dtype=torch.bool)
    band = rounding(real, fake)
    for start, squares in numbered(fake, real):
        some = fake[start : start + len(squares)]
        precise.append(inside(squares, around_real[None], band, some, real).any(1))
        recalled |= inside(squares, around_fake[start : start + len(squares), None], band, some, real).any(0)
    return share(torch.cat(precise).double(), 1), share(recalled.double(), 1)


def density_coverage(real: Tensor, fake: Tensor) -> tuple[Estimate, Estimate]:
    """Density and coverage (Naeem et al. 2020, equations 3 and 5) of features `[N, d]` and `[M, d]`.

    Density: in how many neighbourhoods of reals, of five nearest reals each, a fake lies, over five; 1 on average
    where fakes are as reals, and more where they crowd among them. Coverage: the share of reals in whose
    neighbourhood some fake lies. Both are robust to outliers. The intervals are as those of `precision_recall`.
    Raises `UserError` for fewer than six images.
    """
    around_real = neighbourhoods(real, DENSITY_K)
    counts, covered = [], torch.zeros(len(real), dtype=torch.bool)
    band = rounding(real, fake)
    for start, squares in numbered(fake, real):
        verdicts = inside(squares, around_real[None], band, fake[start : start + len(squares)], real)
        counts.append(verdicts.sum(1))
        covered |= verdicts.any(0)
    return share(torch.cat(counts).double() / DENSITY_K), share(covered.double(), 1)


def share(counted: Tensor, highest: float = float("inf")) -> Estimate:
    """The mean of what each image counts, and its interval."""
    return bootstrapped(counted.mean().item(), counted, lowest=0.0, highest=highest)


def neighbourhoods(features: Tensor, k: int) -> Tensor:
    """The squared distance of each of `[N, d]` to the k-th nearest of the others, float64 `[N]`."""
    num = len(features)
    if num <= k:
        raise UserError(f"{num} images have no {k} neighbours each: {k + 1} are needed, and many are better")
    indices = nearest(features, features, k + 1 + SPARE)[1]
    found = []
    for some, near in zip(features.split(ROWS), indices.split(ROWS), strict=True):
        squares = torch.stack([exact(some, features[near[:, place]]) for place in range(near.shape[1])], 1)
        found.append(squares.sort(1).values[:, k])  # the first is its own
    return torch.cat(found)


def numbered(features: Tensor, among: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The blocks of `squared_distances`, each with the number of its first row."""
    start = 0
    for squares in squared_distances(features, among):
        yield start, squares
        start += len(squares)


def inside(squares: Tensor, limits: Tensor, band: float, rows: Tensor, columns: Tensor) -> Tensor:
    """Which of the squared distances are at most their limit, bool `[n, N]`, as float64 has it.

    `squares` float32 `[n, N]` are those of `rows` `[n, d]` and `columns` `[N, d]`, rounded by `band` at most; pairs
    nearer to their limit than that are computed again.
    """
    rounded = limits.float()
    verdicts = squares <= rounded
    unsure = ((squares - rounded).abs_() <= band).nonzero()
    limits = limits.expand(squares.shape)
    for i, j in (part.unbind(1) for part in unsure.split(ROWS)):
        verdicts[i, j] = exact(rows[i], columns[j]) <= limits[i, j]
    return verdicts


def exact(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|^2 of each row, in float64."""
    return (x.double() - y.double()).square().sum(1)


def rounding(x: Tensor, y: Tensor) -> float:
    """How far squared distances of float32 features may be off: by products of their longest, summed over d."""
    longest = max(features.norm(dim=1).max().item() for features in (x, y))
    return torch.finfo(torch.float32).eps * (4 + x.shape[1] ** 0.5) * (2 * longest) ** 2
