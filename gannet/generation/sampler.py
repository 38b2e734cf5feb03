"""What every trained G has in common, whatever computes it: numbered noise, labels, and images of both. No torch."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Self

import numpy as np

from gannet.errors import UserError, nearest
from gannet.images import to_uint8
from gannet.noise import Stream, normal, truncated_normal

BALANCED = 1.5  # times as many images in the largest class as in the smallest
GOLDEN = (5**0.5 - 1) / 2
MOST = 1_000_000  # images of one call, which all are in memory at the end

Labels = Sequence[int | str] | int | str | None


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A trained G that makes images of noise: image i of a seed is the same in all of its forms.

    The arrays that it takes and gives are tensors where torch computes it, else NumPy's.
    """

    classes: tuple[str, ...]
    z_dim: int
    resolution: int
    channels: int
    folder: Path
    """Where it was read from: a folder or a file, beside which the run's others are."""
    shares: tuple[float, ...] = ()
    """How often each class was in the training data; empty where that is not known."""
    truncation: float | None = None
    frames: int = 1
    """Images that make one sample: above 1 of clips."""

    @property
    def has_w(self) -> bool:
        """Whether z first becomes w, whose average is known (StyleGAN2)."""
        return False

    @property
    def shows_w(self) -> bool:
        """Whether `w` and `images_of` can be had."""
        return False

    @abstractmethod
    def as_input(self, values: np.ndarray) -> Any:
        """float32 of NumPy as what G takes."""

    @abstractmethod
    def images(self, z: Any, c: Any, start: int | Sequence[int] = 0) -> Any:
        """G(z, c), float32 in [-1, 1]: `[N, C, R, R]`, of clips `[N, frames * C, R, R]`.

        `start` is the number of the first, which the others follow, or the number of each.
        """

    @abstractmethod
    def w(self, z: Any, c: Any) -> Any:
        """w of z and c, once for each layer: `[N, num_layers, w_dim]`. Raises `UserError` where G shows none."""

    @abstractmethod
    def images_of(self, w: Any) -> Any:
        """Images of w `[N, num_layers, w_dim]`, as `images`. Raises `UserError` where G shows none."""

    @abstractmethod
    def joined(self, parts: Sequence[Any]) -> Any:
        """Arrays one after another along their first axis."""

    @abstractmethod
    def truncated(self, truncation: float) -> Self:
        """A copy whose images are more like each other. Raises `UserError` for numbers out of range."""

    @abstractmethod
    def discriminator(self) -> Any:
        """The D beside this generator. Raises `UserError` where there is none."""

    def sample(
        self,
        num: int,
        seed: int = 0,
        labels: Labels = None,
        truncation: float | None = None,
        *,
        start: int = 0,
        batch: int = 64,
    ) -> Any:
        """Images number `start` to `start + num` of a seed: float32 `[num, C, R, R]` in [-1, 1].

        Of clips it is `[num, frames, C, R, R]`.

        Image i of a seed is the same whatever `num`, `batch` and the device. `labels` is one class
        (name or number) for all, or one for each; without it they are those of `label_numbers`. Four
        channels are RGB premultiplied with alpha. `truncation` is that of `truncated`. Raises `UserError`
        for more than a million images, and for classes that there are not.
        """
        check_num(num, 0, "num")
        if truncation is not None:
            return self.truncated(truncation).sample(num, seed, labels, start=start, batch=batch)
        c = self.one_hot(self.label_numbers(num, labels, start))
        parts = []
        for first in range(0, num, batch):
            size = min(batch, num - first)
            parts.append(self.images(self.z(seed, start + first, size), c[first : first + size], start + first))
        shape = (self.frames, self.channels) if self.frames > 1 else (self.channels,)
        return self.joined(parts).reshape(num, *shape, self.resolution, self.resolution)

    def z(self, seed: int, start: int, num: int, stream: Stream = Stream.SAMPLE) -> Any:
        """z number `start` to `start + num` of a seed, `[num, z_dim]`."""
        return self.as_input(self.noise(seed, start, num, stream))

    def one_hot(self, numbers: np.ndarray) -> Any:
        """Class numbers `[N]` to c `[N, num_classes]`."""
        return self.as_input(hot(numbers, len(self.classes)))

    def noise(self, seed: int, start: int, num: int, stream: Stream = Stream.SAMPLE) -> np.ndarray:
        """`z` as float32 of NumPy."""
        return self.within(normal(seed, stream, start, num, self.z_dim))

    def within(self, z: np.ndarray) -> np.ndarray:
        """z `[N, z_dim]` from N(0, 1), mapped between the bounds that `truncation` sets, where it sets some."""
        return z if self.truncation is None or self.has_w else truncated_normal(z, self.truncation)

    def label_numbers(self, num: int, labels: Labels, start: int = 0) -> np.ndarray:
        """Class numbers, int64 `[num]`: those of images `start` to `start + num`.

        Without `labels` each class comes as often as in the training data, or in turn where they are
        about equally frequent (within half). Raises `UserError` for classes that there are not.
        """
        if labels is None:
            balanced = not self.shares or max(self.shares) <= BALANCED * min(self.shares)
            return in_turn(start, num, len(self.classes)) if balanced else by_share(start, num, self.shares)
        each = [labels] * num if isinstance(labels, int | str) else list(labels)
        if len(each) != num:
            raise UserError(f"{len(each)} labels were given for {num} images")
        return np.array([self.label_number(label) for label in each], dtype=np.int64)

    def label_number(self, label: int | str) -> int:
        """The number of a class by its name or number. Raises `UserError` where there is none such."""
        if not self.classes:
            raise UserError("this generator was trained without labels: leave --label out")
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdecimal() and int(label) < len(self.classes):
            return int(label)
        raise UserError(f"there is no class '{label}'{nearest(str(label), self.classes)}")

    def bounded(self, truncation: float) -> float:
        """The truncation itself. Raises `UserError` where it is out of range."""
        low, high = (-1.0, 2.0) if self.has_w else (0.0, float("inf"))
        if not low <= truncation <= high or (truncation == 0 and not self.has_w):
            range_ = "from -1 to 2, as this G has a w" if self.has_w else "above 0"
            raise UserError(f"--truncation is {truncation:g}, and must be {range_}")
        return truncation

    @staticmethod
    def to_uint8(images: Any) -> np.ndarray:
        """Images in [-1, 1] to uint8 `[N, C, R, R]` on the CPU."""
        return to_uint8(images)


