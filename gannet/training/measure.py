"""How fast a recipe trains here: a few iterations on a copy, in each precision that there is."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gannet.config import Recipe
from gannet.data.dataset import Dataset
from gannet.errors import one_line
from gannet.training.build import build_training
from gannet.training.engine import Engine, kept_memory
from gannet.training.loop import Training, iterate
from gannet.training.schedule import in_kimg

MIN_GAIN = 1.1  # bfloat16 has to be this much faster, or float32 stays


@dataclass(frozen=True)
class Speed:
    """Seconds of one iteration, by precision; which one was chosen, and why."""

    seconds: dict[str, float]
    precision: str
    why: str
    images_per_iteration: int
    first_seconds: dict[str, float]
    """Those of the iterations of the first `first_nimg` images, in which not all players play yet."""
    first_nimg: float = 0.0

    def seconds_for(self, nimg: float) -> float:
        """How long the first `nimg` images of a run take."""
        first = min(nimg, self.first_nimg)
        each, each_later = (s[self.precision] / self.images_per_iteration for s in (self.first_seconds, self.seconds))
        return first * each + (nimg - first) * each_later

    def images_in(self, seconds: float) -> float:
        """The images that a run sees in its first so many seconds."""
        num = seconds * self.images_per_iteration / self.first_seconds[self.precision]
        if num <= self.first_nimg:
            return num
        left = seconds - self.seconds_for(self.first_nimg)
        return self.first_nimg + left * self.images_per_iteration / self.seconds[self.precision]


def measure(recipe: Recipe, dataset: Dataset, device: torch.device, allow_code: bool = False) -> Speed:
    """Times some iterations of the recipe on the device, on networks of its own.

    With precision `auto` it tries float32 and bfloat16, and takes bfloat16 where it pays: a device
    may have it and emulate it.
    """
    asked = recipe.train.precision
    recipe = in_kimg(recipe, 1000, 1000)  # any length: what moves takes the same time everywhere
    seconds, first, images, begins, refused = {}, {}, 0, 0.0, ""
    for precision in ["float32", "bfloat16"] if asked == "auto" else [asked]:
        try:
            training = build_training(recipe, dataset, Engine(device, precision), allow_code)
            begins = 1000 * training.game.start_kimg
            if begins:
                first[precision] = time_iterations(training)
                training.cur_nimg = math.ceil(begins)
            seconds[precision] = time_iterations(training)
            images = training.game.num_batches * recipe.train.batch
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if precision == "float32" or asked != "auto":
                raise
            refused = one_line(error)
    precision, why = chosen(seconds, asked, refused)
    return Speed(seconds, precision, why, images, first or seconds, begins)


def chosen(seconds: Mapping[str, float], asked: str, refused: str) -> tuple[str, str]:
    """The precision that a run takes, and why."""
    if asked != "auto":
        return asked, "as asked"
    if "bfloat16" not in seconds:
        return "float32", f"bfloat16 does not run here ({refused})"
    gain = seconds["float32"] / seconds["bfloat16"]
    if gain >= MIN_GAIN:
        return "bfloat16", f"measured {gain:.1f} times as fast as float32 here"
    if gain < 1:
        return "float32", f"bfloat16 takes {1 / gain:.2f} times as long here"
    return "float32", f"bfloat16 is no more than {gain:.1f} times as fast here, too little for its fewer digits"


def time_iterations(training: Training, seconds: float = 1.5, at_least: int = 3) -> float:
    """The mean of some iterations, with the penalties that are due in them; the first is not counted."""
    with kept_memory(training.engine.device):
        iterate(training)
        training.engine.wait()
        num, start = 0, time.perf_counter()
        while num < at_least or time.perf_counter() - start < seconds:
            iterate(training)
            training.engine.wait()
            num += 1
        return (time.perf_counter() - start) / num
