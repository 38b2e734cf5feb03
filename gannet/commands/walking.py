"""The commands that lead from one generated image to another."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gannet.commands.options import RunFolder, parse


@dataclass(frozen=True)
class Interpolate:
    """A walk from one generated image to the next, as an animation or a folder of frames, and a strip beside it."""

    run: RunFolder
    seeds: str = "0,1,2"
    """The images, such as 3,17:5 for image 0 of seed 3 and image 5 of seed 17."""
    steps: int = 24
    """Frames from one image to the next."""
    way: Literal["slerp", "lerp"] | None = None
    """slerp goes through z in arcs; lerp straight, through w where G has one (stylegan2's way without this)."""
    labels: str | None = None
    """The class of all images, or of each, such as cat,dog; of one image it changes the class alone."""
    loop: bool = False
    """Go back to the first image."""
    truncation: float | None = None
    """As in gannet sample."""
    out: Path = Path("walk.webp")
    """A file that ends in .webp, .gif or .mp4, or a folder for the frames."""
    fps: float = 24.0
    """Frames a second."""
    scale: int | None = None
    """Each pixel becomes so many by so many; without it small animations have about 256 pixels a side."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def interpolate(argv: list[str]) -> None:
    from gannet.using.walking import interpolate

    options = {**vars(parse(Interpolate, argv, "interpolate"))}
    as_json = options.pop("json")
    walked = interpolate(**options)
    if as_json:
        print(json.dumps({"files": [str(file) for file in walked.files], "num": walked.num, "way": walked.way}))
    else:
        print(f"{walked.num} frames, {walked.way}: {options['out']}; strip: {walked.files[-1]}")


@dataclass(frozen=True)
class Mix:
    """Style mixing, as one picture: each image of the rows with the coarse, middle or fine layers of the columns'."""

    run: RunFolder
    rows: str = "0,1,2"
    """Images, named as in gannet sample --seeds."""
    columns: str = "3,4,5,6"
    """Images whose w some of the layers take."""
    from_layer: int | None = None
    """In place of the three bands: all layers from this one on are those of the columns."""
    label: str | None = None
    """Only this class, by name or number."""
    truncation: float | None = None
    """psi, as in gannet sample."""
    out: Path = Path("mix.png")
    """The picture."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def mix(argv: list[str]) -> None:
    from gannet.using.walking import mix

    options = {**vars(parse(Mix, argv, "mix"))}
    as_json = options.pop("json")
    made = mix(**options)
    if as_json:
        bands = [{"name": band.name, "first": band.first, "end": band.end} for band in made.bands]
        print(json.dumps({"file": str(made.file), "bands": bands}))
    else:
        print(f"from the columns: {', '.join(map(str, made.bands))}: {made.file}")
