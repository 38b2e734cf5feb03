"""The commands that say how good runs are."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from gannet.commands.options import parse


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
    """Of frechet (fid with inception, fd-dinov2 with dinov2), kid, precision, recall, density, coverage, is (with
    inception), ppl; all but ppl without it."""
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
    """Folder for report.md, report.json, and a picture: pairs.png, the samples nearest to training images, or of what
    was held out, images.png, inputs, outputs and targets."""
    resolution: int | None = None
    """Width and height to which all images are brought where their sizes differ."""
    data: str | None = None
    """Where the run's images are now, if they moved."""
    other: str | None = None
    """Where the second folder of two is now."""
    device: str = "auto"
    """cpu, cuda, mps or auto."""
    json: bool = False
    """Print JSON."""
    allow_code: bool = False
    """Import an extractor that is named as module:callable."""


def evaluate(argv: list[str]) -> None:
    from gannet.display import print_report
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
        print_report(found)
        if options["out"]:
            print(f"report    {options['out']}")


@dataclass(frozen=True)
class Compare:
    """Runs side by side: curves, grids of the same noise, what their metrics say over seeds, a paired test.

    Runs that differ in nothing but the seed are one group; a folder counts as the runs in it.
    """

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN...")] = ()
    out: Path | None = None
    """Folder for curves.png, grids.png, report.md and report.json; compare without it, or compare-2, ... where others
    hold the reports of other runs."""
    if_exists: Literal["refuse", "replace"] = "refuse"
    """What to do where --out holds a report of other runs: refuse, or write over it."""
    quality: float | None = None
    """The value of the metric to which time is taken; without it the worst of the groups' best means."""
    json: bool = False
    """Print JSON."""


def compare(argv: list[str]) -> None:
    from gannet.display import print_report
    from gannet.errors import UserError
    from gannet.experiments.compare import compare

    options = parse(Compare, argv, "compare")
    if not options.runs:
        raise UserError("name the runs, or a folder of them, as in gannet compare runs/one runs/other")
    found = compare(*options.runs, out=options.out, quality=options.quality, if_exists=options.if_exists)
    if options.json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print_report(found)


@dataclass(frozen=True)
class Diagnose:
    """What is going wrong in a run, since when, and the one change to make.

    Other people's logs do as well: CSV or JSON lines with columns such as step, d_loss, g_loss, fid, and
    TensorBoard's event files.
    """

    log: Annotated[Path, Positional, arg(metavar="RUN|LOG")]
    out: Path | None = None
    """A folder for the report and for the curves with the findings marked on them."""
    json: bool = False
    """Print JSON."""


def diagnose(argv: list[str]) -> None:
    from gannet.diagnosis import diagnose, open_log, report

    options = parse(Diagnose, argv, "diagnose")
    log = open_log(options.log)
    found = diagnose(log)
    said = report.text(found, log, options.log.resolve().name)
    if options.out is not None:
        from gannet.diagnosis.curves import save_curves
        from gannet.files import write_text

        save_curves(found, log, options.out / "diagnosis.png")
        write_text(options.out / "diagnosis.txt", said + "\n")
    print(json.dumps(found.to_dict(), indent=2) if options.json else said)
