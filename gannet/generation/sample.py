"""Files of images from a trained generator, all of them or those that a filter keeps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.files import atomic, write_with
from gannet.generation.filter import Filter
from gannet.generation.latents import Latents
from gannet.generation.sampler import Sampler, check_num
from gannet.images import class_columns, encoded, grid, grid_size, side_by_side, to_pil

BATCH = 64
HOPELESS_AFTER = 2000  # images drawn
HOPELESS_RATE = 0.002  # of them kept
WIDEST = 16383  # pixels of a side, in WebP
MOST_PIXELS = 178_956_970  # of the largest picture that Pillow opens; browsers and engines open smaller ones

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


@dataclass
class Drawing:
    """The first `num` samples (of each class with `per_class`) that the filter keeps, made as they are asked for.

    Raises `UserError`, before the first, where so few are kept that it would not end; for more than a million;
    and for more than there are latents.
    """

    latents: Latents
    num: int
    per_class: bool = False
    filter: Filter | None = None
    progress: Callable[[int, int], None] | None = None
    numbers: list[int] = field(default_factory=list)
    """Of those that were made so far."""
    num_drawn: int = 0
    """Out of how many they were, at the end."""

    def __post_init__(self) -> None:
        classes = range(len(self.latents.G.classes))
        self.wanted = dict.fromkeys(classes, self.num) if self.per_class else {-1: self.num}
        self.total = sum(self.wanted.values())
        check_num(self.total, 1, "--per-class times the classes" if self.per_class else "--num")
        there = self.latents.num
        if there is not None and there < self.total:
            raise UserError(f"there are {there:,} latents, and {self.total:,} images were asked for: leave --num out")

    def __iter__(self) -> Iterator[Sample]:
        held: list[Sample] = []  # the few that a hopeless filter keeps too
        enough = min(self.total, HOPELESS_RATE * (HOPELESS_AFTER + BATCH)) if self.filter else 1
        if self.filter and self.per_class:
            enough = self.total  # it may keep none of one class
        for kept, size in samples(self.latents, self.filter, BATCH if self.filter else min(BATCH, self.total)):
            self.num_drawn += size
            held += [sample for sample in kept if self.takes(sample)]
            if self.progress:
                self.progress(len(self.numbers), self.total)
            if len(self.numbers) >= enough:
                yield from held
                held.clear()
            if len(self.numbers) == self.total:
                self.num_drawn = self.numbers[-1] + 1
                return
            few = self.num_drawn >= HOPELESS_AFTER and len(self.numbers) < HOPELESS_RATE * self.num_drawn
            if self.filter and few:
                raise self.filter.hopeless(len(self.numbers), self.num_drawn, self.total)

    def takes(self, sample: Sample) -> bool:
        """Whether such a one is still wanted; then it is counted."""
        key = sample.label if self.per_class else -1
        if not self.wanted[key]:
            return False
        self.wanted[key] -= 1
        self.numbers.append(sample.number)
        return True


def write_files(chosen: Iterable[Sample], out: Path, format: Picture) -> list[Path]:
    """One picture for each sample, by its name, as they come."""
    files = []
    for sample in chosen:
        files.append(out / f"{sample.name}.{format}")
        data = encoded(to_pil(sample.image), format)
        write_with(files[-1], lambda file, data=data: file.write(data))
    return files


def write_array(G: Sampler, chosen: Iterable[Sample], total: int, scale: int, out: Path) -> list[Path]:
    """All samples as one array, uint8 `[N, R, R, C]`, of clips `[N, frames, R, R, C]`: the pixels of the pictures.

    They are written as they come, `total` of them, each enlarged by `scale` before. Four channels are red, green, blue
    and alpha, as in PNG (the colour is not premultiplied).
    """
    side = G.resolution * scale
    shape = (total, *((G.frames,) if G.frames > 1 else ()), side, side, G.channels)
    with atomic(out) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for sample in chosen:
            for image in sample.image.reshape(-1, G.channels, side, side):
                file.write(np.asarray(to_pil(image)).tobytes())
    return [out]


def write_grid(
    G: Sampler, chosen: Sequence[Sample], out: Path, format: Picture = "png", beside_real: bool = False
) -> list[Path]:
    """All samples in one picture; a column for each class where that comes out even. Of clips the frames are in a row.

    With `beside_real` the run's grid of reals stands at the left. Raises `UserError` where there is none.
    """
    images = np.stack([sample.image for sample in chosen])
    picture = grid(images.reshape(-1, G.channels, *images.shape[2:]), grid_columns(G, len(chosen)))
    if beside_real:
        with Image.open(file_of_reals(G)) as left:
            picture = side_by_side(left, picture)
    check_size("grid", *picture.size, format)
    write_with(out, lambda file: file.write(encoded(picture, format)))
    return [out]


def grid_columns(G: Sampler, num: int) -> int:
    """Columns of a grid of so many samples; 0 makes it about square."""
    return G.frames if G.frames > 1 else class_columns(num, len(G.classes))


def file_of_reals(G: Sampler) -> Path:
    """The run's grid of reals. Raises `UserError` where there is none."""
    reals = G.folder.parent / "samples" / "real.png"
    if not reals.exists():
        raise UserError(f"{reals} is not there: leave --beside-real out")
    return reals


def check_grid(G: Sampler, num: int, scale: int, format: str, beside_real: bool) -> None:
    """Raises `UserError` where there can be no grid of so many samples, each enlarged by `scale`."""
    side, still = G.resolution * scale, format
    if G.frames > 1:  # one that moves, and the strips as a picture
        still = "png"
        check_size("grid", *grid_size(num, side, side, class_columns(num, len(G.classes)))[:2], format, ".gif")
    check_size("grid", *grid_size(num * G.frames, side, side, grid_columns(G, num))[:2], still)
    if beside_real:
        file_of_reals(G)


def check_size(what: str, width: int, height: int, format: str = "png", other: str = ".png") -> None:
    """Raises `UserError` where the picture of option `what` is too large to be opened, or for WebP, unlike `other`."""
    if format == "webp" and max(width, height) > WIDEST:
        raise UserError(f"the {what} has {width:,} x {height:,} pixels, too many for WebP: take {other}")
    if width * height > MOST_PIXELS:
        raise UserError(
            f"the {what} has {width:,} x {height:,} pixels, and programs open no picture of more than {MOST_PIXELS:,}:"
            f" make fewer, lower --scale, or leave --{what} out"
        )
