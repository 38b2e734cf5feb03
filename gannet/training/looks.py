"""Looks at a run's samples while it goes on: what no loss says, and a diagnosis needs.

Nothing here moves what trains, nor its random numbers: the loop seeds them before each draw and each loss.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.data.batch import Batch
from gannet.images import to_float
from gannet.networks import TRANSLATORS
from gannet.noise import Stream, philox
from gannet.training.engine import reseed
from gannet.training.features import (
    Known,
    RandomNet,
    Whitened,
    above,
    effective_number,
    energy_distance,
    nearer_than_most,
    to_nearest,
    told_apart,
)
from gannet.training.loop import Training
from gannet.training.pictures import generate

NUM = 128  # samples, and reals of each group that they are compared with
GROUPS = 4  # of reals
FEWEST = 16  # of a group: with fewer nothing is compared
SEARCHED = 2048  # images at most, among which copies are looked for
ALIKE = 0.02  # of reals are nearer to another one than what counts as a duplicate
SATURATED = 0.99  # of the range: tanh has no slope there


class Looks:
    """What is seen of samples beside reals, of those games alone whose G makes images from noise."""

    def __init__(self, t: Training):
        recipe = t.recipe
        self.t = t
        self.apply = recipe.data.kind == "images" and recipe.G.name not in TRANSLATORS.rows

    def take(self) -> dict[str, float]:
        """The numbers of this moment; at the beginning those of the data too. Empty on every rank but the first."""
        t = self.t
        reseed(t.recipe.seed, -3, t.cur_nimg)
        samples = self.samples()
        ratings = self.of_d(samples)
        if not t.engine.ranks.first:
            return {}
        found = self.of_data() if t.cur_nimg == 0 else {}
        return found | self.of_pixels(samples) | self.of_features(samples) | ratings

    def samples(self) -> Tensor:
        """Those of the same noise each time, in [-1, 1]. Every rank must call it, as `Gallery.generated`."""
        t, num = self.t, self.num or FEWEST
        z, c = t.loader.noise(0, num, Stream.GRID), self.labels
        batch = Batch(z=z, c=c, x=z[:, :0], a=z[:, :0])
        with t.engine.autocast():
            samplers = t.samplers
            shown = generate(samplers.values(), lambda b: t.game.show(samplers, b), batch, t.recipe.samples.mode)
        return to_float(torch.from_numpy(shown["sample"]))

    @cached_property
    def labels(self) -> Tensor:
        return self.t.loader.labels(0, self.num or FEWEST)

    @cached_property
    def num(self) -> int:
        """As many as a group of reals has; 0 where the reals are too few for two groups."""
        num = min(NUM, len(self.t.loader.dataset.images) // 2)
        return num if num >= FEWEST else 0

    @cached_property
    def chosen(self) -> np.ndarray:
        """The reals that samples are compared with, in groups `[groups, num]`, none twice."""
        size = len(self.t.loader.dataset.images)
        shuffled = np.argsort(philox(self.t.recipe.seed, Stream.LOOKS).random_raw(size), kind="stable")
        num = self.num or min(FEWEST, size)
        groups = min(GROUPS, size // num)
        return shuffled[: groups * num].reshape(groups, num)

    @cached_property
    def reals(self) -> tuple[Tensor, Tensor]:
        """The first group's images, and their labels as D sees them."""
        return self.t.loader.at(np.sort(self.chosen[0]))

    @cached_property
    def space(self) -> "Space | None":
        """None where the reals are too few, or all the same."""
        if not self.num:
            return None
        features = torch.cat([self.net(self.t.loader.at(np.sort(some))[0]) for some in self.chosen])
        whitened = Whitened.by(features)
        return Space(whitened, list(whitened(features).split(self.num))) if whitened else None

    @cached_property
    def net(self) -> RandomNet:
        return RandomNet(self.t.loader.dataset.images.shape[1])

    @cached_property
    def searched(self) -> np.ndarray:
        """The images among which copies are looked for: all, or some from everywhere."""
        last = len(self.t.loader.dataset.images) - 1
        return np.unique(np.linspace(0, last, SEARCHED).round().astype(int))

    @cached_property
    def known(self) -> Known | None:
        """None where the reals are too few, or all the same."""
        if not self.num:
            return None
        parts = np.array_split(self.searched, -(-len(self.searched) // NUM))
        return Known.by(torch.cat([self.net(self.t.loader.at(part)[0]) for part in parts]))

    def of_data(self) -> dict[str, float]:
        """How many images, how many of them are others' copies, the classes, and whether these can be told apart."""
        dataset = self.t.loader.dataset
        different = {dataset.images[i].tobytes() for i in self.searched}
        found = {"data images": float(len(dataset.images)), "data distinct": len(different) / len(self.searched)}
        if dataset.classes and self.t.recipe.data.labels:
            counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
            found |= {"data smallest class": float(counts.min()), "data largest class": float(counts.max())}
            if self.space:
                labels = torch.from_numpy(np.concatenate([dataset.labels[np.sort(some)] for some in self.chosen]))
                right, chance, deviation = told_apart(torch.cat(self.space.reals), labels)
                found |= {"data classes told": right, "data classes chance": chance, "data classes noise": deviation}
        return found

    def of_pixels(self, samples: Tensor) -> dict[str, float]:
        """From where to where pixels go, their mean, and the share that lies at either end."""
        x = self.reals[0]
        found = {"real low": x.min(), "real high": x.max(), "real mean": x.mean(), "sample mean": samples.mean()}
        found |= {"sample low": samples.min(), "sample high": samples.max()}
        found["sample saturated"] = (samples.abs() > SATURATED).float().mean()
        return {name: float(value) for name, value in found.items()}

    def of_features(self, samples: Tensor) -> dict[str, float]:
        """Diversity, duplicates, copies and distance to the data, where they can be had."""
        if self.space is None or self.known is None:
            return {}
        features = self.net(samples.to(self.t.engine.device))
        return {**self.space.compare(features), "copies": self.known.copies(features)}

    @torch.no_grad()
    def of_d(self, samples: Tensor) -> dict[str, float]:
        """D's logits of reals that it trains on, of held-out ones and of samples, none of them augmented.

        Every rank must call it.
        """
        t, loader = self.t, self.t.loader
        D = t.networks["D"]
        groups = {"real": self.reals, "sample": (samples.to(t.engine.device), self.labels)}
        known = np.flatnonzero(loader.dataset.held_out_labels >= 0)
        if len(known):
            some = known[np.unique(np.linspace(0, len(known) - 1, NUM).round().astype(int))]
            x = to_float(torch.from_numpy(loader.dataset.held_out[some])).to(t.engine.device)
            groups["held-out"] = x, loader.one_hot(loader.dataset.held_out_labels[some])
        with batch_by_batch(D), t.engine.autocast():
            logits = {name: self.rated(D, x, c) for name, (x, c) in groups.items()}
        found = {f"D of {name}": float(value.mean()) for name, value in logits.items()}
        found["real above sample"] = above(logits["real"], logits["sample"])
        if "held-out" in logits:
            found["real above held-out"] = above(logits["real"], logits["held-out"])
        return found

    def rated(self, D: nn.Module, x: Tensor, c: Tensor) -> Tensor:
        """Logits, some at a time, so that memory suffices where a batch's does."""
        num = -(-len(x) // self.t.micro)
        parts = zip(x.tensor_split(num), c.tensor_split(num), strict=True)
        return torch.cat([D(*some).reshape(len(some[0]), -1).mean(1).double().cpu() for some in parts])


@contextmanager
def batch_by_batch(D: nn.Module) -> Iterator[None]:
    """D in eval mode, but for batch norm, which takes each batch's own statistics as while D learns; left as it was.

    The running statistics are of reals and fakes mixed, and rate neither as D does (docs/quality.md).
    """
    norms = [module for module in D.modules() if isinstance(module, _BatchNorm)]
    buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
    before, was_training = [buffer.clone() for buffer in buffers], D.training
    D.eval()
    for norm in norms:
        norm.train()
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        D.train(was_training)


class Space:
    """Where samples are compared with groups of reals."""

    def __init__(self, whitened: Whitened, reals: list[Tensor]):
        self.whitened, self.reals = whitened, reals
        first = torch.pdist(reals[0])
        self.width = float(first.median()) / 2
        self.number = float(np.mean([effective_number(some, self.width) for some in reals])) if self.width > 0 else 0.0
        self.nearest = min(nearer_than_most(some, ALIKE) for some in reals)
        between = [energy_distance(reals[i], reals[k]) for i in range(len(reals)) for k in range(i)]
        self.apart = float(np.mean(between))

    def compare(self, features: Tensor) -> dict[str, float]:
        """Each relative to what as many reals have, whose diversity and distance are 1."""
        points = self.whitened(features)
        found = {"duplicates": float((to_nearest(points) < self.nearest).double().mean())}
        if self.width > 0:
            found["diversity"] = effective_number(points, self.width) / self.number
        if self.apart > 0:
            far = float(np.mean([energy_distance(points, some) for some in self.reals]))
            found["sample distance"] = far / self.apart
        return found
