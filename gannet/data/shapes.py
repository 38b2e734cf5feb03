"""The drawn data sets of images: one filled shape each, 32x32 RGB on black, made when asked for.

A radius uniform in 6 to 12 pixels, a centre uniform such that the shape fits, and each channel's
colour uniform in -0.5 to 1 (black is -1), as in the course lesson that the `shapes` recipes follow.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.data.sources import Source
from gannet.noise import WORDS_PER_COUNTER, Stream, philox

NUM = 2000
SIZE = 32
SEED = 0x5EA_B14D
COUNTERS = 2  # of Philox for each image: six numbers are used, of eight


class Shapes(Source):
    """`num` images from number `first` on, in equal parts of each kind, the same on every machine."""

    def __init__(self, name: str, kinds: tuple[str, ...], num: int = NUM, first: int = 0):
        self.name = name
        self.kinds = kinds
        self.first = first
        kind = np.repeat(np.arange(len(kinds)), num // len(kinds))
        self.names = [f"{kinds[k]}/{i:05}" for i, k in enumerate(kind, first)]
        self.classes = kinds if len(kinds) > 1 else ()
        self.labels = kind.astype(np.int64)

    def open(self, i: int) -> Image.Image:
        """The image, drawn."""
        return Image.fromarray(draw(self.kinds[self.labels[i]], self.first + i))

    def key(self, i: int) -> str:
        """What the drawing follows from."""
        return f"{self.names[i]}|{SIZE}|{SEED}|1"


def draw(kind: str, i: int) -> np.ndarray:
    """Shape number `i` as uint8 `[32, 32, 3]`. A square has the area of the circle of its radius."""
    uniform = numbers(SEED, i, COUNTERS)
    radius = 6 + 6 * uniform[0]
    x, y = centre(kind, radius, SIZE, uniform[1:3])
    colour = np.rint((uniform[3:6] * 1.5 + 0.5) * 127.5).astype(np.uint8)
    inside = distance(kind, SIZE, x, y) <= inradius(kind, radius)
    return inside[..., None] * colour


def numbers(seed: int, i: int, counters: int) -> np.ndarray:
    """What drawing number `i` follows from: four numbers for each of Philox's counters, uniform in [0, 1)."""
    words = philox(seed, Stream.SAMPLE, i * counters).random_raw(counters * WORDS_PER_COUNTER)
    return (words >> np.uint64(11)) * 2.0**-53


def inradius(kind: str, radius: float) -> float:
    """From the centre of a shape to its nearest edge, where it has the area of the circle of `radius`."""
    if kind == "circle":
        return radius
    if kind == "square":
        return radius * math.sqrt(math.pi) / 2
    return radius * math.sqrt(math.pi / math.sqrt(27))


def reach(kind: str, radius: float) -> float:
    """From the centre to the farthest row or column; a triangle has one corner above."""
    return inradius(kind, radius) * (2 if kind == "triangle" else 1)


def centre(kind: str, radius: float, size: int, uniform: np.ndarray) -> np.ndarray:
    """Two uniform numbers as a centre from which the shape fits into an image."""
    edge = reach(kind, radius)
    return edge + (size - 2 * edge) * uniform


def distance(kind: str, size: int, x: float, y: float) -> np.ndarray:
    """Of each pixel from the centre of a shape, `[size, size]`: on its edge the inradius, inside less."""
    across, down = np.arange(size) + 0.5 - x, np.arange(size)[:, None] + 0.5 - y
    if kind == "circle":
        return np.sqrt(across**2 + down**2)
    if kind == "square":
        return np.maximum(abs(across), abs(down))
    return np.maximum(abs(across) * math.sqrt(3) / 2 - down / 2, down)


def circles(cache: Path) -> Source:
    """2,000 circles without labels."""
    return Shapes("shapes", ("circle",))


def circles_and_squares(cache: Path) -> Source:
    """1,000 circles and 1,000 squares, labelled."""
    return Shapes("shapes-labelled", ("circle", "square"))


def circles_alone(cache: Path) -> Source:
    """2,000 circles, to be unpaired with `squares`."""
    return Shapes("circles", ("circle",))


def squares_alone(cache: Path) -> Source:
    """1,500 squares; none has place, size or colour of one of the circles."""
    return Shapes("squares", ("square",), num=1500, first=NUM)
