"""Whether samples are like reals, and whether all reals are covered: nearest neighbours in the space of features."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate, bootstrapped
from gannet.evaluation.neighbours import nearest, squared_distances

PRECISION_K = 3
DENSITY_K = 5
SPARE = 4  # neighbours after the k-th that rounding may have put before it
ROWS = 1024  # differences of features at once in float64
BLOCKS = 10  # of images, each left out once
SEED = 0


def precision_recall(real: Tensor, fake: Tensor) -> tuple[Estimate, Estimate]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, equations 1 and 2) of features `[N, d]` and `[M, d]`.

    Precision: the share of fakes that lie no further from some real than its third nearest real does. Recall: the
    share of reals that lie no further from some fake than its third nearest fake does. Each interval is over the
    images that are counted and over those whose neighbourhoods count them (`share`). Raises `UserError` for fewer
    than four images.
    """
    around_real, around_fake = neighbourhoods(real, PRECISION_K), neighbourhoods(fake, PRECISION_K)
    precise, precise_without = [], []
    recalled = torch.zeros(len(real), dtype=torch.bool)
    recalled_without = torch.zeros(len(around_fake.without), len(real), dtype=torch.bool)
    band = rounding(real, fake)
    for start, squares in numbered(fake, real):
        rows = slice(start, start + len(squares))
        precise.append(inside(squares, around_real.squares[None], band, fake[rows], real).any(1))
        recalled |= inside(squares, around_fake.squares[rows, None], band, fake[rows], real).any(0)
        precise_without.append(torch.stack([(squares <= limits).any(1) for limits in around_real.without]))
        for without, limits in zip(recalled_without, around_fake.without, strict=True):
            without |= (squares <= limits[rows, None]).any(0)
    precision = share(torch.cat(precise).double(), torch.cat(precise_without, 1), highest=1)
    return precision, share(recalled.double(), recalled_without, highest=1)


def density_coverage(real: Tensor, fake: Tensor) -> tuple[Estimate, Estimate]:
    """Density and coverage (Naeem et al. 2020, equations 3 and 5) of features `[N, d]` and `[M, d]`.

    Density: in how many neighbourhoods of reals, of five nearest reals each, a fake lies, over five; 1 on average
    where fakes are as reals, and more where they crowd among them. Coverage: the share of reals in whose
    neighbourhood some fake lies. Both are robust to outliers. The intervals are as those of `precision_recall`.
    Raises `UserError` for fewer than six images.
    """
    around_real, blocks = neighbourhoods(real, DENSITY_K), blocks_of(len(fake))
    counts, counts_without = [], []
    covered = torch.zeros(len(real), dtype=torch.bool)
    nearest_fake = torch.full((int(blocks.max()) + 1, len(real)), float("inf"))  # of each block
    band = rounding(real, fake)
    for start, squares in numbered(fake, real):
        rows = slice(start, start + len(squares))
        verdicts = inside(squares, around_real.squares[None], band, fake[rows], real)
        counts.append(verdicts.sum(1))
        covered |= verdicts.any(0)
        counts_without.append(torch.stack([(squares <= limits).sum(1) for limits in around_real.without]))
        for block in blocks[rows].unique():
            nearest_fake[block] = nearest_fake[block].minimum(squares[blocks[rows] == block].amin(0))
    density = share(torch.cat(counts).double() / DENSITY_K, torch.cat(counts_without, 1).double() / DENSITY_K)
    first, second = nearest_fake.topk(2, 0, largest=False).values
    covered_without = torch.where(nearest_fake == first, second, first) <= around_real.squares
    return density, share(covered.double(), covered_without, highest=1)


def share(counted: Tensor, without: Tensor, highest: float = float("inf")) -> Estimate:
    """The mean of what each image counts, `[n]`, and its interval.

    `without` `[B, n]` has the same without each block of the other set. How the mean varies with that set is the
    delete-a-block jackknife's estimate (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 11),
    less what varies between blocks since the images that are counted are few: this is in their own part, which adds
    to it. Where all images count alike, all or nothing, the interval reaches 3 / n further at least: if that share
    of all images were others, a draw of n would have none in 5 cases of 100.
    """
    value, num = counted.mean().item(), len(counted)
    moved = without.double() - without.double().mean(0)
    means = moved.mean(1)
    by_chance = (moved.var(1) / num).sum() / means.square().sum().clamp(min=1e-30)
    others = means * ((1 - by_chance).clamp(min=0) * len(means) * (len(means) - 1)).sqrt()
    found = bootstrapped(value, counted, others, lowest=0.0, highest=highest)
    if value == 0:
        return replace(found, high=max(found.high, 3 / num))
    if value == highest:
        return replace(found, low=min(found.low, max(0.0, highest - 3 / num)))
    return found


@dataclass(frozen=True)
class Neighbourhoods:
    """How far that of each image reaches: `squares` float64 `[N]`.

    `without` is the same without each block of the images, float32 `[B, N]`: -inf for those of the block.
    """

    squares: Tensor
    without: Tensor


def neighbourhoods(features: Tensor, k: int) -> Neighbourhoods:
    """The squared distance of each of `[N, d]` to the k-th nearest of the others."""
    num = len(features)
    if num <= k:
        raise UserError(f"{num} images have no {k} neighbours each: {k + 1} are needed, and many are better")
    indices = nearest(features, features, k + 1 + SPARE)[1]
    found = []
    for some, near in zip(features.split(ROWS), indices.split(ROWS), strict=True):
        found.append(torch.stack([exact(some, features[near[:, place]]) for place in range(near.shape[1])], 1))
    squares, blocks = torch.cat(found), blocks_of(num)
    furthest, without = squares.amax(1), []
    for block in range(int(blocks.max()) + 1):
        # The first is its own. Where more are of the block than are spare, the furthest that is known stands in.
        left = squares.masked_fill(blocks[indices] == block, float("inf")).sort(1).values[:, k].minimum(furthest)
        without.append(left.masked_fill(blocks == block, -float("inf")).float())
    return Neighbourhoods(squares.sort(1).values[:, k], torch.stack(without))


def blocks_of(num: int) -> Tensor:
    """The block of each of `num` images, int64 `[num]`: 10 blocks, or as many as images, drawn always alike."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(SEED)).permutation(num) % BLOCKS)


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
