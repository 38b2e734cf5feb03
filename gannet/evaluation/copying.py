"""Does a generator copy what it was trained on?

Samples are compared with images that were held out: these are as good as any sample can be, and nobody copied
them. Two tests have a say, and each has to do with the training images alone, not with how good the samples are:

- Sides. Of what is no copy the nearest real image is a training image as often as these are among all reals
  (Platzer and Reutterer 2021, "Holdout-based empirical assessment of mixed-type synthetic data"). Copies have
  theirs among the training images.
- Near ones. A generator that copies now and then hides in that test. So the samples are counted that stand out as
  near to a training image, more than the nearest 1% of held-out images do; and the test of sides is made of them.

The test of Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative
models", is reported, and has no say: it asks whether samples are nearer to training images than held-out images
are, and so are all the samples of a generator that makes one dense kind of image, while noisy copies are not. (In
EfficientNet-Lite0's features it called held-out emoji of people copies, at p < 0.005, in 20 of 20 splits, and copies
of digits with noise of 4 levels in none of 6. The two tests did so in one of the 20, and in all 6.)

Where whole groups were held out, new images of the groups trained on lie nearer to training images too, and neither
test tells these from copies. There the verdict leaves both open, but for a generator that replays its images.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL.Image import Image, new
from PIL.ImageDraw import Draw
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import places
from gannet.evaluation.neighbours import distances_between, leaders, nearest
from gannet.images import GAP, grid, side_by_side

AROUND = 10  # training images among which the next one that is no near-duplicate is looked for
NEAREST = 0.01  # the share of held-out images that are taken for nearly copies by chance
TITLE = 16  # pixels above the pairs, for their names
ALPHA = 0.01
SOME = 0.1  # the share of copies that enough held-out images would show
MINIMUM = 5  # training images, at least, that a generator has to replay
MOST = 2000  # held-out images that are asked for
REDRAWN = 9999  # times that the held-out images are drawn anew

Verdict = Literal["copies", "copies or groups", "no sign", "too few"]
"""\"copies or groups\": whole groups were held out, and an honest G that knows its groups looks alike."""


@dataclass(frozen=True)
class Pair:
    """A sample and the training image that is nearest to it."""

    sample: int
    training: int
    distance: float
    """Of their features."""
    nearness: float
    """The distance over that to the next training image that is another one: 0 for a copy, 1 where none stands out."""
    held_out: float
    """The share of held-out images, near-duplicates of training images aside, that have a nearness as small."""


