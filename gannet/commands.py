"""The commands: each reads its options and calls the function that does the work."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

INTERRUPTED = 4

RunFolder = Annotated[Path, Positional, arg(metavar="RUN")]
Data = Annotated[str, Positional, arg(metavar="DATA")]


def parse(kind: Any, argv: list[str], command: str) -> Any:
    from gannet.parsing import parse

    return parse(kind, argv, f"gannet {command}", kind.__doc__)


def train(argv: list[str]) -> int:
    """Trains; the plan is said first."""
    from gannet import plan, sessions
    from gannet.errors import UserError
    from gannet.options import spelled_out, train_options, value_of
    from gannet.training.ranks import launched

    name = value_of(spelled_out(argv), "--recipe")
    options, first = train_options(plan.find_recipe(name or "small"), argv)
    if options.seeds is not None and not options.dry_run:
        return train_seeds(options, first, argv)
    if options.if_exists == "resume":
        if options.run is None:
            raise UserError("--if-exists resume needs the folder of the run: name it with --run")
        if sessions.holds_run(options.run) and not options.dry_run:
            device = value_of(spelled_out(argv), "--train.device")
            new = {"cache": first.data.cache, "group_by": first.data.group_by or None, "device": device}
            more = {"track": options.track, "allow_code": options.allow_code}
            return status(sessions.resume(options.run, data=options.source, **new, **more))
    with launched() as ranks:
        if not ranks.first:
            return 0 if options.dry_run else status(sessions.follow(ranks, options.allow_code))
        made, initial = sessions.starting_from(planned(options, first, argv, ranks), options.init, options.allow_code)
        if options.dry_run:
            from gannet.experiments.seeds import said_of

            lines = [*made.lines, *said_of(options.seeds, made)]
            print(json.dumps(made.to_dict(), indent=2) if options.json else "\n".join(lines))
            return 0
        with redirect_stdout(sys.stderr) if options.json else nullcontext():
            trained = sessions.train_plan(made, options.run, options.allow_code, options.track, initial)
        if options.json:
            print(json.dumps({**made.to_dict(), "run": str(trained.path), "finished": trained.finished}, indent=2))
        return status(trained)


def planned(options: Any, first: Any, argv: list[str], ranks: Any) -> Any:
    """The plan of what `gannet train` is asked; `first` is the recipe before the data was looked at."""
    from gannet import plan
    from gannet.display import counted
    from gannet.options import train_options

    with counted("looking at the images") as progress:
        begin = plan.start(options.source, options.recipe, first.train.device, progress, first.data)
    _, recipe = train_options(begin.recipe, argv)
    return plan.make_plan(begin, recipe, options.allow_code, ranks)


def train_seeds(options: Any, first: Any, argv: list[str]) -> int:
    """Trains one run for each of the seeds."""
    from gannet.errors import UserError
    from gannet.experiments.seeds import Series, how_to_go_on
    from gannet.options import spelled_out, value_of

    if value_of(spelled_out(argv), "--seed") is not None:
        raise UserError("--seed and --seeds are both given: name one seed, or several")
    device = value_of(spelled_out(argv), "--train.device")
    series = Series.asked(options, first, device, lambda ranks: planned(options, first, argv, ranks))
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        trained = series.play()
        finished = len(trained) == len(series.seeds) and trained[-1].finished
        if not finished and series.is_first:
            print(how_to_go_on(series, trained))
    if options.json and series.is_first:
        runs = [{"run": str(run.path), "finished": run.finished} for run in trained]
        print(json.dumps({"runs": runs, "seeds": list(series.seeds), "finished": finished}, indent=2))
    return 0 if finished else INTERRUPTED


def status(trained: Any) -> int:
    return 0 if trained.finished else INTERRUPTED


@dataclass(frozen=True)
class Resume:
    """Go on with a run exactly where it stopped."""

    run: RunFolder
    kimg: float | None = None
    """A new end, in thousands of images from the start of the run."""
    epochs: float | None = None
    """A new end, in passes over the data from the start of the run."""
    data: str | None = None
    """Where the images are now, if they moved."""
    group_by: str | None = None
    """Where the groups of --data.group-by are written now."""
    device: str | None = None
    """Where to compute now, if not where the run began."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder, off for none."""
    track: str | None = None
    """Mirror stats.jsonl and the grids to tensorboard or wandb."""
    allow_code: bool = False
    """Import parts that are named as module:callable."""


