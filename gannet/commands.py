"""The commands: each reads its options and calls the function that does the work."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

INTERRUPTED = 4

RunFolder = Annotated[Path, Positional, arg(metavar="RUN")]
Data = Annotated[str, Positional, arg(metavar="DATA")]


def parse(kind: Any, argv: list[str], command: str) -> Any:
    from gannet.parsing import parse

    return parse(kind, argv, f"gannet {command}", kind.__doc__)


def train(argv: list[str]) -> int:
    """Trains; the plan is said first."""
    from gannet import api, plan
    from gannet.display import counted
    from gannet.options import spelled_out, train_options, value_of

    name = value_of(spelled_out(argv), "--recipe")
    options, first = train_options(plan.find_recipe(name or "small"), argv)
    with counted("looking at the images") as progress:
        begin = plan.start(options.source, options.recipe, first.train.device, progress)
    _, recipe = train_options(begin.recipe, argv)
    made = plan.make_plan(begin, recipe, options.allow_code)
    if options.dry_run:
        print(json.dumps(made.to_dict(), indent=2) if options.json else "\n".join(made.lines))
        return 0
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        trained = api.train_plan(made, options.run, options.allow_code)
    if options.json:
        print(json.dumps({**made.to_dict(), "run": str(trained.path), "finished": trained.finished}, indent=2))
    return 0 if trained.finished else INTERRUPTED


@dataclass(frozen=True)
class Resume:
    """Go on with a run exactly where it stopped."""

    run: RunFolder
    data: str | None = None
    """Where the images are now, if they moved."""
    device: str | None = None
    """Where to compute now, if not where the run began."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder."""
    allow_code: bool = False
    """Import parts that are named as module:callable."""


def resume(argv: list[str]) -> int:
    from gannet import api

    options = parse(Resume, argv, "resume")
    return 0 if api.resume(**vars(options)).finished else INTERRUPTED


@dataclass(frozen=True)
class Inspect:
    """What is in a set of images, what is wrong with it, and which recipe suits it."""

    data: Data
    json: bool = False
    """Print everything as JSON."""
    sheet: Path = Path("contact_sheet.png")
    """Where to write a picture of some of the images."""


def inspect(argv: list[str]) -> None:
    from gannet import api

    options = parse(Inspect, argv, "inspect")
    report = api.inspect(options.data, options.sheet)
    print(json.dumps(report.to_dict(), indent=2) if options.json else str(report))


@dataclass(frozen=True)
class Recipes:
    """List the recipes, or print one in full, as TOML that --recipe takes."""

    name: Annotated[str | None, Positional, arg(metavar="NAME")] = None
    json: bool = False
    """Print JSON."""


def recipes(argv: list[str]) -> None:
    from gannet import api

    options = parse(Recipes, argv, "recipes")
    print(api.recipes_text(options.name, options.json))


@dataclass(frozen=True)
class Sample:
    """Images from a trained generator: the run folder is all that it needs."""

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
    device: str = "cpu"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print what was written as JSON."""


def sample(argv: list[str]) -> None:
    from gannet import api

    options = parse(Sample, argv, "sample")
    drawn = api.sample(
        options.run,
        num=options.num if options.per_class is None else options.per_class,
        per_class=options.per_class is not None,
        seed=options.seed,
        out=options.out,
        grid=options.grid,
        beside_real=options.beside_real,
        label=options.label,
        min_realness=options.min_realness,
        device=options.device,
    )
    if options.json:
        print(json.dumps({"files": [str(f) for f in drawn.files], "num": drawn.num, "num_drawn": drawn.num_drawn}))
    else:
        print(f"{drawn.num} images, {drawn.num_drawn} drawn: {drawn.files[0] if options.grid else options.out}")


@dataclass(frozen=True)
class Scaffold:
    """Print one plain PyTorch file that trains a DCGAN, for those who want to learn from it."""

    image_size: int = 64
    """Width and height in pixels: a power of two from 16 to 256."""
    channels: int = 3
    """1 grey, 3 RGB."""
    z_dim: int = 100
    """Length of the noise."""


def scaffold(argv: list[str]) -> None:
    from gannet.recipes.scaffold import script

    options = parse(Scaffold, argv, "scaffold")
    print(script(options.image_size, options.channels, options.z_dim), end="")


@dataclass(frozen=True)
class Doctor:
    """Torch's build, the devices, and the precision that pays on each."""

    json: bool = False
    """Print JSON."""


def doctor(argv: list[str]) -> None:
    from gannet.doctor import examine, report

    options = parse(Doctor, argv, "doctor")
    facts = examine()
    print(json.dumps(facts, indent=2) if options.json else report(facts))
