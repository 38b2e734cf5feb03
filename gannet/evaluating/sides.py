"""What is measured and what it is measured against: a run's G or a folder of images, and real images."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from gannet.config import Data, Recipe
from gannet.data.cache import cache_folder
from gannet.data.dataset import Dataset, opened, prepare
from gannet.data.pool import Progress
from gannet.data.scan import Scan, scan
from gannet.data.sources import Source, shown
from gannet.display import counted
from gannet.errors import UserError
from gannet.evaluating.reals import MOST_REALS, Images
from gannet.evaluation.estimate import places
from gannet.generation.load import Generator, data_of, load
from gannet.networks.folder import read_network
from gannet.sessions import same_data
from gannet.training.ranks import Ranks

Reals = Literal["trained on", "held out", "given"]


@dataclass(frozen=True)
class Sides:
    """A generator or a folder of images on one side, real images on the other, all of one size."""

    what: str
    """The run or folder that is measured."""
    against: str
    """Reals real images, in words."""
    fake: Generator | Dataset
    real: Dataset
    reals: Reals
    """Reals images of `real` count."""
    grouped: bool = False
    """Whether related images were kept together when some were held out."""
    private: bool = False
    flips: bool = False
    """Whether left and right are alike."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that both sides have; none where they differ."""
        return self.fake.classes if self.fake.classes == self.real.classes else ()

    @property
    def real_labels(self) -> np.ndarray:
        """int64 `[N]`, of the real images that are looked at; -1 where a class was held out altogether."""
        labels = self.real.held_out_labels if self.reals == "held out" else self.real.labels
        return labels[places(len(labels), MOST_REALS)]

    def fake_labels(self, num: int) -> np.ndarray:
        """int64 `[num]`."""
        if isinstance(self.fake, Generator):
            return self.fake.label_numbers(num, None)
        return self.fake.labels[places(len(self.fake.labels), num)]

    def images(self, num: int) -> Images:
        """`num` images of a folder, spread over it."""
        assert isinstance(self.fake, Dataset)
        every, taken = self.fake.images, places(len(self.fake.images), num)
        return lambda start, stop: every[taken[start:stop]]


def of_run(
    path: Path, recipe: Recipe, facts: Mapping[str, Any], reals: Reals, device: torch.device, ranks: Ranks
) -> Sides:
    """A run's G against the images that it was trained on, or those held out. Raises `UserError` where none are."""
    if reals == "held out" and not recipe.data.held_out:
        raise UserError(f"{path} holds no images out: train with --data.held-out 0.1, or leave --reals out")
    G = load(path, device)
    dataset = same_data(recipe, facts, ranks)
    grouped = bool(recipe.data.group_by) or recipe.data.fit == "tiles"
    return Sides(str(path), f"the images {reals}", G, dataset, reals, grouped, recipe.data.private, recipe.data.flip)


def of_generator(
    path: Path, against: str, resolution: int | None, device: torch.device, private: bool, ranks: Ranks
) -> Sides:
    """The G of a run, or one in a folder of its own, against the images at `against`, made alike as its own were."""
    G = load(path, device)
    data = replace(data_of(read_network(G.folder)[0], G.folder), source=against)
    data = replace(data, resolution=resolution or G.resolution)
    source = opened(data, cache_folder())
    data = replace(data, labels=bool(G.classes) and source.classes == G.classes)
    real = decoded(source, data, G.channels, ranks)
    return Sides(str(path), f"the images in {shown(against)}", G, real, "given", private=private)


def of_folders(folder: str, against: str, resolution: int | None, ranks: Ranks) -> Sides:
    """The images in `folder` against those at `against`, all of one size, or brought to `resolution`.

    Transparent ones are laid over white. Raises `UserError` where sizes differ and no `resolution` is given.
    """
    settings = [Data(source=name, resolution=resolution or 1, alpha="white") for name in (folder, against)]
    one, other = sources = [opened(data, cache_folder()) for data in settings]
    if not resolution:
        with progress_of("looking at the images", ranks) as progress:
            found = {data.source: scan(source, progress) for data, source in zip(settings, sources, strict=True)}
        resolution = common_side(found)
    labels = len(one.classes) > 1 and one.classes == other.classes
    fake, real = (
        decoded(source, replace(data, resolution=resolution, labels=labels), 3, ranks)
        for data, source in zip(settings, sources, strict=True)
    )
    return Sides(folder, f"the images in {shown(against)}", fake, real, "given")


def common_side(scans: Mapping[str, Scan]) -> int:
    """The width and height of all images, 1 where none can be read. Raises `UserError` where they differ."""
    readable = [found for found in scans.values() if len(found.unreadable) < found.num]
    sizes = {(found.width[i], found.height[i]) for found in readable for i in (0, 2)}
    (width, height), *more = sorted(sizes) or [(1, 1)]
    if more or width != height:
        differ = " and ".join(f"those in {shown(name)} are {sizes_of(found)}" for name, found in scans.items())
        raise UserError(
            f"the images are not of one square size ({differ}): name the size to which all are brought (their middle "
            "square, bicubic) with --resolution"
        )
    return width


def sizes_of(found: Scan) -> str:
    """The size of the images, or the smallest and the largest."""
    small, large = (f"{found.width[i]}x{found.height[i]}" for i in (0, 2))
    return small if small == large else f"{small} to {large}"


def decoded(source: Source, settings: Data, channels: int, ranks: Ranks) -> Dataset:
    """All images of `source`. Raises `UserError` where one of them cannot be read."""
    name = shown(settings.source)
    with progress_of(f"decoding {name}", ranks) as progress:
        dataset = prepare(source, replace(settings, max_unreadable=1.0), channels, progress)
    if dataset.unreadable:
        first, why = dataset.unreadable[0]
        raise UserError(
            f"{len(dataset.unreadable):,} of the {len(source):,} images in {name} cannot be read, such as {first} "
            f"({why}): mend or remove them, since no number should leave them out in silence"
        )
    return dataset


def progress_of(what: str, ranks: Ranks) -> AbstractContextManager[Progress | None]:
    """A progress bar, of the first rank alone."""
    return counted(what) if ranks.first else nullcontext()
