"""The commands that use a trained network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from gannet.commands.options import RunFolder, parse, status


@dataclass(frozen=True)
class Sample:
    """Images or clips from a trained generator: the run folder is all that it needs, or a file of gannet export."""

    run: RunFolder
    num: int = 64
    """How many images."""
    seed: int = 0
    """Image i of a seed is always the same."""
    out: Path = Path("samples")
    """Folder for the PNGs, or the PNG itself with --grid."""
    grid: bool = False
    """One picture of all images."""
    beside_real: bool = False
    """With --grid: real images, as the run saved them, at the left."""
    label: str | None = None
    """Only this class, by name or number."""
    per_class: int | None = None
    """This many images of each class, in place of --num."""
    min_realness: float | None = None
    """Keep only images that D rates at least so, from 0 to 1."""
    truncation: float | None = None
    """Less variety, and mostly better images: the largest value of z, such as 1, or for stylegan2 psi, such as 0.7."""
    given: str | None = None
    """For a run of frame prediction: a folder of videos, with whose first frames the clips begin."""
    format: Literal["webp", "gif", "mp4"] | None = None
    """Of clips; webp without it, or what --out ends in. Their frames in a row are a PNG beside it."""
    fps: float | None = None
    """Frames a second, of clips; 12 without it."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def sample(argv: list[str]) -> None:
    from gannet import sampling

    options = parse(Sample, argv, "sample")
    drawn = sampling.sample(
        options.run,
        num=options.num if options.per_class is None else options.per_class,
        per_class=options.per_class is not None,
        seed=options.seed,
        out=options.out,
        grid=options.grid,
        beside_real=options.beside_real,
        label=options.label,
        min_realness=options.min_realness,
        truncation=options.truncation,
        given=options.given,
        format=options.format,
        fps=options.fps,
        device=options.device,
    )
    if options.json:
        print(json.dumps({"files": [str(f) for f in drawn.files], "num": drawn.num, "num_drawn": drawn.num_drawn}))
    else:
        kept = f", {drawn.num_drawn} drawn" if options.min_realness is not None else ""
        print(f"{drawn.num} {drawn.what}{kept}: {drawn.files[0] if options.grid else options.out}")


@dataclass(frozen=True)
class Upscale:
    """Enlarge images with a trained SRGAN. Names are kept, and files are PNG."""

    run: RunFolder
    images: Annotated[str, Positional, arg(metavar="IMAGE|FOLDER")]
    out: Path
    """Folder for what is made."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def upscale(argv: list[str]) -> int:
    from gannet import api

    options = parse(Upscale, argv, "upscale")
    return told(api.upscale(options.run, options.images, out=options.out, device=options.device), options)


@dataclass(frozen=True)
class Translate(Upscale):
    """Make other images of images, with a trained pix2pix, CycleGAN or SRGAN. Names are kept, and files are PNG."""

    to: Literal["a", "b"] = "b"
    """For CycleGAN: a makes images of the first kind from those of the second."""


def translate(argv: list[str]) -> int:
    from gannet import api

    options = parse(Translate, argv, "translate")
    made = api.translate(options.run, options.images, out=options.out, to=options.to, device=options.device)
    return told(made, options)


def told(made: Any, options: Upscale) -> int:
    """Says what was translated; the exit status."""
    if options.json:
        facts = {"num": made.num, "unreadable": made.unreadable, "finished": made.finished}
        print(json.dumps({"files": [str(path) for path in made.files], **facts}))
        return status(made)
    print(f"{len(made.files)} of {made.num} images: {options.out}" + ("" if made.finished else " (interrupted)"))
    if made.unreadable:
        print(f"left out {len(made.unreadable)} that cannot be read:")
        print("\n".join(f"  {name}: {why}" for name, why in made.unreadable))
    return status(made)


@dataclass(frozen=True)
class Export:
    """A trained generator as one file, for use elsewhere. An ONNX file is compared with torch before it is written."""

    run: RunFolder
    to: Literal["onnx", "safetensors"]
    """onnx for gannet sample without torch, for onnxruntime and game engines; safetensors for gannet and torch."""
    out: Path | None = None
    """The file; model.onnx or model.safetensors in this folder without it."""
    opset: Literal[18, 15] = 18
    """Of ONNX; 15 for engines that know no later one."""
    json: bool = False
    """Print what was written as JSON."""


def export(argv: list[str]) -> None:
    from gannet.generation.export import export

    options = parse(Export, argv, "export")
    made = export(options.run, to=options.to, out=options.out, opset=options.opset)
    facts = {"file": str(made.file), "bytes": made.num_bytes, "difference": made.difference}
    print(json.dumps(facts) if options.json else made)
