"""Samples as the sprites of a game: one picture without gaps, and a JSON file that says where each is.

The JSON has the keys that TexturePacker's "hash" format has, which Phaser, PixiJS and others read; beside them stand
the size of a cell and the number of columns and rows, for engines that cut by those.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.files import atomic, write_with
from gannet.generation.sample import Sample, check_size
from gannet.generation.sampler import Sampler
from gannet.images import class_columns, to_pil

APP = "gannet"  # whose JSON it is


def write_sheet(G: Sampler, chosen: Iterable[Sample], total: int, scale: int, out: Path) -> list[Path]:
    """The PNG `out` with all samples, `total` of them, each enlarged by `scale`, and beside it the JSON of that name.

    A column for each class where that comes out even; the frames of a clip are a row, and an animation. Cells beyond
    the last sample are empty: transparent, or black. Raises `UserError` where another JSON is in that place.
    """
    about = out.with_suffix(".json")
    if about.exists() and json.dumps(APP).encode() not in about.read_bytes():
        raise UserError(f"{about} is there, and is where what the sheet holds is told: name another place with --out")
    side, (columns, rows) = G.resolution * scale, cells_across(G, total)
    picture, names = np.zeros((rows * side, columns * side, G.channels), np.uint8), []
    for sample in chosen:
        for i, image in enumerate(sample.image.reshape(-1, G.channels, side, side), len(names) * G.frames):
            top, left = i // columns * side, i % columns * side
            pixels = np.asarray(to_pil(image)).reshape(side, side, G.channels)
            picture[top : top + side, left : left + side] = pixels
        names.append(sample.name)
    write_with(out, lambda file: Image.fromarray(picture[..., 0] if G.channels == 1 else picture).save(file, "PNG"))
    with atomic(about) as file:
        for line in lines_of(G, names, out.name, side, columns, rows):
            file.write(line.encode())
    return [out, about]


def check_sheet(G: Sampler, total: int, scale: int) -> None:
    """Raises `UserError` where a sheet of so many samples, each enlarged by `scale`, is too large to be opened."""
    width, height = (number * G.resolution * scale for number in cells_across(G, total))
    check_size("sheet", width, height)


def cells_across(G: Sampler, total: int) -> tuple[int, int]:
    """Columns and rows of a sheet of so many samples."""
    num = total * G.frames
    columns = G.frames if G.frames > 1 else class_columns(num, len(G.classes)) or math.ceil(math.sqrt(num))
    return columns, math.ceil(num / columns)


def lines_of(G: Sampler, samples: Sequence[str], image: str, side: int, columns: int, rows: int) -> Iterator[str]:
    """The JSON, line by line: where each cell is, and of clips which cells are an animation."""
    meta = {
        "app": APP,
        "image": image,
        "format": "RGBA8888" if G.channels == 4 else "RGB888",
        "size": {"w": columns * side, "h": rows * side},
        "scale": "1",
        "cell": {"w": side, "h": side},
        "columns": columns,
        "rows": rows,
    }
    yield f'{{\n "meta": {json.dumps(meta)},\n "frames": {{\n'
    for i, cell in enumerate(cell for name in samples for cell in cells_of(G, name)):
        gap = ",\n" if i else ""
        yield f"{gap}  {json.dumps(cell)}: {json.dumps(place_of(i, side, columns))}"
    yield "\n }"
    if G.frames > 1:
        clips = {name: cells_of(G, name) for name in samples}
        yield f',\n "animations": {json.dumps(clips)}'
    yield "\n}\n"


def cells_of(G: Sampler, name: str) -> list[str]:
    """The cells of one sample by name."""
    return [f"{name}_{frame:03d}" for frame in range(G.frames)] if G.frames > 1 else [name]


def place_of(number: int, side: int, columns: int) -> dict[str, Any]:
    """What the JSON says of one cell."""
    return {
        "frame": {"x": number % columns * side, "y": number // columns * side, "w": side, "h": side},
        "rotated": False,
        "trimmed": False,
        "spriteSourceSize": {"x": 0, "y": 0, "w": side, "h": side},
        "sourceSize": {"w": side, "h": side},
    }
