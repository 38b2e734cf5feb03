"""The commands that show what a trained generator can do."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from gannet.commands.options import RunFolder, parse, status


@dataclass(frozen=True)
class Directions:
    """What a trained generator can change about an image: the strongest directions of its latents, as pictures.

    Writes directions.npz, a picture for each direction, and overview.png with all of them.
    """

    run: RunFolder
    num: int = 10
    """How many directions."""
    method: Literal["factorised", "components"] = "factorised"
    """From the weights of G's first layers, or the principal components of what they make of 2,000 samples."""
    label: str | None = None
    """Only this class, by name or number."""
    seed: int = 0
    """Of the images in the pictures."""
    out: Path = Path("directions")
    """Folder for what is written."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def directions(argv: list[str]) -> None:
    from gannet.using.exploring import directions

    options = {**vars(parse(Directions, argv, "directions"))}
    as_json = options.pop("json")
    found, files = directions(**options)
    if as_json:
        facts = {"space": found.space, "method": found.method, "shares": found.shares.tolist()}
        print(json.dumps({"files": [str(file) for file in files], **facts}))
    else:
        print(f"{len(found.vectors)} directions of {found.space}: {files[-1]}")


@dataclass(frozen=True)
class Project:
    """The latent of which a trained generator makes an image, or each image of a folder, as nearly as it can.

    Writes latent.npy, projected.png, side-by-side.png and distance.json; of several images, into a folder for each.
    """

    run: RunFolder
    images: Annotated[str, Positional, arg(metavar="IMAGE|FOLDER")]
    out: Path = Path("projected")
    """Folder for what is written."""
    steps: int = 300
    """Of the search: more come nearer."""
    label: str | None = None
    """Only this class, by name or number; without it that of the nearest samples."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was found as JSON."""


def project(argv: list[str]) -> int:
    from gannet.using.exploring import project

    options = {**vars(parse(Project, argv, "project"))}
    as_json = options.pop("json")
    made = project(options.pop("run"), options.pop("images"), **options)
    if as_json:
        facts = [{"folder": str(folder), **each} for folder, each in zip(made.folders, made.facts, strict=True)]
        print(json.dumps({"images": facts, "unreadable": made.unreadable, "finished": made.finished}))
        return status(made)
    for folder, each in zip(made.folders, made.facts, strict=True):
        stopped = "" if each["finished"] else f" (interrupted after {each['steps']} steps)"
        distances = f"distance {each['distance']:.3f}, of samples {each['of_samples']:.3f}"
        print(f"{each['image']}: {distances}; in {folder}{stopped}")
    print(f"distances are of {made.facts[0]['made_of']}")
    for name, why in made.unreadable:
        print(f"left out, as it cannot be read: {name}: {why}")
    return status(made)
