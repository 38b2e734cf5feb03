"""The grids of a run: which samples they show, and beside which reals."""

import numpy as np
import torch

from gannet.data.batch import Batch
from gannet.games.turn import REAL
from gannet.images import MAX_COLUMNS, class_columns, to_uint8
from gannet.noise import Stream
from gannet.training.loop import Training
from gannet.training.pictures import generate

SHOWN_OF_PAIRS = 3  # pictures: input, output, target


class Gallery:
    """What is shown of a training while it goes on: the same noise, labels and given images each time."""

    def __init__(self, t: Training):
        self.t, dataset = t, t.loader.dataset
        self.channels = dataset.images.shape[1] // t.recipe.data.num_frames
        self.shows_reals = not t.recipe.data.private
        self.num_classes = len(dataset.classes)
        per_row = self.num_classes if 1 < self.num_classes <= MAX_COLUMNS else 1
        self.num = -(-t.recipe.samples.num // per_row) * per_row
        self.columns = class_columns(self.num, self.num_classes)
        self.are_pairs = t.recipe.data.kind == "pairs"

    def batch(self) -> Batch:
        """The noise, labels that go through the classes in turn, and images, if any are held out those."""
        loader, fresh = self.t.loader, self.t.recipe.samples.noise == "fresh"
        z = loader.noise(self.t.iteration * self.num if fresh else 0, self.num, Stream.GRID)
        c = loader.one_hot(np.arange(self.num) % max(self.num_classes, 1))
        a, x = loader.fixed(self.num)
        return Batch(z=z, c=c, x=x, a=a)

    def generated(self) -> tuple[np.ndarray, int]:
        """Pictures uint8 `[M, C, R, R]` and in how many columns they stand.

        What the game shows of a sample stands side by side: also what G was given, and its target, where
        the run may show them. Every rank must call it, since batch norm in `train` mode waits for all of them.
        """
        t = self.t
        with t.engine.autocast():
            samplers = t.samplers
            shown = generate(samplers.values(), lambda b: t.game.show(samplers, b), self.batch(), t.recipe.samples.mode)
        return self.in_rows(np.concatenate([x for name, x in shown.items() if self.shows_reals or name not in REAL], 1))

    def reals(self) -> tuple[np.ndarray, int]:
        """As many reals as a grid has samples, one class a column where it has, and the columns.

        Of pairs they are those that the grid shows, each at the same place.
        """
        if self.are_pairs:
            return self.in_rows(to_uint8(torch.cat(self.t.loader.fixed(self.num), 1)))
        dataset = self.t.loader.dataset
        if self.columns:
            by_class = np.argsort(dataset.labels, kind="stable")
            starts = np.searchsorted(dataset.labels[by_class], np.arange(self.num_classes + 1))
            turn, label = np.divmod(np.arange(self.num), self.num_classes)
            chosen = by_class[(starts[label] + turn % np.maximum(np.diff(starts), 1)[label]) % len(by_class)]
        else:
            chosen = np.unique(np.linspace(0, len(dataset.images) - 1, self.num).round().astype(int))
        return self.in_rows(dataset.images[chosen])

    def in_rows(self, images: np.ndarray) -> tuple[np.ndarray, int]:
        """Images `[N, k * C, R, R]`, of which each holds k pictures, those of one side by side; and the columns."""
        num, depth = images.shape[:2]
        each, columns = depth // self.channels, self.columns
        if each > 1:
            columns = each * max(1, round((num / (SHOWN_OF_PAIRS if self.are_pairs else each)) ** 0.5))
        return images.reshape(num * each, self.channels, *images.shape[2:]), columns
