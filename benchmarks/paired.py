"""A plain loop and Gannet's in one process, in turn, so that both have the same machine."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from gannet.config import Recipe
from gannet.data.dataset import Dataset
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine, kept_memory
from gannet.training.loop import Training, iterate


def training_of(recipe: Recipe, dataset: Dataset, precision: str) -> Training:
    return build_training(completed(recipe), dataset, Engine(torch.device("cpu"), precision))


def take_weights(networks: Mapping[str, nn.Module], training: Training) -> None:
    """Gives the networks what Gannet's of the same names start from, in the order of the layers."""
    for name, network in networks.items():
        for target, value in zip(network.parameters(), training.networks[name].parameters(), strict=True):
            target.data.copy_(value.data)


def seconds_of(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def alternate(loop: str, step: Callable[[], object], recipe: Recipe, dataset: Dataset, pairs: int) -> None:
    """Times the plain loop's step and Gannet's in each precision in turn; prints medians, and those of the ratios.

    Each plays two steps, of which the second is timed: neither pays for the other's memory.
    """
    ours = {name: training_of(recipe, dataset, name) for name in ("float32", "bfloat16")}

    def gannet_step(training: Training) -> float:
        with kept_memory(torch.device("cpu")):
            iterate(training)
            return seconds_of(lambda: iterate(training))

    times: dict[str, list[float]] = {loop: [], **{name: [] for name in ours}}
    for pair in range(pairs + 1):  # the first is not counted
        for name, seconds in times.items():
            if name == loop:
                step()
            last = seconds_of(step) if name == loop else gannet_step(ours[name])
            if pair:
                seconds.append(last)
    for name, seconds in times.items():
        ratios = [theirs / mine for theirs, mine in zip(times[loop], seconds, strict=True)]
        speed = recipe.train.batch / statistics.median(seconds)
        print(
            f"  {name:<10} {statistics.median(seconds):.3f} s a step, {speed:.3g} images a second,"
            f" {statistics.median(ratios):.2f} times the {loop} (from {min(ratios):.2f} to {max(ratios):.2f})"
        )
