"""The drawn data sets: one filled shape each, 32x32 RGB on black, made when asked for.

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
    """`NUM` images, in equal parts of each kind ("circle", "square"), the same on every machine."""

    def __init__(self, name: str, kinds: tuple[str, ...]):
        self.name = name
        self.kinds = kinds
        kind = np.repeat(np.arange(len(kinds)), NUM // len(kinds))
        self.names = [f"{kinds[k]}/{i:05}" for i, k in enumerate(kind)]
        self.classes = kinds if len(kinds) > 1 else ()
        self.labels = kind.astype(np.int64)

    def open(self, i: int) -> Image.Image:
        """The image, drawn."""
        return Image.fromarray(draw(self.kinds[self.labels[i]], i))

    def key(self, i: int) -> str:
        """What the drawing follows from."""
        return f"{self.names[i]}|{SIZE}|{SEED}|1"


def draw(kind: str, i: int) -> np.ndarray:
    """Shape number `i` as uint8 `[32, 32, 3]`. A square has the area of the circle of its radius."""
    words = philox(SEED, Stream.SAMPLE, i * COUNTERS).random_raw(COUNTERS * WORDS_PER_COUNTER)
    uniform = (words >> np.uint64(11)) * 2.0**-53
    radius = 6 + 6 * uniform[0]
    half = radius if kind == "circle" else radius * math.sqrt(math.pi) / 2
    x, y = half + (SIZE - 2 * half) * uniform[1:3]
    colour = np.rint((uniform[3:6] * 1.5 + 0.5) * 127.5).astype(np.uint8)
    across, down = np.arange(SIZE) + 0.5 - x, np.arange(SIZE)[:, None] + 0.5 - y
    inside = across**2 + down**2 <= half**2 if kind == "circle" else np.maximum(abs(across), abs(down)) <= half
    return inside[..., None] * colour


def circles(cache: Path) -> Source:
    """2,000 circles without labels."""
    return Shapes("shapes", ("circle",))


def circles_and_squares(cache: Path) -> Source:
    """1,000 circles and 1,000 squares, labelled."""
    return Shapes("shapes-labelled", ("circle", "square"))
