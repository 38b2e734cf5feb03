"""Samples as the sprites of a game: one picture without gaps, and a JSON file that says where each is.

The JSON has the keys that TexturePacker's "hash" format has, which Phaser, PixiJS and others read; beside them stand
the size of a cell and the number of columns and rows, for engines that cut by those.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gannet.files import atomic, write_text
from gannet.generation.rows import write_png
from gannet.generation.sample import Sample
from gannet.generation.sampler import Sampler
from gannet.images import class_columns, to_pil


def write_sheet(G: Sampler, chosen: Iterable[Sample], total: int, scale: int, out: Path) -> list[Path]:
    """The PNG `out` with all samples, `total` of them, each enlarged by `scale`, and beside it the JSON of that name.

    It is written row by row as they come. A column for each class where that comes out even; the frames of a clip are
    a row, and an animation. Cells beyond the last sample are empty: transparent, or black.
    """
    side, num = G.resolution * scale, total * G.frames
    columns = G.frames if G.frames > 1 else class_columns(num, len(G.classes)) or math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    names: list[str] = []

    def cells() -> Iterator[np.ndarray]:
        for sample in chosen:
            names.append(sample.name)
            for image in sample.image.reshape(-1, G.channels, side, side):
                yield np.asarray(to_pil(image)).reshape(side, side, G.channels)

    with atomic(out) as file:
        write_png(file, columns * side, rows * side, G.channels, in_rows(cells(), columns))
    about = out.with_suffix(".json")
    write_text(about, json.dumps(facts_of(G, names, out.name, side, columns, rows), indent=1) + "\n")
    return [out, about]


def in_rows(cells: Iterator[np.ndarray], columns: int) -> Iterator[np.ndarray]:
    """So many cells `[H, W, C]` beside each other at a time, `[H, columns * W, C]`; those that lack are empty."""
    while row := list(islice(cells, columns)):
        yield np.concatenate(row + [np.zeros_like(row[0])] * (columns - len(row)), axis=1)


def facts_of(G: Sampler, samples: Sequence[str], image: str, side: int, columns: int, rows: int) -> dict[str, Any]:
    """What the JSON says: where each cell is, and of clips which cells are an animation."""
    clips = {name: [f"{name}_{frame:03d}" for frame in range(G.frames)] for name in samples} if G.frames > 1 else {}
    names = [cell for frames in clips.values() for cell in frames] or samples
    frames = {
        name: {
            "frame": {"x": i % columns * side, "y": i // columns * side, "w": side, "h": side},
            "rotated": False,
            "trimmed": False,
            "spriteSourceSize": {"x": 0, "y": 0, "w": side, "h": side},
            "sourceSize": {"w": side, "h": side},
        }
        for i, name in enumerate(names)
    }
    meta = {
        "app": "gannet",
        "image": image,
        "format": "RGBA8888" if G.channels == 4 else "RGB888",
        "size": {"w": columns * side, "h": rows * side},
        "scale": "1",
        "cell": {"w": side, "h": side},
        "columns": columns,
        "rows": rows,
    }
    return {"frames": frames, "meta": meta, **({"animations": clips} if clips else {})}
