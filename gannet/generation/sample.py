"""Files of images from a trained generator, all of them or those that D takes for real."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.files import write_with
from gannet.generation.sampler import Sampler, check_num, in_turn
from gannet.images import class_columns, grid, png, side_by_side, to_pil

BATCH = 64
HOPELESS_AFTER = 2000  # images drawn
HOPELESS_RATE = 0.002  # of them kept


@dataclass(frozen=True)
class Sample:
    """One image or clip: number within the seed, class, pixels uint8 `[C, R, R]` or `[frames * C, R, R]`."""

    number: int
    label: int
    image: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """What was written, and out of how many."""

    files: list[Path]
    num: int
    num_drawn: int
    what: str = "images"


def samples(
    G: Sampler, seed: int, label: int | None, min_realness: float | None, equally: bool, batch: int
) -> Iterator[tuple[list[Sample], np.ndarray]]:
    """Batch after batch, without end: those of the batch that were kept, and the ratings of all `[batch]` if asked for.

    `equally` goes through the classes in turn, however often each was in the data.
    """
    D = G.discriminator() if min_realness is not None else None
    if D and not D.is_classifier:
        raise UserError(
            "this run's D gives no probabilities, so there is no realness to ask for: leave --min-realness out"
        )
    for first in count(step=batch):
        labels = in_turn(first, batch, len(G.classes)) if equally else G.label_numbers(batch, label, first)
        c = G.one_hot(labels)
        x = G.images(G.z(seed, first, batch), c, first)
        ratings = D.realness(x, c).cpu().numpy() if D else np.ones(batch)
        images = G.to_uint8(x)
        kept = np.flatnonzero(ratings >= (min_realness or 0.0))
        yield [Sample(first + int(i), int(labels[i]), images[i]) for i in kept], ratings


def draw(
    G: Sampler,
    num: int,
    seed: int = 0,
    label: int | str | None = None,
    per_class: bool = False,
    min_realness: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    equally: bool = False,
) -> tuple[list[Sample], int]:
    """`num` samples (of each class with `per_class`), and how many were drawn to have them.

    With `equally` they go through the classes in turn, else as `Sampler.label_numbers`.

    Raises `UserError` where so few are kept that it would not end, and for more than a million.
    """
    number = None if label is None else G.label_number(label)
    wanted = dict.fromkeys(range(len(G.classes)), num) if per_class else {-1: num}
    if per_class and number is not None:
        raise UserError("--per-class takes every class and --label one: leave one of them out")
    if per_class and not G.classes:
        raise UserError("this generator was trained without labels: leave --per-class out")
    total, chosen, ratings = sum(wanted.values()), [], np.empty(0)
    check_num(total, 1, "--per-class times the classes" if per_class else "--num")
    batch = BATCH if min_realness is not None else min(BATCH, total)
    for kept, rated in samples(G, seed, number, min_realness, number is None and (equally or per_class), batch):
        ratings = np.concatenate([ratings, rated])
        num_drawn = len(ratings)
        for sample in kept:
            key = sample.label if per_class else -1
            if wanted[key]:
                wanted[key] -= 1
                chosen.append(sample)
        if progress:
            progress(len(chosen), total)
        if len(chosen) == total:
            last = chosen[-1].number + 1
            return chosen, num_drawn if min_realness is not None else last
        if min_realness is not None and num_drawn >= HOPELESS_AFTER and len(chosen) < HOPELESS_RATE * num_drawn:
            reached = np.sort(ratings)[-min(total, num_drawn)]
            raise UserError(
                f"D rates only {len(chosen)} of {num_drawn:,} images at {min_realness} or more: {total} of them have"
                f" --min-realness {int(reached * 100) / 100:g}"
            )
    raise AssertionError("samples never end")


def write_files(G: Sampler, chosen: list[Sample], seed: int, out: Path) -> list[Path]:
    """One PNG for each sample, named by seed, number and class."""
    files = []
    for sample in chosen:
        path = out / f"{file_name(G, sample, seed)}.png"
        data = png(to_pil(sample.image))
        write_with(path, lambda file, data=data: file.write(data))
        files.append(path)
    return files


def write_grid(G: Sampler, chosen: list[Sample], out: Path, beside_real: bool = False) -> list[Path]:
    """All samples in one PNG; a column for each class where that comes out even. Of clips the frames are in a row.

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
    write_with(out, lambda file: file.write(png(picture)))
    return [out]


def file_name(G: Sampler, sample: Sample, seed: int) -> str:
    """Seed, number and class, without an extension."""
    name = f"_{safe(G.classes[sample.label])}" if G.classes else ""
    return f"seed{seed}_{sample.number:06d}{name}"


def safe(name: str) -> str:
    """A class name as a part of a file name."""
    return "".join(ch if ch.isalnum() or ch in "-+" else "_" for ch in name)
