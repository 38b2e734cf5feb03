"""Which recipe, resolution and budget suit a person's data on their device, and why."""

import math
from dataclasses import dataclass

from gannet.config import Recipe, changed
from gannet.recipes.best import best
from gannet.recipes.small import small

SIZES = (16, 32, 64, 128, 256)
CPU_LARGEST, GPU_LARGEST = 64, 128
FEW = 500  # images; of 300, a start from another run's weights gave far more than 60 kimg from nothing


@dataclass(frozen=True)
class Facts:
    """What the choice rests on."""

    num: int
    side: int
    """Shorter side of the median image, in pixels."""
    classes: int
    pixel_art: bool
    dark_border: bool
    """The images' edges are black or transparent, so that black bars add nothing new."""
    drawn: bool
    """Gannet's own shapes."""
    accelerated: bool
    """The device is more than a CPU."""


@dataclass(frozen=True)
class Choice:
    recipe: Recipe
    why: list[str]


def pick(facts: Facts) -> Choice:
    """A recipe for the data, ready to train, and a reason for each decision."""
    recipe, why = best() if facts.accelerated else small(), []
    largest = GPU_LARGEST if facts.accelerated else CPU_LARGEST
    resolution = whole(facts.side, largest) if facts.pixel_art else fitting(facts.side, largest)
    fit = "pad" if facts.side < resolution and (facts.pixel_art or facts.dark_border) else "crop"
    if facts.side > resolution:
        limit = (
            f", the most that pays on {'one GPU' if facts.accelerated else 'a CPU'}" if resolution == largest else ""
        )
        why.append(f"{resolution} pixels: the power of two nearest to the images' {facts.side}{limit}")
    elif facts.side < resolution:
        how = "padded with black" if fit == "pad" else "enlarged"
        why.append(f"{resolution} pixels: the images' {facts.side} are {how}, the networks need a power of two")
    filter_ = "nearest" if facts.pixel_art else "bicubic"
    if facts.pixel_art and not facts.drawn:
        why.append(
            "few colours and hard edges: taken for pixel art and scaled by nearest (--data.filter bicubic if not)"
        )
    labels = facts.classes > 1
    if labels:
        why.append(f"{facts.classes} class folders: trains by label, and samples by label (--data.no-labels if not)")
    if facts.num < FEW:
        few = "--recipe fastgan-fewshot is made for so many"
        help_ = few if facts.accelerated else "--init RUN starts from a run on other images"
        why.append(f"{facts.num} images are few, and samples will be much alike: {help_}")
    recipe = changed(recipe, "data", resolution=resolution, fit=fit, filter=filter_, labels=labels)
    minutes = 2 if facts.drawn else 30 if facts.accelerated else 10
    recipe = changed(recipe, "train", length=f"{minutes} minutes")
    return Choice(recipe, why)


def whole(side: int, largest: int) -> int:
    """The smallest power of two from 16 to `largest` that holds `side`: sprites lose no row."""
    return next((size for size in SIZES if side <= size <= largest), largest)


def fitting(side: int, largest: int) -> int:
    """The power of two from 16 to `largest` whose ratio to `side` is nearest to 1."""
    return min((size for size in SIZES if size <= largest), key=lambda size: abs(math.log(size / side)))
