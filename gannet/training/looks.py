"""Looks at a run's samples while it goes on: what no loss says, and a diagnosis needs.

Nothing here moves what trains, nor its random numbers: the loop seeds them before each draw and each loss.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.data.batch import Batch, Loader
from gannet.games.gan import given_channels
from gannet.images import to_float
from gannet.noise import Stream, philox
from gannet.training.engine import reseed
from gannet.training.features import Known, RandomNet, Space, Whitened, above, agreement, told_apart
from gannet.training.loop import Training
from gannet.training.pictures import generate

NUM = 128  # samples, and reals of each group that they are compared with
GROUPS = 4  # of reals
FEWEST = 16  # of a group: with fewer nothing is compared
SEARCHED = 2048  # images at most, among which copies are looked for
MANY = 64  # samples made at once
SATURATED = 0.99  # of the range: tanh has no slope there


class Looks:
    """What is seen of samples beside reals. Where G is given images, they are what it makes of always the same ones.

    Of pairs and of clips that go on it is what G adds that is compared: the target, the frames that come next. Of
    two players that translate there and back it is the way there.
    """

    def __init__(self, t: Training):
        self.t, G = t, t.networks["G"]
        self.goes_on = given_channels(G)
        self.is_given = hasattr(G, "multiple") or self.goes_on > 0
        depth = t.loader.dataset.images.shape[1]
        self.depth = depth // 2 if t.recipe.data.kind == "pairs" else depth - self.goes_on

    def take(self) -> dict[str, float]:
        """The numbers of this moment; at the beginning those of the data too. Empty on every rank but the first."""
        t = self.t
        reseed(t.recipe.seed, -3, t.cur_nimg)
        seen = self.samples()
        ratings = self.of_d(seen) if t.cur_nimg >= 1000 * t.game.start_kimg else {}
        if not t.engine.ranks.first:
            return {}
        found = self.of_data() if t.cur_nimg == 0 else {}
        samples = self.made(seen)
        return found | self.of_pixels(samples) | self.of_features(samples) | ratings

    def samples(self) -> Tensor:
        """Those of the same noise and images each time, as D sees them, in [-1, 1].

        Every rank must call it, as `Gallery.generated`.
        """
        t = self.t
        with t.engine.autocast():
            samplers, mode = t.samplers, t.recipe.samples.mode
            most = t.micro if self.is_given else MANY
            shown = generate(samplers.values(), lambda b: t.game.show(samplers, b), self.batch(), mode, most)
        if not self.is_given:
            return to_float(torch.from_numpy(shown["sample"]))
        parts = (
            [shown["output"]]
            if self.depth == self.t.loader.dataset.images.shape[1]
            else [shown["input"], shown["output"]]
        )
        return to_float(torch.from_numpy(np.concatenate(parts, 1)))

    def batch(self) -> Batch:
        """What G makes samples of."""
        loader, num = self.t.loader, self.num or FEWEST
        z, c = loader.noise(0, num, Stream.GRID), self.labels
        if not self.is_given:
            return Batch(z=z, c=c, x=z[:, :0], a=z[:, :0])
        x = items(loader, num)
        if self.t.recipe.data.kind == "pairs":
            a, x = x.chunk(2, dim=1)
        else:
            a = items(loader.other, num) if loader.other else x[:, :0]
        return Batch(z=z, c=c, x=x, a=a)

    def made(self, x: Tensor) -> Tensor:
        """Of what D sees, that which G has made, or what is real in its place."""
        return x[:, -self.depth :]

    @cached_property
    def labels(self) -> Tensor:
        return self.t.loader.labels(0, self.num or FEWEST)

    @cached_property
    def num(self) -> int:
        """As many as a group of reals has: of clips, which take long, half as many.

        0 where the reals, or what G is given, are too few for two groups.
        """
        loader = self.t.loader
        num = min(NUM // 2 if self.t.recipe.data.kind == "clips" else NUM, len(loader.dataset.images) // 2)
        if loader.other:
            num = min(num, len(loader.other.dataset.images))
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
        features = torch.cat([self.net(self.made(self.t.loader.at(np.sort(some))[0])) for some in self.chosen])
        whitened = Whitened.by(features)
        return Space(whitened, list(whitened(features).split(self.num))) if whitened else None

    @cached_property
    def net(self) -> RandomNet:
        return RandomNet(self.depth)

    @cached_property
    def searched(self) -> np.ndarray:
        """The images among which copies are looked for: all, or some from everywhere."""
        last = len(self.t.loader.dataset.images) - 1
        return np.unique(np.linspace(0, last, SEARCHED).round().astype(int))

    @cached_property
    def known(self) -> Known | None:
        """None where the reals are too few, or all the same, and where G is given images: what it is to make of one
        may well be an image to train on."""
        if not self.num or self.is_given:
            return None
        parts = np.array_split(self.searched, -(-len(self.searched) // NUM))
        return Known.by(torch.cat([self.net(self.t.loader.at(part)[0]) for part in parts]))

    def of_data(self) -> dict[str, float]:
        """How many images, how many of them are others' copies, the classes, and whether these can be told apart."""
        sets = [loader.dataset for loader in (self.t.loader, self.t.loader.other) if loader]
        found = {
            "data images": float(min(len(dataset.images) for dataset in sets)),
            "data distinct": min(num_distinct(dataset.images) / len(dataset.images) for dataset in sets),
        }
        if self.has_classes:
            counts = np.bincount(sets[0].labels, minlength=len(sets[0].classes))
            found |= {"data smallest class": float(counts.min()), "data largest class": float(counts.max())}
            if self.space:
                labels = torch.from_numpy(sets[0].labels[np.sort(self.chosen, 1).flatten()])
                right, chance, deviation = told_apart(torch.cat(self.space.reals), labels)
                found |= {"data classes told": right, "data classes chance": chance, "data classes noise": deviation}
        return found

    @property
    def has_classes(self) -> bool:
        """Whether G is asked for the classes of the data."""
        return self.t.recipe.data.labels and self.t.loader.num_classes > 1

    def of_pixels(self, samples: Tensor) -> dict[str, float]:
        """From where to where pixels go, their mean, and the share that lies at either end."""
        x = self.made(self.reals[0])
        found = {"real low": x.min(), "real high": x.max(), "real mean": x.mean(), "sample mean": samples.mean()}
        found |= {"sample low": samples.min(), "sample high": samples.max()}
        if not self.is_given:  # what is made of images may well begin as black and white as they are
            found["sample saturated"] = (samples.abs() > SATURATED).float().mean()
        return {name: float(value) for name, value in found.items()}

    def of_features(self, samples: Tensor) -> dict[str, float]:
        """Diversity, duplicates, copies, distance to the data and what is left of labels, where they can be had."""
        if self.space is None:
            return {}
        features = self.net(samples.to(self.t.engine.device))
        found = self.space.compare(features)
        if self.known is not None:
            found["copies"] = self.known.copies(features)
            if self.has_classes:
                found |= self.of_classes(self.known, features)
        return found

    def of_classes(self, known: Known, features: Tensor) -> dict[str, float]:
        """How much more often than by chance the class of the nearest real is the one that a sample was asked for."""
        labels = torch.from_numpy(self.t.loader.dataset.labels[self.searched])
        asked = self.labels.argmax(1).cpu()
        sample, noise = agreement(asked, labels[known.nearest(features)], self.t.loader.num_classes)
        return {
            "class agreement real": self.agreement_of_reals,
            "class agreement sample": sample,
            "class agreement noise": noise,
        }

    @cached_property
    def agreement_of_reals(self) -> float:
        """How far the classes can be seen at all: the same for reals and the nearest other one."""
        labels = torch.from_numpy(self.t.loader.dataset.labels[self.searched])
        return agreement(labels, labels[self.known.nearest()], self.t.loader.num_classes)[0] if self.known else 0.0

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


def items(loader: Loader, num: int) -> Tensor:
    """Items that are always the same, from everywhere: of those held out where they suffice, else of all."""
    dataset = loader.dataset
    images = dataset.held_out if len(dataset.held_out) >= num else dataset.images
    chosen = np.linspace(0, len(images) - 1, num).round().astype(int)
    return to_float(torch.from_numpy(images[chosen]).to(loader.device))


def num_distinct(images: np.ndarray) -> int:
    """How many of the images `[N, C, R, R]` are no copy of another, to the bit.

    A row from the middle tells nearly all of them apart; whole images are read only where that is the same.
    """
    middle = images.shape[2] // 2
    by_row: dict[bytes, list[int]] = {}
    for i in range(len(images)):
        by_row.setdefault(digest(images[i, :, middle]), []).append(i)
    return sum(len({digest(images[i]) for i in alike}) if len(alike) > 1 else 1 for alike in by_row.values())


def digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
