"""The commands that use a trained network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from gannet.commands.options import RunFolder, parse, status
from gannet.errors import UserError


@dataclass(frozen=True)
class Sample:
    """Images or clips from a trained generator: the run folder is all that it needs, or a file of gannet export."""

    run: RunFolder
    num: int | None = None
    """How many images in all; 64 without it."""
    seed: int = 0
    """Image i of a seed is always the same."""
    seeds: str | None = None
    """Images by name, such as 3,17:5 for image 0 of seed 3 and image 5 of seed 17."""
    like: str | None = None
    """Variations around one image, named as in --seeds; it comes first."""
    latents: Path | None = None
    """The images of a file of latents, as --save-latents and gannet project write them."""
    save_latents: bool = False
    """Write the latents beside the images."""
    out: Path = Path("samples")
    """Folder for the images, or the file itself with --grid or --sheet, or if it ends in .npy."""
    grid: bool = False
    """One picture of all images."""
    beside_real: bool = False
    """With --grid: real images, as the run saved them, at the left."""
    sheet: bool = False
    """One PNG of all images without gaps, and JSON that says where each is, for games."""
    label: str | None = None
    """Only this class, by name or number."""
    per_class: int | None = None
    """This many images of each class, in place of --num: only one of the two."""
    min_realness: float | None = None
    """Keep only images that D rates at least so, from 0 to 1: by probability, or by quantile among reals."""
    rejection: bool = False
    """Discriminator rejection sampling: keep images such that they are spread more as the reals are."""
    truncation: float | None = None
    """Less variety, and mostly better images: the largest value of z, such as 1, or for stylegan2 psi, such as 0.7."""
    given: str | None = None
    """For a run of frame prediction: a folder of videos, with whose first frames the clips begin."""
    format: Literal["png", "webp", "gif", "mp4", "npy"] | None = None
    """png or webp, of clips webp, gif or mp4 (with their frames in a row beside it); npy is one array of uint8."""
    fps: float | None = None
    """Frames a second, of clips; 12 without it."""
    scale: int = 1
    """Each pixel becomes so many by so many."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def sample(argv: list[str]) -> None:
    from gannet.using import sampling

    options = parse(Sample, argv, "sample")
    if options.num is not None and options.per_class is not None:
        raise UserError("--num and --per-class each say how many images to make: leave one out")
    drawn = sampling.sample(
        options.run,
        num=options.num if options.per_class is None else options.per_class,
        per_class=options.per_class is not None,
        seed=options.seed,
        seeds=options.seeds,
        like=options.like,
        latents=options.latents,
        save_latents=options.save_latents,
        out=options.out,
        grid=options.grid,
        beside_real=options.beside_real,
        sheet=options.sheet,
        label=options.label,
        min_realness=options.min_realness,
        rejection=options.rejection,
        truncation=options.truncation,
        given=options.given,
        format=options.format,
        fps=options.fps,
        scale=options.scale,
        device=options.device,
    )
    if options.json:
        facts = {"num": drawn.num, "num_drawn": drawn.num_drawn, "acceptance": drawn.acceptance}
        print(json.dumps({"files": [str(f) for f in drawn.files], **facts}))
    else:
        is_rated = options.min_realness is not None or options.rejection
        kept = f", {drawn.num_drawn} drawn ({drawn.acceptance:.0%} kept)" if is_rated else ""
        print(f"{drawn.num} {drawn.what}{kept}: {drawn.place}")


