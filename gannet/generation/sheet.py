"""Samples as the sprites of a game: one picture without gaps, and a JSON file that says where each is.

The JSON has the keys that TexturePacker's "hash" format has, which Phaser, PixiJS and others read; beside them stand
the size of a cell and the number of columns and rows, for engines that cut by those.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gannet.files import write_text, write_with
from gannet.generation.sample import Sample
from gannet.generation.sampler import Sampler
from gannet.images import class_columns, png, to_pil


def write_sheet(G: Sampler, chosen: Sequence[Sample], out: Path) -> list[Path]:
    """The PNG `out` with all samples, and beside it the JSON of the same name.

    A column for each class where that comes out even; the frames of a clip are a row, and an animation. Cells beyond
    the last sample are empty: transparent, or black.
    """
    height, width = chosen[0].image.shape[1:]
    cells = np.concatenate([sample.image.reshape(-1, G.channels, height, width) for sample in chosen])
    if G.frames > 1:
        columns = G.frames
        names = [f"{sample.name}_{frame:03d}" for sample in chosen for frame in range(G.frames)]
    else:
        columns = class_columns(len(cells), len(G.classes)) or math.ceil(math.sqrt(len(cells)))
        names = [sample.name for sample in chosen]
    rows = math.ceil(len(cells) / columns)
    sheet = np.zeros((G.channels, rows * height, columns * width), np.uint8)
    frames: dict[str, Any] = {}
    for i, (name, cell) in enumerate(zip(names, cells, strict=True)):
        y, x = i // columns * height, i % columns * width
        sheet[:, y : y + height, x : x + width] = cell
        frames[name] = {
            "frame": {"x": x, "y": y, "w": width, "h": height},
            "rotated": False,
            "trimmed": False,
            "spriteSourceSize": {"x": 0, "y": 0, "w": width, "h": height},
            "sourceSize": {"w": width, "h": height},
        }
    meta = {
        "app": "gannet",
        "image": out.name,
        "format": "RGBA8888" if G.channels == 4 else "RGB888",
        "size": {"w": columns * width, "h": rows * height},
        "scale": "1",
        "cell": {"w": width, "h": height},
        "columns": columns,
        "rows": rows,
    }
    facts: dict[str, Any] = {"frames": frames, "meta": meta}
    if G.frames > 1:
        facts["animations"] = {sample.name: names[i * columns : (i + 1) * columns] for i, sample in enumerate(chosen)}
    about = out.with_suffix(".json")
    write_with(out, lambda file: file.write(png(to_pil(sheet))))
    write_text(about, json.dumps(facts, indent=1) + "\n")
    return [out, about]