def resume(argv: list[str]) -> int:
    from gannet import sessions

    options = parse(Resume, argv, "resume")
    return status(sessions.resume(**vars(options)))


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
    """Images or clips from a trained generator: the run folder is all that it needs."""

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
class Evaluate:
    """How good a trained network or a folder of images is: FID, KID, precision, recall, and whether it copies.

    Without DATA a run is measured against the images that it was trained on. Networks that translate, enlarge or make
    clips are measured on what their run held out, beside what they have to beat.
    """

    run: Annotated[str, Positional, arg(metavar="RUN|FOLDER")]
    """A run, or a folder, zip or named set of images."""
    against: Annotated[str | None, Positional, arg(metavar="[DATA]")] = None
    """Other images to measure against."""
    num: int | None = None
    """Generated images: as many as real ones without it, 2,048 to 10,000; of a folder, all. Of other networks: only
    so many of the images, pairs or clips held out, spread over all."""
    extractor: str | None = None
    """What looks at images: inception (that of FID), dinov2, efficientnet-lite0 (without a network), FILE.onnx, or
    module:callable."""
    metrics: tuple[str, ...] = ()
    """Of frechet (FID), kid, precision, recall, density, coverage, is (with inception), ppl; all but ppl without it."""
    reals: Literal["trained-on", "held-out"] | None = None
    """Which images of the run to measure against, where no DATA is named."""
    force: bool = False
    """Print FID of fewer than 2,048 images, too."""
    seed: int = 0
    """Of the generated images."""
    truncation: float | None = None
    """As of gannet sample."""
    useful: bool = False
    """Train classifiers on real images, on generated ones and on both, and test them on those held out."""
    out: Path | None = None
    """Folder for report.md, report.json, and pairs.png, which shows the samples nearest to training images."""
    resolution: int | None = None
    """Width and height to which all images are brought where their sizes differ."""
    data: str | None = None
    """Where the run's images are now, if they moved."""
    device: str = "auto"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print JSON."""
    allow_code: bool = False
    """Import an extractor that is named as module:callable."""


def evaluate(argv: list[str]) -> None:
    from rich.console import Console

    from gannet.evaluating import evaluate

    options = {**vars(parse(Evaluate, argv, "evaluate"))}
    as_json = options.pop("json")
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        found = evaluate(**options)
    if not found.scores:  # another rank tells them
        return
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        Console().print(found)


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
class Compare:
    """Runs side by side: curves, grids of the same noise, what their metrics say over seeds, a paired test.

    Runs that differ in nothing but the seed are one group; a folder counts as the runs in it.
    """

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN...")] = ()
    out: Path = Path("compare")
    """Folder for curves.png, grids.png and report.md."""
    quality: float | None = None
    """The value of the metric to which time is taken; without it the worst of the groups' best means."""
    json: bool = False
    """Print JSON."""


def compare(argv: list[str]) -> None:
    from gannet.errors import UserError
    from gannet.experiments.compare import compare

    options = parse(Compare, argv, "compare")
    if not options.runs:
        raise UserError("name the runs, or a folder of them, as in gannet compare runs/one runs/other")
    found = compare(*options.runs, out=options.out, quality=options.quality)
    print(json.dumps(found.to_dict(), indent=2) if options.json else found)


def sweep(argv: list[str]) -> int:
    """Trains with many settings."""
    from gannet import plan
    from gannet.display import counted
    from gannet.experiments.sweep import Sweep
    from gannet.experiments.vary import words
    from gannet.options import spelled_out, sweep_options, value_of

    options, first = sweep_options(plan.find_recipe(value_of(spelled_out(argv), "--recipe") or "small"), argv)
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        with counted("looking at the images") as progress:
            begin = plan.start(options.source, options.recipe, first.train.device, progress, first.data)
        asked = Sweep.asked(options, begin, lambda some: sweep_options(begin.recipe, [*argv, *words(some)])[1])
        swept = asked.play()
    print(json.dumps(swept.to_dict(), indent=2) if options.json else swept)
    return status(swept)


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
class Fetch:
    """Load data sets and networks into the cache folder ahead, for machines without a network."""

    names: Annotated[tuple[str, ...], Positional, arg(metavar="NAME...")] = ()
    """mnist, fashion-mnist, cifar10, inception (the network of FID), or addresses:
    hf://OWNER/NAME, s3://BUCKET/PATTERN.tar."""
    json: bool = False
    """Print JSON."""


def fetch(argv: list[str]) -> None:
    from gannet.data import FETCHED
    from gannet.data.cache import cache_folder
    from gannet.data.downloads import fetch
    from gannet.display import counted
    from gannet.errors import UserError
    from gannet.evaluation import WEIGHTS
    from gannet.files import size_of

    options = parse(Fetch, argv, "fetch")
    if not options.names:
        raise UserError("name what to fetch, as in gannet fetch mnist (gannet fetch --help tells more)")
    fetched = []
    for name in options.names:
        with counted(f"loading {name}") as progress:
            fetched.append(fetch(name, cache_folder(), progress, FETCHED | WEIGHTS))
        if not options.json:
            print(f"{name}: {size_of(fetched[-1].num_bytes)} in {fetched[-1].folder}")
    if options.json:
        print(json.dumps([{"name": f.name, "folder": str(f.folder), "bytes": f.num_bytes} for f in fetched], indent=2))


@dataclass(frozen=True)
class Cache:
    """List or remove the decoded images that runs have left for later runs.

    Whatever is removed is made anew when it is needed, which takes time and changes nothing.
    """

    action: Annotated[Literal["list", "clear"], Positional]
    older_than: float | None = None
    """Only what was last used so many days ago or earlier."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder."""
    json: bool = False
    """Print JSON."""


def cache(argv: list[str]) -> None:
    from gannet.data import entries
    from gannet.data.cache import images_folder
    from gannet.errors import UserError

    options = parse(Cache, argv, "cache")
    if options.older_than is not None and options.older_than < 0:
        raise UserError(f"--older-than is {options.older_than:g}, and must be at least 0 days")
    folder = images_folder(options.cache)
    found = entries.entries(folder, options.older_than or 0.0)
    if options.action == "list":
        listed = {"folder": str(folder), "bytes": sum(e.size for e in found), "entries": [e.to_dict() for e in found]}
        print(json.dumps(listed, indent=2) if options.json else entries.table(folder, found))
        return
    freed, kept = entries.remove(found)
    if options.json:
        print(json.dumps({"freed": freed, "kept": [e.to_dict() for e in kept]}, indent=2))
    else:
        print(entries.cleared(folder, freed, len(found) - len(kept), kept))


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
