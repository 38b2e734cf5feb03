"""Which z and which class each image has: of a seed, of images that are named, around one of them, or from a file."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gannet.errors import UserError
from gannet.generation.sampler import MOST, Sampler, check_num, hot, in_turn
from gannet.noise import Stream, normal

STRENGTH = 0.5  # how much of a variation is new
NAME = re.compile(r"(?P<seed>\d{1,19})(:(?P<number>\d{1,18}))?", re.ASCII)  # what 64 bits hold

Name = tuple[int, int]
"""An image: its seed, and its number within the seed."""
Names = str | int | Sequence[int | str]
"""Images as a person names them: "3,17:5", or [3, "17:5"]."""


class Latents(ABC):
    """The images that a G is to make, by number: their z, their c, their names.

    They are of the class `label`, or go through the classes in turn (`equally`), or are of the class that their number
    has in the seed.
    """

    num: int | None = None
    """How many there are; None where there is no end of them."""

    def __init__(self, G: Sampler, label: int | None = None, equally: bool = False):
        self.G, self.label, self.equally = G, label, equally

    @abstractmethod
    def z(self, start: int, num: int) -> np.ndarray:
        """z number `start` to `start + num` from N(0, 1), before `--truncation`: float32 `[num, z_dim]`."""

    @abstractmethod
    def name(self, number: int) -> str:
        """What the files of an image are called, without its class."""

    def name_of(self, number: int, label: int) -> str:
        """What the files of an image are called, with its class at the end, where there are classes."""
        return f"{self.name(number)}_{safe(self.G.classes[label])}" if self.G.classes else self.name(number)

    def labels(self, start: int, num: int) -> np.ndarray:
        """Class numbers, int64 `[num]`."""
        if self.equally and self.label is None:
            return in_turn(start, num, len(self.G.classes))
        return self.G.label_numbers(num, self.label, start)

    def c(self, start: int, num: int) -> np.ndarray:
        """float32 `[num, num_classes]`: one-hot, or shares of several classes."""
        return hot(self.labels(start, num), len(self.G.classes))

    def images(self, start: int, num: int) -> tuple[Any, Any]:
        """Images number `start` to `start + num` as G makes them, in [-1, 1], and their c."""
        c = self.G.as_input(self.c(start, num))
        z = self.G.as_input(self.G.within(self.z(start, num)))
        return self.G.images(z, c, self.numbers(start, num)), c

    def numbers(self, start: int, num: int) -> int | Sequence[int]:
        """The first number within the seed, or all of them where they do not follow each other."""
        return start

    def row(self, number: int) -> np.ndarray:
        """What makes an image again, `[1, z_dim + num_classes]`: z, and c beside it."""
        return np.concatenate([self.z(number, 1), self.c(number, 1)], axis=1)


class OfSeed(Latents):
    """The images of a seed, one after another."""

    def __init__(
        self,
        G: Sampler,
        seed: int,
        label: int | None = None,
        equally: bool = False,
        stream: Stream = Stream.SAMPLE,
    ):
        super().__init__(G, label, equally)
        self.seed, self.stream = seed, stream

    def z(self, start: int, num: int) -> np.ndarray:
        return normal(self.seed, self.stream, start, num, self.G.z_dim)

    def name(self, number: int) -> str:
        return f"seed{self.seed}_{number:06d}"


class Named(Latents):
    """The images that are named, each of its own seed and number, and of the class that it has there or is given."""

    def __init__(self, G: Sampler, names: Sequence[Name], classes: Sequence[int] | None = None):
        super().__init__(G)
        self.names, self.num = list(names), len(names)
        own = (int(G.label_numbers(1, None, number)[0]) for _, number in names)
        self.classes = np.fromiter(own if classes is None else classes, np.int64)

    def z(self, start: int, num: int) -> np.ndarray:
        each = [normal(seed, Stream.SAMPLE, i, 1, self.G.z_dim) for seed, i in self.names[start : start + num]]
        return np.concatenate(each)

    def labels(self, start: int, num: int) -> np.ndarray:
        return self.classes[start : start + num]

    def numbers(self, start: int, num: int) -> list[int]:
        return [number for _, number in self.names[start : start + num]]

    def name(self, number: int) -> str:
        seed, i = self.names[number]
        return f"seed{seed}_{i:06d}"


class Around(Latents):
    """An image, as number 0, and others that are like it, of its class.

    Their z is sqrt(1 - s^2) z + s e, with e from N(0, 1) and s the `STRENGTH`, 0.5: it has the distribution of z
    again, and a correlation of 0.87 with the z that it is like.
    """

    def __init__(self, G: Sampler, like: Name, seed: int, label: int | None = None):
        self.of, self.like, self.seed = Named(G, [like], None if label is None else [label]), like, seed
        super().__init__(G, int(self.of.labels(0, 1)[0]) if G.classes else None)

    def z(self, start: int, num: int) -> np.ndarray:
        e = normal(self.seed, Stream.VARIATION, start, num, self.G.z_dim)
        s = np.where(np.arange(start, start + num) > 0, STRENGTH, 0)[:, None]
        return (np.sqrt(1 - s**2) * self.of.z(0, 1) + s * e).astype(np.float32)

    def numbers(self, start: int, num: int) -> list[int]:
        return [self.like[1]] * num

    def name(self, number: int) -> str:
        seed, i = self.like
        return f"like{seed}_{i:06d}_seed{self.seed}_{number:06d}"


class OfFile(Latents):
    """The rows of an array: z `[N, z_dim]`, z with c beside it `[N, z_dim + num_classes]`, or w `[N, layers, w_dim]`.

    Raises `UserError` where G takes no such rows.
    """

    def __init__(self, G: Sampler, rows: np.ndarray, file: Path, label: int | None = None):
        super().__init__(G, label)
        num_classes, self.file = len(G.classes), file
        self.rows, self.num, self.is_w = rows, len(rows), rows.ndim == 3
        self.has_c = rows.shape[1] == G.z_dim + num_classes and num_classes > 0 and not self.is_w
        if not self.is_w and rows.shape[1] != G.z_dim and not self.has_c:
            classes = f", or {G.z_dim + num_classes} with the classes beside them" if num_classes else ""
            raise UserError(f"{file} has rows of {rows.shape[1]} values, and this G takes z of {G.z_dim}{classes}")
        if self.is_w:
            self.check_w()

    def check_w(self) -> None:
        G = self.G
        if not G.shows_w:
            raise UserError(f"{self.file} holds w, and this G takes z: name the run that the w are of")
        sizes = np.shape(G.w(G.z(0, 0, 1), G.one_hot(np.zeros(1, np.int64))))[1:]
        if self.rows.shape[1:] != tuple(sizes):
            raise UserError(
                f"{self.file} holds w of {list(self.rows.shape[1:])}, and this G takes {list(sizes)}:"
                " name the run that the w are of"
            )
        if G.truncation is not None:
            raise UserError(f"{self.file} holds w, which is drawn as it is: leave --truncation out")
        if self.label is not None:
            raise UserError(f"{self.file} holds w, whose class is within: leave --label out")

    def z(self, start: int, num: int) -> np.ndarray:
        return np.ascontiguousarray(self.rows[start : start + num, : self.G.z_dim])

    def labels(self, start: int, num: int) -> np.ndarray:
        if self.has_c and self.label is None:
            return self.rows[start : start + num, self.G.z_dim :].argmax(1)
        return super().labels(start, num)

    def c(self, start: int, num: int) -> np.ndarray:
        if self.has_c and self.label is None:
            return np.ascontiguousarray(self.rows[start : start + num, self.G.z_dim :])
        return super().c(start, num)

    def images(self, start: int, num: int) -> tuple[Any, Any]:
        if not self.is_w:
            return super().images(start, num)
        return self.G.images_of(self.G.as_input(self.rows[start : start + num])), self.G.as_input(self.c(start, num))

    def row(self, number: int) -> np.ndarray:
        return self.rows[number : number + 1] if self.is_w else super().row(number)

    def name_of(self, number: int, label: int) -> str:
        return self.name(number) if self.is_w else super().name_of(number, label)

    def name(self, number: int) -> str:
        return f"{self.file.stem}_{number:06d}"


def names_of(asked: Names, option: str) -> list[Name]:
    """Images by name, as in `3,17:5`: image 0 of seed 3, and image 5 of seed 17.

    Raises `UserError` for what names none.
    """
    words = asked.split(",") if isinstance(asked, str) else [asked] if isinstance(asked, int) else list(asked)
    found = []
    for word in words:
        name = NAME.fullmatch(str(word).strip())
        if not name:
            raise UserError(
                f"{option} names no image with '{word}': give seeds, such as 3,17, or seed:number, such as 3:5"
            )
        found.append((int(name["seed"]), int(name["number"] or 0)))
    return found


def safe(name: str) -> str:
    """A class name as a part of a file name."""
    return "".join(ch if ch.isalnum() or ch in "-+" else "_" for ch in name)


def read_latents(file: str | os.PathLike[str]) -> np.ndarray:
    """Latents of a .npy file: float32 of two dimensions, or of three. Raises `UserError` for other files."""
    file = Path(file)
    if not file.is_file():
        raise UserError(f"there is no file {file}: gannet sample --save-latents writes one")
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        is_fit = isinstance(found, np.ndarray) and found.ndim in (2, 3) and np.issubdtype(found.dtype, np.floating)
        rows = np.array(found[: MOST + 1], dtype=np.float32) if is_fit and found.size else None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} is no NumPy file of numbers: gannet sample --save-latents writes one") from error
    if rows is None:
        raise UserError(f"{file} holds no latents: they are numbers [N, z_dim], or w [N, layers, w_dim]")
    check_num(len(found), 1, f"the number of latents in {file}")
    if not np.isfinite(rows).all():
        raise UserError(f"{file} holds numbers that are not finite: draw them anew")
    return rows


def latents_file(place: Path, is_one_file: bool) -> Path:
    """Where latents are saved: in the folder of the images, or beside their one file."""
    return place.with_name(f"{place.stem}.latents.npy") if is_one_file else place / "latents.npy"
