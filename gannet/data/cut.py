"""Items that are cut from those of another source: tiles from large images, clips from videos."""

import contextlib
import threading
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

from gannet.data.decode import upright
from gannet.data.names import Names
from gannet.data.pool import each
from gannet.data.sources import Source

ORIENTATION = 0x0112  # EXIF's tag; from 5 on width and height are exchanged


class Cut(Source):
    """Of each item of `source` so many as `counts` says, in order, with its label.

    What cannot be cut has one item, which cannot be read either, and so is named with the reason.
    """

    def __init__(self, source: Source, counts: Sequence[int]):
        self.source = source
        self.name, self.classes = source.name, source.classes
        self.ignored, self.empty, self.loose = source.ignored, source.empty, source.loose
        self.owners = [i for i, num in enumerate(counts) for _ in range(num)]
        self.places = [place for num in counts for place in range(num)]
        self.labels = source.labels[self.owners]
        self.origins = Names([source.names[owner] for owner in self.owners])
        marks = (f"#{place}" if num > 1 else "" for num in counts for place in range(num))
        self.names = Names([name + mark for name, mark in zip(self.origins, marks, strict=True)])
        self._key = lru_cache(maxsize=1)(source.key)

    @property
    @abstractmethod
    def how(self) -> str:
        """How items are cut, in the few words that their keys end with."""

    def key(self, i: int) -> str:
        """What the whole follows from, and the place in it."""
        return f"{self._key(self.owners[i])}|{self.how}|{self.places[i]}"


class _Kept(threading.local):
    """The image that a thread has opened last."""

    number: int = -1
    image: Image.Image


class Tiles(Cut):
    """Squares of `side` pixels that each image is cut into: as many as fit, centred, from left to right and down.

    An image that is smaller cannot be read.
    """

    def __init__(self, source: Source, side: int):
        self.side = side
        sizes, _ = each(source, range(len(source)), lambda _, images: _upright_size(next(images)))
        self.sizes = [size or (0, 0) for size in sizes]
        super().__init__(source, [max(1, (width // side) * (height // side)) for width, height in self.sizes])
        self._kept = _Kept()

    @property
    def how(self) -> str:
        return f"tiles of {self.side}"

    def open(self, i: int) -> Image.Image:
        """The tile; the image that it is cut from stays decoded for the next one of this thread."""
        number, side, kept = self.owners[i], self.side, self._kept
        if kept.number != number:
            with self.source.open(number) as image:
                kept.image, kept.number = upright(image), number
        width, height = kept.image.size
        if min(width, height) < side:
            raise ValueError(f"{width}x{height} is smaller than a tile of {side}x{side}")
        row, column = divmod(self.places[i], width // side)
        left, top = width % side // 2 + column * side, height % side // 2 + row * side
        return kept.image.crop((left, top, left + side, top + side))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the EXIF orientation has them, by the header."""
    turned = False
    with contextlib.suppress(Exception):  # damaged EXIF is no reason to lose the image
        turned = image.getexif().get(ORIENTATION, 1) >= 5
    width, height = image.size
    return (height, width) if turned else (width, height)
