"""Files of images from a trained generator, all of them or those that a filter keeps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.files import write_with
from gannet.generation.filter import Filter
from gannet.generation.latents import Latents
from gannet.generation.sampler import Sampler, check_num
from gannet.images import class_columns, encoded, grid, side_by_side, to_pil

BATCH = 64
HOPELESS_AFTER = 2000  # images drawn
HOPELESS_RATE = 0.002  # of them kept
WIDEST = 16383  # pixels of a side, in WebP

Picture = Literal["png", "webp"]


@dataclass(frozen=True)
class Sample:
    """One image or clip: its number, class, name, and pixels uint8 `[C, R, R]` or `[frames * C, R, R]`."""

    number: int
    label: int
    name: str
    """With the class at its end, where there are classes."""
    image: np.ndarray

    def enlarged(self, scale: int) -> "Sample":
        """With each pixel as a square of `scale` by `scale`."""
        return self if scale == 1 else replace(self, image=self.image.repeat(scale, axis=1).repeat(scale, axis=2))


@dataclass(frozen=True)
class Drawn:
    """What was written, and out of how many."""

    files: list[Path]
    num: int
    num_drawn: int
    what: str
    place: Path
    """The folder of the files, or the file itself where there is one."""

    @property
    def acceptance(self) -> float:
        """The share that was kept, from 0 to 1."""
        return self.num / self.num_drawn


def samples(latents: Latents, filter: Filter | None, batch: int) -> Iterator[tuple[list[Sample], int]]:
    """Batch after batch, to the end of the latents if there is one: what was kept, and how many were drawn for it."""
    G, ends = latents.G, latents.num
    for first in count(step=batch):
        size = batch if ends is None else min(batch, ends - first)
        if size <= 0:
            return
        labels = latents.labels(first, size)
        x, c = latents.images(first, size)
        kept = np.flatnonzero(filter.keeps(x, c, first)) if filter else np.arange(size)
        images = G.to_uint8(x)
        found = []
        for i in kept:
            number, label = first + int(i), int(labels[i])
            found.append(Sample(number, label, latents.name_of(number, label), images[i]))
        yield found, size


def draw(
    latents: Latents,
    num: int,
    per_class: bool = False,
    filter: Filter | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Sample], int]:
    """The first `num` samples (of each class with `per_class`) that the filter keeps, and how many were drawn for them.

    Raises `UserError` where so few are kept that it would not end, and for more than a million.
    """
    num_classes = len(latents.G.classes)
    wanted = dict.fromkeys(range(num_classes), num) if per_class else {-1: num}
    total, chosen, num_drawn = sum(wanted.values()), [], 0
    check_num(total, 1, "--per-class times the classes" if per_class else "--num")
    for kept, size in samples(latents, filter, BATCH if filter else min(BATCH, total)):
        num_drawn += size
        for sample in kept:
            key = sample.label if per_class else -1
            if wanted[key]:
                wanted[key] -= 1
                chosen.append(sample)
        if progress:
            progress(len(chosen), total)
        if len(chosen) == total:
            return chosen, chosen[-1].number + 1
        if filter and num_drawn >= HOPELESS_AFTER and len(chosen) < HOPELESS_RATE * num_drawn:
            raise filter.hopeless(len(chosen), num_drawn, total)
    raise UserError(f"there are {num_drawn:,} latents, and {total:,} images were asked for: leave --num out")


def write_files(chosen: list[Sample], out: Path, format: Picture) -> list[Path]:
    """One picture for each sample, by its name."""
    files = []
    for sample in chosen:
        files.append(out / f"{sample.name}.{format}")
        data = encoded(to_pil(sample.image), format)
        write_with(files[-1], lambda file, data=data: file.write(data))
    return files


def write_array(G: Sampler, chosen: list[Sample], out: Path) -> list[Path]:
    """All samples as one array, uint8 `[N, R, R, C]`, of clips `[N, frames, R, R, C]`: the pixels of the pictures.

    Four channels are red, green, blue and alpha, as in PNG (the colour is not premultiplied).
    """
    height, width = chosen[0].image.shape[1:]
    each = [image for sample in chosen for image in sample.image.reshape(-1, G.channels, height, width)]
    pixels = np.stack([np.asarray(to_pil(image)) for image in each])
    shape = (G.frames, height, width) if G.frames > 1 else (height, width)
    write_with(out, lambda file: np.save(file, pixels.reshape(len(chosen), *shape, G.channels)))
    return [out]


def write_grid(
    G: Sampler, chosen: list[Sample], out: Path, format: Picture = "png", beside_real: bool = False
) -> list[Path]:
    """All samples in one picture; a column for each class where that comes out even. Of clips the frames are in a row.

    With `beside_real` the run's grid of reals stands at the left. Raises `UserError` where there is none.
    """
    images, columns = np.stack([sample.image for sample in chosen]), class_columns(len(chosen), len(G.classes))
    if G.frames > 1:
        images, columns = images.reshape(-1, G.channels, *images.shape[2:]), G.frames
    picture = grid(images, columns)
    if beside_real:
        reals = G.folder.parent / "samples" / "real.png"
        if not reals.exists():
            raise UserError(f"{reals} is not there: leave --beside-real out")
        with Image.open(reals) as left:
            picture = side_by_side(left, picture)
    if format == "webp" and max(picture.size) > WIDEST:
        raise UserError(f"the grid has {picture.width:,} x {picture.height:,} pixels, too many for WebP: take .png")
    write_with(out, lambda file: file.write(encoded(picture, format)))
    return [out]
