"""How fast a recipe trains here: a few iterations on a copy, in each precision that there is."""

import time
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

    @property
    def images_per_second(self) -> float:
        return self.images_per_iteration / self.seconds[self.precision]


def measure(recipe: Recipe, dataset: Dataset, device: torch.device, allow_code: bool = False) -> Speed:
    """Times some iterations of the recipe on the device, on networks of its own.

    With precision `auto` it tries float32 and bfloat16, and takes bfloat16 where it pays: a device
    may have it and emulate it.
    """
    asked = recipe.train.precision
    recipe = in_kimg(recipe, 1000, 1000)  # any length: what moves takes the same time everywhere
    seconds, images, refused = {}, 0, ""
    for precision in ["float32", "bfloat16"] if asked == "auto" else [asked]:
        try:
            training = build_training(recipe, dataset, Engine(device, precision), allow_code)
            seconds[precision] = time_iterations(training)
            images = training.game.num_batches * recipe.train.batch
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if precision == "float32" or asked != "auto":
                raise
            refused = one_line(error)
    if asked != "auto":
        return Speed(seconds, asked, "as asked", images)
    if "bfloat16" not in seconds:
        return Speed(seconds, "float32", f"bfloat16 does not run here ({refused})", images)
    gain = seconds["float32"] / seconds["bfloat16"]
    if gain >= MIN_GAIN:
        return Speed(seconds, "bfloat16", f"measured {gain:.1f} times as fast as float32 here", images)
    why = f"bfloat16 measured {gain:.1f} times as fast here, too little to give up digits"
    return Speed(seconds, "float32", why, images)


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
