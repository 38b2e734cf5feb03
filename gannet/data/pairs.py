"""Pairs: what G is given, and beside it what it should make of it."""

import os
from collections.abc import Generator

import numpy as np
from PIL import Image

from gannet.data.decode import upright
from gannet.data.names import Names
from gannet.data.sources import Several, Source, shown
from gannet.errors import UserError


class Halves(Several):
    """Images whose left half G is given, and whose right half it should make; with `swap` the other way round."""

    num_frames = 2

    def __init__(self, source: Source, swap: bool = False):
        self.source, self.swap = source, swap
        self.name, self.names = source.name, source.names
        self.labels = np.zeros(len(source), np.int64)
        self.ignored = source.ignored

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """What G is given, and its target. Raises `ValueError` for an image that has no two equal halves."""
        with self.source.open(i) as image:
            whole = upright(image)
            width, height = whole.size
            if width % 2:
                raise ValueError(f"{width} pixels wide, which makes no two equal halves")
            halves = [whole.crop((left, 0, left + width // 2, height)) for left in (0, width // 2)]
        yield from reversed(halves) if self.swap else halves

    def key(self, i: int) -> str:
        """That of the image, and which half comes first."""
        return f"{self.source.key(i)}|{'right' if self.swap else 'left'} half first"


class Matched(Several):
    """Images of two sources that have the same name, without its extension: G is given that of `a`.

    With `swap` it is given that of `b`. What has no partner is in `unmatched`. Raises `UserError` where
    nothing has one. The two may differ in size; where they are to be `alike`, they must not in shape, which a crop
    would not bring together.
    """

    num_frames = 2

    def __init__(self, a: Source, b: Source, swap: bool = False, alike: bool = True):
        numbers_a, numbers_b = _by_stem(a), _by_stem(b)
        both = [stem for stem in numbers_a if stem in numbers_b]
        if not both:
            raise UserError(
                f"no image of {a.name} has the name of one of {b.name}, without the extension: "
                f"the first are {shown(a.names[0])} and {shown(b.names[0])}; rename them, or train unpaired"
            )
        self.name = f"{a.name} and {b.name}"
        self.names = Names([a.names[numbers_a[stem]] for stem in both])
        self.labels = np.zeros(len(both), np.int64)
        self.ignored = a.ignored + b.ignored
        sides = [(a, [numbers_a[stem] for stem in both]), (b, [numbers_b[stem] for stem in both])]
        self.unmatched = tuple(
            f"{side.name}/{shown(side.names[i])}"
            for side, chosen in sides
            for i in sorted(set(range(len(side))) - set(chosen))
        )
        self._sides, self._alike, self._swap = sides[::-1] if swap else sides, alike, swap

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """What G is given, and its target. Raises `ValueError` for two of different shapes."""
        sizes: list[tuple[int, int]] = []
        for source, numbers in self._sides:
            for image in source.frames(numbers[i]):
                sizes.append(upright(image).size)
                if self._alike and not of_one_shape(sizes[0], sizes[-1]):
                    raise ValueError(
                        "it has {}x{} pixels, and its partner {}x{}: crop both alike, or set --data.fit stretch".format(
                            *sizes[self._swap], *sizes[not self._swap]
                        )
                    )
                yield image

    def key(self, i: int) -> str:
        """Those of both images, in the order of `frames`."""
        return "|".join(source.key(numbers[i]) for source, numbers in self._sides)


def of_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is the other enlarged, but for rounding to whole pixels."""
    (width, height), (other_width, other_height) = one, other
    return abs(width * other_height - other_width * height) <= max(width + height, other_width + other_height)


def _by_stem(source: Source) -> dict[str, int]:
    """The first image of each name without extension."""
    found: dict[str, int] = {}
    for i, name in enumerate(source.names):
        found.setdefault(os.path.splitext(name)[0], i)
    return found