@dataclass(frozen=True)
class Upscale:
    """Enlarge images with a trained SRGAN. Names are kept, and files are PNG."""

    run: RunFolder
    images: Annotated[str, Positional, arg(metavar="IMAGE|FOLDER")]
    out: Path
    """Folder for what is made; for one image also a file that ends in .png."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def upscale(argv: list[str]) -> int:
    from gannet import api

    options = parse(Upscale, argv, "upscale")
    return told(api.upscale(options.run, options.images, out=options.out, device=options.device), options)


@dataclass(frozen=True, kw_only=True)
class Translate:
    """Make other images of images, with a trained pix2pix, CycleGAN or SRGAN. Names are kept, and files are PNG.

    A run that was trained on pairs side by side takes such pairs too, and of each the half that it was given.
    """

    run: RunFolder
    images: Annotated[str | None, Positional, arg(metavar="[IMAGE|FOLDER]")] = None
    out: Path
    """Folder for what is made; for one image also a file that ends in .png."""
    held_out: bool = False
    """Translate what the run has held out, in place of named images."""
    to: Literal["a", "b"] = "b"
    """For CycleGAN: a makes images of the first kind from those of the second."""
    data: str | None = None
    """With --held-out: where the run's images are now, if they moved."""
    other: str | None = None
    """With --held-out: where the second folder of two is now."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def translate(argv: list[str]) -> int:
    from gannet import api

    options = parse(Translate, argv, "translate")
    asked = {name: value for name, value in vars(options).items() if name not in ("run", "images", "json")}
    return told(api.translate(options.run, options.images, **asked), options)


def told(made: Any, options: Upscale | Translate) -> int:
    """Says what was translated; the exit status."""
    if options.json:
        kinds = {"pairs": made.num_pairs, "in_parts": made.num_in_parts}
        facts = {"num": made.num, "unreadable": made.unreadable, "finished": made.finished, **kinds}
        print(json.dumps({"files": [str(path) for path in made.files], **facts}))
        return status(made)
    print(f"{len(made.files)} of {made.num} images: {options.out}" + ("" if made.finished else " (interrupted)"))
    if made.num_pairs:
        print(f"{made.num_pairs} of them are pairs side by side: the half that G was given in training was translated")
    if made.num_in_parts:
        print(f"{made.num_in_parts} of them are larger than images in training, and made in parts whose edges may show")
    if made.unreadable:
        print(f"left out {len(made.unreadable)} that cannot be read:")
        print("\n".join(f"  {name}: {why}" for name, why in made.unreadable))
    return status(made)


@dataclass(frozen=True)
class Export:
    """A trained generator as one file, for use elsewhere, or published on the Hugging Face hub with a model card.

    An ONNX file is compared with torch before it is written.
    """

    run: RunFolder
    to: Literal["onnx", "safetensors", "hub"]
    """onnx for gannet sample without torch, for onnxruntime and game engines; safetensors for gannet and torch; hub
    for everybody."""
    out: Path | None = None
    """The file; model.onnx or model.safetensors in this folder without it. Of a dry run the folder; hub without it."""
    opset: Literal[18, 15] = 18
    """Of ONNX; 15 for engines that know no later one."""
    repo: str | None = None
    """For hub: OWNER/NAME, which is made if need be."""
    licence: str | None = None
    """For hub: what others may do with it, such as apache-2.0 or cc-by-nc-4.0."""
    dry_run: bool = False
    """For hub: write what would be sent to a folder, list it, and send nothing."""
    allow_private: bool = False
    """For hub: publish a generator that was trained with --private."""
    json: bool = False
    """Print what was written as JSON."""


def export(argv: list[str]) -> None:
    from gannet.errors import UserError

    options = parse(Export, argv, "export")
    if options.to == "hub":
        publish(options)
        return
    hub_only = {"--repo": options.repo, "--licence": options.licence}
    hub_only |= {"--dry-run": options.dry_run, "--allow-private": options.allow_private}
    if asked := next((name for name, value in hub_only.items() if value), None):
        raise UserError(f"{asked} is for --to hub: leave it out")
    from gannet.generation.export import export
    from gannet.using.sampling import here

    made = export(here(options.run), to=options.to, out=options.out, opset=options.opset)
    facts = {"file": str(made.file), "bytes": made.num_bytes, "difference": made.difference}
    print(json.dumps(facts) if options.json else made)


def publish(options: Export) -> None:
    """What `gannet export --to hub` does."""
    from gannet.errors import UserError
    from gannet.publishing import publish

    if options.repo is None:
        raise UserError("--to hub needs the repository's name: add --repo OWNER/NAME")
    made = publish(
        options.run,
        options.repo,
        licence=options.licence,
        dry_run=options.dry_run,
        out=options.out,
        allow_private=options.allow_private,
        opset=options.opset,
    )
    print(json.dumps(made.to_dict()) if options.json else made)