@dataclass(frozen=True)
class Copying:
    """What the distances of samples to training images say."""

    verdict: Verdict
    p: float
    """The smaller one of the two tests', doubled (Bonferroni)."""
    nearest_held_out: int
    """How many samples have a held-out image as the nearest of all reals."""
    expected_held_out: float
    """How many would by chance."""
    p_sides: float
    near: int
    """How many samples stand out as nearer to a training image than the nearest 1% of held-out images do."""
    expected_near: float
    p_near: float
    """Of so many being near, and of their sides: the larger one, since copies show in both."""
    z: float
    """Of Meehan, Chaudhuri and Dasgupta: below 0 where samples are nearer to training images than held-out images."""
    p_ranks: float
    """Of this z; without a say."""
    num_samples: int
    """Without those that repeat another one, which the tests leave out."""
    num_train: int
    num_trained_on: int
    """All training images, of which `num_train` were looked at."""
    num_held_out: int
    num_duplicates: int
    """How many of these are near-duplicates of a training image, and so say nothing about how near is too near."""
    needed: int
    """Held-out images that would show it where a tenth of the samples are copies; 0 where the samples are too few."""
    pairs: tuple[Pair, ...]
    """The nearest ones, nearest first."""
    compared: int
    """How many samples, spread over all, and as many training images were looked through for repetitions."""
    repeated: int
    """How many of these samples are near-duplicates of an earlier one."""
    repeated_real: int
    """How many of as many training images are."""
    largest_group: int
    """The most of these samples that are near-duplicates of one of them, itself included."""
    grouped: bool
    """Whether related images were kept together when some were held out."""
    replayed: int
    """How many of all samples are nearer to a training image than 1% of the least that held-out images are apart."""

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        why = (
            f"{self.near:,} of {self.num_samples:,} samples are nearer to a training image than the nearest held-out "
            f"images are, {self.expected_near:.1f} by chance; {self.nearest_held_out:,} have a held-out image as their "
            f"nearest real one, {self.expected_held_out:.1f} by chance; p = {self.p:.2g}"
        )
        looked = "" if self.num_train == self.num_trained_on else f"looked at {self.looked_at}"
        said = {
            "copies": f"G copies training images: {why}.",
            "copies or groups": (
                f"G copies, or keeps to the groups that it was trained on: look at the pairs ({why}). Whole groups "
                "were held out, and new images of the groups trained on are nearer to training images as well."
            ),
            "no sign": f"No sign of copying{looked and f' ({looked})'}: {why}.",
            "too few": f"Too few images to say whether G copies: {self.missing}.",
        }[self.verdict]
        if looked and self.verdict != "no sign":
            said += f" The test {looked}."
        if self.num_duplicates:
            said += (
                f" {self.num_duplicates:,} of {self.num_held_out:,} held-out images are near-duplicates of training "
                "images, and are left out where it is asked what is near."
            )
        straddle = " Related images may straddle the split, which hides copies: set data.group_by."
        return said if self.grouped else said + straddle

    @property
    def looked_at(self) -> str:
        """How many of all training images the samples were compared with."""
        return f"{self.num_train:,} of {self.num_trained_on:,} training images"

    @property
    def missing(self) -> str:
        """What there is too little of."""
        samples = f"{self.num_samples:,} different sample{'s' if self.num_samples > 1 else ''}"
        if not self.needed:
            return samples
        others = " that are no near-duplicates of training images" if self.num_duplicates else ""
        count = self.num_held_out - self.num_duplicates
        return f"{count:,} are held out{others}, and {self.needed:,} are needed with {samples}"

    @property
    def repetition(self) -> str:
        """Whether the samples repeat themselves, in words."""
        return (
            f"{self.repeated:,} of {self.compared:,} samples are near-duplicates of an earlier one, as are "
            f"{self.repeated_real:,} of as many training images; the largest group has {self.largest_group:,}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "sentence": self.sentence, "repetition": self.repetition}


def copying(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    grouped: bool,
    num_trained_on: int | None = None,
    num_pairs: int = 16,
) -> Copying:
    """Whether samples copy training images, from the features of both and of held-out images, each `[N, d]`.

    `grouped` says whether related images were kept together when some were held out. Images are taken as held out
    one by one: where whole groups were, p is too small, and the verdict is "copies" only where a tenth of the
    samples are training images again. `num_trained_on` is the number of all training images, where `train` has some
    of them. Samples that repeat an earlier one are not tested, since a generator that makes few images would have
    its one hit counted many times; nor are held-out images that are near-duplicates of a training image taken for
    what is near by chance. Raises `UserError` without held-out images.
    """
    if not len(held_out):
        raise UserError("without held-out images nobody can say whether G copies: train with --data.held-out 0.1")
    usual = Usual.of(held_out, train)
    leader = leaders(samples, usual.near_duplicate)
    distinct = np.flatnonzero(leader == np.arange(len(samples)))
    own = samples[distinct]
    near_samples = nearest(own, train, AROUND)
    distance, training = (found[:, 0].numpy() for found in near_samples)
    z, p_ranks = mann_whitney(distance, usual.distances)
    nearnesses = nearness(*near_samples, train, usual.near_duplicate)
    num, num_held_out, num_usual, kth = (
        len(own),
        len(held_out),
        len(usual.nearnesses),
        nearest_few(len(usual.nearnesses)),
    )
    near = nearnesses < usual.nearnesses[kth - 1] if num_usual else np.zeros(num, bool)
    side = sides_of(own, distance, training, held_out, len(train))
    p_sides = sides(side, len(train), num_held_out)
    p_near = max(precedence(int(near.sum()), kth, num, num_usual), sides(side[near], len(train), num_held_out))
    p, needed = min(1.0, 2 * min(p_sides, p_near)), enough(num, len(train))
    again = replays(samples, train, held_out)
    is_plain = not grouped or (len(again) >= SOME * len(samples) and len(again.unique()) >= MINIMUM)
    repeats = Repeats.of(samples, leader, train, usual.near_duplicate)
    return Copying(
        verdict=verdict_of(p, is_plain, 0 < needed <= num_usual),
        p=p,
        nearest_held_out=int((side >= len(train)).sum()),
        expected_held_out=num * num_held_out / (len(train) + num_held_out),
        p_sides=p_sides,
        near=int(near.sum()),
        expected_near=num * kth / (num_usual + 1),
        p_near=p_near,
        z=z,
        p_ranks=p_ranks,
        num_samples=num,
        num_train=len(train),
        num_trained_on=len(train) if num_trained_on is None else num_trained_on,
        num_held_out=num_held_out,
        num_duplicates=num_held_out - num_usual,
        needed=needed,
        pairs=nearest_pairs(distinct, training, distance, nearnesses, usual, num_pairs),
        **asdict(repeats),
        grouped=grouped,
        replayed=len(again),
    )


@dataclass(frozen=True)
class Usual:
    """How near held-out images are to training images, which nobody copied them from."""

    distances: np.ndarray
    """float32 `[N]`, of all of them, to the nearest training image."""
    near_duplicate: float
    """A distance of features at which two images are taken for the same one."""
    nearnesses: np.ndarray
    """Rising, of those that are no near-duplicates of a training image."""

    @classmethod
    def of(cls, held_out: Tensor, train: Tensor) -> "Usual":
        """From the features of both."""
        distances, indices = nearest(held_out, train, AROUND)
        reference = distances[:, 0].numpy()
        duplicate = duplicates(reference)
        others = reference[~duplicate]
        within = float(max(np.quantile(others, NEAREST), NEAREST * np.median(others))) if len(others) else 0.0
        apart = torch.from_numpy(np.flatnonzero(~duplicate))
        known = nearness(distances[apart], indices[apart], train, within) if len(apart) else np.zeros(0)
        return cls(reference, within, np.sort(known))


@dataclass(frozen=True)
class Repeats:
    """How often samples repeat each other, beside as many training images: see `Copying`."""

    compared: int
    repeated: int
    repeated_real: int
    largest_group: int

    @classmethod
    def of(cls, samples: Tensor, leader: np.ndarray, train: Tensor, near_duplicate: float) -> "Repeats":
        """From the features of both, and the leaders of all samples."""
        num = min(len(samples), len(train))
        if num < len(samples):
            leader = leaders(evenly(samples, num), near_duplicate)
        real = leaders(evenly(train, num), near_duplicate)
        return cls(num, repetitions(leader), repetitions(real), int(np.bincount(leader).max()))


def verdict_of(p: float, is_plain: bool, suffices: bool) -> Verdict:
    """What p says: `is_plain` where groups cannot explain it, `suffices` where enough images are held out."""
    if p < ALPHA:
        return "copies" if is_plain else "copies or groups"
    return "no sign" if suffices else "too few"


def sides_of(
    samples: Tensor, distance: np.ndarray, training: np.ndarray, held_out: Tensor, num_train: int
) -> np.ndarray:
    """The number of the nearest of all reals of each sample, int64 `[N]`, the held-out ones after `num_train`.

    `training` and `distance` are its nearest training image and how far that is.
    """
    away, held = (found[:, 0].numpy() for found in nearest(samples, held_out, 1))
    return np.where(distance < away, training, num_train + held)


def nearest_pairs(
    distinct: np.ndarray, training: np.ndarray, distance: np.ndarray, nearnesses: np.ndarray, usual: Usual, num: int
) -> tuple[Pair, ...]:
    """The `num` samples, by their number in `distinct`, that stand out most, nearest first."""
    shares = np.searchsorted(usual.nearnesses, nearnesses, side="right") / max(1, len(usual.nearnesses))
    return tuple(
        Pair(int(distinct[i]), int(training[i]), float(distance[i]), float(nearnesses[i]), float(shares[i]))
        for i in np.argsort(nearnesses, kind="stable")[:num]
    )


def duplicates(reference: np.ndarray) -> np.ndarray:
    """Which of the held-out images, at these distances from the nearest training image, are that image: bool `[N]`.

    Those at 1% of the usual distance or less. The nearest 1% of them are not meant, which there always are.
    """
    away = reference[reference > 0]
    return reference <= (NEAREST * np.median(away) if len(away) else 0)


def replays(samples: Tensor, train: Tensor, held_out: Tensor) -> Tensor:
    """The training images, int64, of samples that are far nearer to one than any held-out image is to another.

    The nearest of held-out images are of one group, so that a new image of a group trained on is not as near.
    """
    if len(held_out) < 2:
        return torch.zeros(0, dtype=torch.int64)
    own = nearest(held_out, held_out, 2)[0][:, 1].min()
    distances, training = nearest(samples, train, 1)
    return training[distances < NEAREST * own]


def nearness(distances: Tensor, indices: Tensor, train: Tensor, near_duplicate: float) -> np.ndarray:
    """How much the nearest training image stands out, `[N]`, from the `nearest` few, each `[N, k]`.

    The distance to it over that to the next one (Lowe 2004, section 7.1, for points in images), which is the same
    where images lie dense and where they do not. Near-duplicates of the nearest are passed over, so that 0 means a
    copy also of an image that the data hold a few times.
    """
    others = distances_between(train, indices, indices[:, 0])
    others[:, -1] = torch.inf
    following = (others > near_duplicate).int().argmax(1, keepdim=True)
    return (distances[:, 0] / distances.gather(1, following)[:, 0].clamp(min=1e-12)).numpy()


def sides(nearest_real: np.ndarray, num_train: int, num_held_out: int) -> float:
    """P that so few have a held-out image as their nearest, had other images been held out.

    `nearest_real` numbers the nearest of all reals of each sample, the held-out ones last. They are drawn anew 9,999
    times, so that a real image to which many samples are nearest is on one side or the other with all of these.
    """
    weights = np.unique(nearest_real, return_counts=True)[1]
    random = np.random.Generator(np.random.Philox(0))
    many = random.hypergeometric(num_held_out, num_train, len(weights), REDRAWN)
    redrawn = np.array([random.permutation(weights)[:some].sum() for some in many])
    return float(1 + (redrawn <= (nearest_real >= num_train).sum()).sum()) / (1 + REDRAWN)


def mann_whitney(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """z, and the one-sided p, of the values of `one` being smaller than those of `other`.

    Mann and Whitney 1947, by the normal approximation, corrected for ties and for continuity.
    """
    num, total = len(one), len(one) + len(other)
    _, position, counts = np.unique(np.concatenate([one, other]), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    u = ranks[position[:num]].sum() - num * (num + 1) / 2
    ties = (counts**3.0 - counts).sum() / (total * (total - 1))
    deviation = math.sqrt(num * len(other) / 12 * (total + 1 - ties))
    if not deviation:
        return 0.0, 1.0
    z = float(u - num * len(other) / 2 + 0.5) / deviation
    return z, math.erfc(-z / math.sqrt(2)) / 2


def precedence(below: int, kth: int, num: int, num_other: int) -> float:
    """P that so many of `num` values are `below` the k-th smallest of `num_other` more of the same kind, or more.

    Nelson 1963, "Tables for a precedence life test", exact: of the first `below + kth - 1` of all, fewer than
    k are of the others. (A binomial test takes the k-th for the quantile itself, which few held-out images do not
    give: with 200 of them, and 2,000 samples just as good, it has p < 0.05 in more than a fifth of the cases.)
    """
    first = below + kth - 1
    terms = [
        log_choose(num_other, k) + log_choose(num, first - k) - log_choose(num + num_other, first)
        for k in range(max(0, first - num), min(kth - 1, num_other) + 1)
    ]
    return min(1.0, sum(math.exp(term) for term in terms))


def log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def nearest_few(num: int) -> int:
    """How many held-out images are taken for nearly copies by chance: 1%, and one at least."""
    return max(1, int(NEAREST * num))


def enough(num: int, num_train: int) -> int:
    """The fewest held-out images that show it where a tenth of `num` samples are copies; 0 where 2,000 do not."""
    copies = math.ceil(SOME * num)
    for held_out in range(1, min(num_train, MOST) + 1):
        all_of_training = (num_train / (num_train + held_out)) ** copies
        if 2 * max(precedence(copies, nearest_few(held_out), num, held_out), all_of_training) < ALPHA:
            return held_out
    return 0


def repetitions(leader: np.ndarray) -> int:
    """How many follow another."""
    return int((leader != np.arange(len(leader))).sum())


def evenly(features: Tensor, num: int) -> Tensor:
    """`num` of them, spread over all, since files come class by class."""
    return features[places(len(features), num)]


def picture_of_pairs(samples: np.ndarray, train: np.ndarray, pairs: Sequence[Pair]) -> Image:
    """Each sample, left, beside its training image, named above: down the first column, then the second.

    uint8 `[N, C, R, R]`.
    """
    half = math.ceil(len(pairs) / 2)
    columns = [
        np.stack([image for pair in some for image in (samples[pair.sample], train[pair.training])])
        for some in (pairs[:half], pairs[half:])
        if some
    ]
    parts = [grid(images, 2) for images in columns]
    picture = side_by_side(*parts) if len(parts) == 2 else parts[0]
    named = new("RGB", (picture.width, picture.height + TITLE), "white")
    named.paste(picture, (0, TITLE))
    for i in range(len(parts)):
        for k, title in enumerate(("sample", "training")):
            left = i * (picture.width - parts[-1].width) + k * parts[i].width // 2
            Draw(named).text((left + GAP, 2), title, fill="black")
    return named
