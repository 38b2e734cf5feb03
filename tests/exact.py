"""Small trainings in float64, where equal mathematics gives equal numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gannet.config import overridden
from gannet.data.batch import Loader
from gannet.noise import Stream
from gannet.plan import random_dataset
from gannet.recipes import recipe
from gannet.training.build import build_training, completed
from gannet.training.ema import EMA
from gannet.training.engine import Engine
from gannet.training.loop import Training
from gannet.training.ranks import ALONE, Ranks

BATCH = 4
SMALL = {"data.resolution": 16, "train.batch": BATCH, "G.z_dim": 5, "G.width": 4, "D.width": 4}
DENSE = {
    "data.resolution": 8,
    "train.batch": BATCH,
    "G": {"name": "mlp", "z_dim": 5, "hidden": [12], "first_norm": False},
    "D": {"name": "mlp", "hidden": [12, 8]},
}


def tiny(settings: dict[str, Any], classes: tuple[str, ...] = (), ranks: Ranks = ALONE) -> Training:
    small = completed(overridden(recipe("dcgan"), settings))
    return build_training(small, random_dataset(small, 3, classes), Engine(torch.device("cpu"), ranks=ranks))


class DoubleLoader(Loader):
    """The same numbers in float64."""

    def at(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        x, c = super().at(chosen)
        return x.double(), c.double()

    def noise(self, start: int, num: int, stream: Stream = Stream.TRAIN) -> Tensor:
        return super().noise(start, num, stream).double()

    def labels(self, start: int, num: int) -> Tensor:
        return super().labels(start, num).double()


def exact(t: Training) -> Training:
    """The training in float64."""
    for network in t.networks.values():
        network.double()
    loader = DoubleLoader(t.loader.dataset, t.loader.settings, t.loader.seed, t.loader.z_dim, t.loader.device)
    averaged = {name: t.networks[name] for name in t.samplers}
    ema = EMA(averaged, t.recipe.ema.half_life_kimg) if t.ema else None
    return Training(t.recipe, t.engine, loader, t.networks, t.game, t.optimizers, ema)


def learn(t: Training, player: str, loss: Tensor) -> None:
    """One step by hand."""
    t.optimizers[player].zero_grad()
    loss.backward()
    t.optimizers[player].step()


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())
