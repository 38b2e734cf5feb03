"""The drawn data sets of pairs and of clips, made when asked for, the same on every machine."""

import math
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.data.clips import Videos
from gannet.data.shapes import centre, distance, inradius, numbers, reach
from gannet.data.sources import Source

KINDS = ("circle", "square", "triangle")


class Outlines(Source):
    """Two squares of 64 pixels side by side: white outlines on black, and the same shapes filled.

    One to three shapes, the later ones over the earlier; a circle becomes red, a square green, a triangle blue.
    """

    NUM, SIZE, SEED = 2000, 64, 0x0C_711E5
    COUNTERS = 4  # of Philox for each pair: up to thirteen numbers are used, of sixteen
    LINE = 2.0  # pixels
    COLOURS = np.array([(230, 60, 50), (60, 200, 80), (70, 110, 240)], np.uint8)

    def __init__(self) -> None:
        self.name = "outlines"
        self.names = [f"outlines/{i:05}" for i in range(self.NUM)]
        self.labels = np.zeros(self.NUM, np.int64)

    def open(self, i: int) -> Image.Image:
        """The pair, drawn."""
        many, *uniform = numbers(self.SEED, i, self.COUNTERS)
        outlines, filled = np.zeros((2, self.SIZE, self.SIZE, 3), np.uint8)
        for k in range(1 + int(3 * many)):
            self.add(outlines, filled, np.array(uniform[4 * k : 4 * k + 4]))
        return Image.fromarray(np.concatenate([outlines, filled], axis=1))

    def add(self, outlines: np.ndarray, filled: np.ndarray, uniform: np.ndarray) -> None:
        """Draws one more shape, with a radius of 7 to 14 pixels, over both images."""
        number, radius = int(3 * uniform[0]), 7 + 7 * uniform[1]
        kind = KINDS[number]
        x, y = centre(kind, radius, self.SIZE, uniform[2:])
        away, edge = distance(kind, self.SIZE, x, y), inradius(kind, radius)
        filled[away <= edge] = self.COLOURS[number]
        outlines[away <= edge] = 0
        outlines[(away <= edge) & (away > edge - self.LINE)] = 255

    def key(self, i: int) -> str:
        """What the drawing follows from."""
        return f"{self.names[i]}|{self.SIZE}|{self.SEED}|1"


class Moving(Videos):
    """A circle, square or triangle, 32x32 RGB on black, that moves straight on and bounces off the walls.

    A radius uniform in 4 to 7 pixels, a speed uniform in 1 to 2.5 pixels a frame in any direction; 24 frames.
    """

    NUM, SIZE, SEED, LENGTH = 1500, 32, 0xB_0CCE5, 24
    COUNTERS = 2  # of Philox for each video: all eight numbers are used

    def __init__(self) -> None:
        self.name = "moving"
        self.classes = KINDS
        self.labels = np.repeat(np.arange(len(KINDS)), self.NUM // len(KINDS))
        self.names = [f"{KINDS[k]}/{i:05}" for i, k in enumerate(self.labels)]

    def length(self, i: int) -> int:
        """24."""
        return self.LENGTH

    def video(self, i: int) -> Generator[Image.Image, None, None]:
        """The frames, drawn."""
        kind, uniform = KINDS[self.labels[i]], numbers(self.SEED, i, self.COUNTERS)
        radius = 4 + 3 * uniform[0]
        start = centre(kind, radius, self.SIZE, uniform[1:3])
        angle, speed = 2 * math.pi * uniform[3], 1 + 1.5 * uniform[4]
        colour = np.rint(127.5 + 127.5 * uniform[5:8]).astype(np.uint8)
        edge = reach(kind, radius)
        for frame in range(self.LENGTH):
            way = start + frame * speed * np.array([math.cos(angle), math.sin(angle)])
            x, y = bounced(way, edge, self.SIZE - edge)
            # A soft edge, since a hard one moves by whole pixels.
            shade = np.clip(inradius(kind, radius) - distance(kind, self.SIZE, x, y) + 0.5, 0, 1)
            yield Image.fromarray(np.rint(shade[..., None] * colour).astype(np.uint8))

    def key(self, i: int) -> str:
        """What the drawing follows from."""
        return f"{self.names[i]}|{self.SIZE}|{self.SEED}|{self.LENGTH}|1"


def bounced(way: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where something is that has gone `way` between two walls which throw it back."""
    span = high - low
    return low + span - abs((way - low) % (2 * span) - span)


def outlines(cache: Path) -> Source:
    """2,000 pairs side by side, for `data.kind` pairs: outlines, and the same shapes filled."""
    return Outlines()


def moving(cache: Path) -> Source:
    """1,500 videos, labelled, for `data.kind` clips."""
    return Moving()
