"""Are generated images of use? A classifier that learns from them is tested on held-out real images.

Ravuri and Vinyals 2019, "Classification accuracy score for conditional generative models", train on generated
images only. What a person with few images wants to know is whether real and generated ones together do better
than the real ones alone: both are measured here, and the difference in pairs of the same seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from gannet.errors import UserError
from gannet.evaluation.classifier import LARGEST, WIDEST, WIDTH, Labelled, predicted, trained
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.protocol import Protocol
from gannet.evaluation.student import t_quantile

STEPS = 600
SEEDS = 5
WORTH = 0.01  # a gain of less, one point, is none

Verdict = Literal["help", "harm", "do not help", "cannot be told"]


@dataclass(frozen=True)
class Accuracy:
    """How many of the held-out images a classifier gets right, from 0 to 1, with 95% intervals."""

    accuracy: Estimate
    balanced: Estimate
    """The mean of the classes' accuracies, so that each class counts alike."""


@dataclass(frozen=True)
class Usefulness:
    """What classifiers make of real images, of generated ones, and of both."""

    verdict: Verdict
    real: Accuracy
    generated: Accuracy
    both: Accuracy
    gain: Accuracy
    """That of both less that of real, in pairs of the same seed and the same image."""
    num_real: int
    num_generated: int
    num_held_out: int
    seeds: int
    steps: int

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        gain, before = self.gain.balanced, 100 * self.real.balanced.value
        by = f"{100 * gain.value:+.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
        said = {
            "help": f"The samples help: {by}",
            "harm": f"The samples do harm: {by}",
            "do not help": f"The samples do not help: {by}",
            "cannot be told": f"Whether the samples help cannot be told: {by}",
        }[self.verdict]
        return (
            f"{said} of balanced accuracy, from {before:.1f}% with {self.num_real:,} real images alone, "
            f"on {self.num_held_out:,} held-out images, over {self.seeds} seeds."
        )

    @property
    def protocol(self) -> Protocol:
        """How the classifiers were trained."""
        how = f"residual, {WIDTH} to {WIDEST} channels, of {LARGEST} pixels at most"
        return {"classifier": how, "steps": self.steps, "classifier seeds": f"0 to {self.seeds - 1}"}

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "sentence": self.sentence}


def usefulness(
    real: Labelled,
    generated: Labelled,
    held_out: Labelled,
    classes: Sequence[str],
    *,
    flips: bool = False,
    seeds: int = SEEDS,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Usefulness:
    """Trains the same small classifier on real images, on generated ones, and on both, for each of `seeds`.

    All take as many steps with as many images, of 64 pixels at most and shifted a little; with both, half of each
    batch is generated. `flips` mirrors images while training, where left and right are alike. `progress` gets the
    steps done and in all. Raises `UserError` for fewer than two classes or seeds, for no images, for a class with
    fewer than two held-out images, and where a loss is not finite.
    """
    check(real, generated, held_out, classes, seeds)
    kinds = {"real": [real], "generated": [generated], "both": [real, generated]}
    right: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    where, total, done = torch.device(device), seeds * len(kinds) * steps, 0

    def each() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    for seed in range(seeds):
        for kind, sets in kinds.items():
            network = trained(sets, len(classes), seed, steps, flips, where, each)
            right[kind].append(predicted(network, held_out.images, where) == held_out.labels)
    of = {kind: np.stack(found).astype(float) for kind, found in right.items()}
    gain = accuracy(of["both"] - of["real"], held_out.labels, least=-1)
    return Usefulness(
        verdict=verdict(gain.balanced),
        **{kind: accuracy(found, held_out.labels) for kind, found in of.items()},
        gain=gain,
        num_real=len(real.images),
        num_generated=len(generated.images),
        num_held_out=len(held_out.images),
        seeds=seeds,
        steps=steps,
    )


def check(real: Labelled, generated: Labelled, held_out: Labelled, classes: Sequence[str], seeds: int) -> None:
    """Raises `UserError` where the classifiers could not be trained or tested."""
    if seeds < 2:
        raise UserError("1 seed has no spread to take an interval from: two are needed, and five are better")
    if len(classes) < 2:
        raise UserError(f"whether samples are of use is seen by telling classes apart, and here are {len(classes)}")
    for name, some in (("real", real), ("generated", generated)):
        if not len(some.images):
            raise UserError(f"there are no {name} images to train a classifier on")
    for some in (real, generated, held_out):
        if some.images.shape[1:] != real.images.shape[1:]:
            raise ValueError(f"images are {some.images.shape[1:]} here and {real.images.shape[1:]} there")
        if len(some.labels) and not 0 <= some.labels.min() <= some.labels.max() < len(classes):
            raise ValueError(f"labels {some.labels.min()} to {some.labels.max()}, and {len(classes)} classes")
    counts = np.bincount(held_out.labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise UserError(
                f"class '{name}' has {count} held-out images, and two are needed to test on: train with more "
                "--data.held-out"
            )


def accuracy(right: np.ndarray, labels: np.ndarray, least: float = 0) -> Accuracy:
    """The mean of `[seeds, N]`, 1 where a classifier is right, or of differences: of all, and of classes."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return Accuracy(interval(right, [np.arange(len(labels))], least), interval(right, classes, least))


def interval(right: np.ndarray, groups: Sequence[np.ndarray], least: float) -> Estimate:
    """The mean over groups of images of their means of `[seeds, N]`, with a 95% t-interval within `least` to 1.

    Seeds and images both vary, each taken as drawn from many: the variances of the seeds' values and of the
    images' means add up, as those of readers and cases where physicians read X-rays (Obuchowski and Rockette 1995),
    with the degrees of freedom of Satterthwaite 1946. Seeds alone would call a single image a difference. Where all
    images of a group agree, its variance is that of the rule of three, 3 / N being the end of an interval around
    none: for each group by its own N, since two images that agree say little however many others there are.
    """
    seeds = np.mean([right[:, group].mean(1) for group in groups], axis=0)
    images = [right[:, group].mean(0) for group in groups]
    of_seeds = seeds.var(ddof=1) / len(seeds)
    of_images = [some.var(ddof=1) / len(some) / len(groups) ** 2 for some in images]
    least_of_images = [(1.5 / len(some) / len(groups)) ** 2 for some in images]
    by_images = sum(max(part, floor) for part, floor in zip(of_images, least_of_images, strict=True))
    variance, value = float(of_seeds + by_images), float(seeds.mean())
    freedom = of_seeds**2 / (len(seeds) - 1)
    freedom += sum(part**2 / (len(some) - 1) for part, some in zip(of_images, images, strict=True))
    reach = t_quantile(0.975, variance**2 / max(float(freedom), 1e-300)) * variance**0.5
    return Estimate(value, max(value - reach, least), min(value + reach, 1.0))


def verdict(gain: Estimate) -> Verdict:
    """What a gain and its interval say: where a gain of a point is ruled out, the samples do not help."""
    if gain.low > 0:
        return "help"
    if gain.high < 0:
        return "harm"
    return "do not help" if gain.high < WORTH else "cannot be told"