def check_num(num: int, least: int, name: str) -> None:
    """Raises `UserError` for a number of images that cannot be made at once."""
    if not least <= num <= MOST:
        bound = f"at least {least}" if num < least else f"at most {MOST:,}: take another seed for more"
        raise UserError(f"{name} is {num:,}, and must be {bound}")


def check_shares(shares: Sequence[float], classes: Sequence[str], where: object) -> None:
    """Raises `UserError` where the shares are not those of the classes."""
    if shares and (len(shares) != len(classes) or not all(0 < share <= 1 for share in shares)):
        raise UserError(f"the class_shares in {where} are not one number a class, above 0 to 1")


def no_sampler(path: str | os.PathLike[str]) -> UserError:
    """The error for a G that cannot be sampled from, since it makes images of images."""
    return UserError(
        f"{path} makes images of images, not of noise: gannet translate {quote(str(path))} FOLDER --out DIR"
    )


def hot(numbers: np.ndarray, num_classes: int) -> np.ndarray:
    """Class numbers `[N]` to one-hot rows, float32 `[N, num_classes]`."""
    return (numbers[:, None] == np.arange(num_classes)).astype(np.float32)


def in_turn(start: int, num: int, num_classes: int) -> np.ndarray:
    """Class i modulo the classes for image i: int64 `[num]`."""
    return (start + np.arange(num)) % max(num_classes, 1)


def by_share(start: int, num: int, shares: Sequence[float]) -> np.ndarray:
    """Classes that come about as often as their shares say in every stretch of images: int64 `[num]`.

    Image i takes the class at i times the golden ratio, modulo 1, which is spread evenly.
    """
    place = (start + np.arange(num) + 0.5) * GOLDEN % 1
    return np.searchsorted(np.cumsum(shares)[:-1] / np.sum(shares), place, side="right")
