"""How good a trained network or a folder of images is: the numbers of `gannet evaluate`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from gannet.config import Recipe
from gannet.data.cache import cache_folder
from gannet.data.sources import shown
from gannet.errors import UserError
from gannet.evaluating.generated import Asked, evaluate_generated
from gannet.evaluating.judge import SEED
from gannet.evaluating.report import Report
from gannet.evaluating.sides import Sides, of_folders, of_generator, of_run, progress_of
from gannet.evaluating.translated import Evaluation, evaluate_held_out, makes_of_noise
from gannet.evaluation.extractors import Extractor, open_extractor
from gannet.generation.load import Generator
from gannet.networks.folder import generator_folder, read_network
from gannet.sessions import holds_run, quote, recorded
from gannet.training.engine import find_device
from gannet.training.ranks import Ranks, launched

NETWORKS = (".onnx", ".safetensors")

__all__ = ["Evaluation", "Report", "evaluate"]


def evaluate(
    run: str | os.PathLike[str],
    against: str | os.PathLike[str] | None = None,
    *,
    num: int | None = None,
    extractor: str | None = None,
    metrics: Sequence[str] = (),
    reals: Literal["trained-on", "held-out"] | None = None,
    force: bool = False,
    seed: int = SEED,
    truncation: float | None = None,
    useful: bool = False,
    out: str | os.PathLike[str] | None = None,
    resolution: int | None = None,
    data: str | os.PathLike[str] | None = None,
    other: str | os.PathLike[str] | None = None,
    device: str = "auto",
    allow_code: bool = False,
) -> Report | Evaluation:
    """Measures a run, or a folder of images, against the images at `against`.

    A run that makes images of noise is measured, without `against`, against the images that it was trained on
    (`reals` "held-out": against those that it held out), by `num` of its images, and tested for copying where it
    has held images out. Runs of pairs, of unpaired sets, of enlarging and of clips are measured on what they hold
    out, by all of it or by `num` items, and give an `Evaluation`. `metrics` are those of `gannet evaluate --metrics`,
    `data` says where a run's images are now, `other` where those of its second folder are, and the folder `out`
    gets the report. Of several ranks the first alone has scores. Raises `UserError` for what the caller can mend:
    nothing to measure, images of different sizes, too few of them, or a damaged one.
    """
    place = Place(os.fspath(run), text(against), text(data), text(other))
    folder = None if out is None else Path(out)
    check(num, resolution, folder)
    home, recipe, facts = run_of(place)
    if not (recipe or place.against):
        raise nothing_against(place.path)
    if folder and home and recipe and recipe.data.private and folder.resolve().is_relative_to(home.resolve()):
        raise UserError(f"{run} is private, and the report shows real images: name another folder with --out")
    asked = Asked(num, metrics, force, seed, truncation, useful)
    weights = weights_of(place.path)
    with launched() as ranks:
        where = find_device(device, ranks)

        def extract(name: str) -> Extractor:
            with progress_of("loading the extractor", ranks) as progress:
                return open_extractor(extractor or name, where, cache_folder(), allow_code, progress)

        if recipe and not makes_of_noise(recipe):
            refuse_for_held_out(place, asked, reals, resolution)
            if not ranks.first:
                return Evaluation(place.path, "", "", ())
            report = evaluate_held_out(place.path, recipe, facts, num, where, lambda: extract("efficientnet-lite0"))
        else:
            with first_before_others(ranks):
                eyes = extract("inception") if asked.needs_extractor else None
                sides = sides_of(place, recipe, facts, reals, resolution, where, ranks)
                if not isinstance(sides.fake, Generator):
                    refuse({"--truncation": truncation}, f"{run} is a folder of images")
            report = evaluate_generated(sides, eyes, asked, ranks)
        if weights == weights_of(place.path):  # else a run that trains has written others meanwhile
            report = replace(report, weights=weights)
        if folder and ranks.first:
            report.write(folder)
        return report


@dataclass(frozen=True)
class Place:
    """The run or folder that is measured, the images that it is measured against, and where the run's own are now."""

    run: str
    against: str | None
    data: str | None
    other: str | None

    @property
    def path(self) -> Path:
        return Path(self.run)


def text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def check(num: int | None, resolution: int | None, out: Path | None) -> None:
    """Raises `UserError` for numbers out of range, and where the report would have to be a file."""
    if num is not None and num < 2:
        raise UserError(f"--num is {num}, and must be at least 2")
    if resolution is not None and resolution < 1:
        raise UserError(f"--resolution is {resolution}, and must be at least 1")
    if out and out.exists() and not out.is_dir():
        raise UserError(f"{shown(out)} is a file: name a folder with --out")


def refuse_for_held_out(place: Place, asked: Asked, reals: str | None, resolution: int | None) -> None:
    """Raises `UserError` for what has no meaning where a network is measured on what its run holds out."""
    options = {
        "DATA": place.against,
        "--metrics": asked.metrics or None,
        "--reals": reals,
        "--force": asked.force,
        "--useful": asked.useful,
        "--truncation": asked.truncation,
        "--resolution": resolution,
    }
    refuse(options, f"{place.run} is measured on what it holds out, beside what it is given")


def run_of(place: Place) -> tuple[Path | None, Recipe | None, dict[str, Any]]:
    """The folder, recipe and facts of the run, or of that in which a generator's folder lies; else None.

    Raises `UserError` where a private run is not told where its images are.
    """
    path = place.path
    refuse_what_holds_no_images(place)
    if place.against:
        refuse({"--data": place.data}, "the real images are those in DATA")
    for folder in (path, *path.absolute().parents[:2]) if holds_generator(path) else (path,):
        if holds_run(folder):
            return folder, *recorded(folder, {"source": place.against or place.data, "other": place.other})
    refuse({"--data": place.data, "--other": place.other}, f"{path} is no run")
    return None, None, {}


def refuse_what_holds_no_images(place: Place) -> None:
    """Raises `UserError` for a folder of runs, a network in a file, and a run in the place of images."""
    path = place.path
    if path.suffix.lower() in NETWORKS:
        raise UserError(
            f"{path} is a network in a file: make images with gannet sample {quote(path)} --num 2048 --out samples, "
            "and measure these, as in gannet evaluate samples DATA"
        )
    inside = sorted(path.iterdir()) if path.is_dir() and not holds_run(path) and not holds_generator(path) else []
    if runs := [child for child in inside if holds_run(child)]:
        raise UserError(
            f"{path} is a folder of runs: measure one, as in gannet evaluate {quote(runs[0])}, or see them side by "
            f"side with gannet compare {quote(path)}"
        )
    if place.against and holds_run(Path(place.against)):
        raise UserError(
            f"{place.against} is a run, and its pictures are no data to measure against: name the images, or see runs "
            f"side by side with gannet compare {quote(path)} {quote(Path(place.against))}"
        )


def holds_generator(path: Path) -> bool:
    """Whether a generator lies in the folder, or is the folder."""
    return (path / "generator").exists() or (path / "config.json").exists()


def weights_of(path: Path) -> str:
    """The SHA-256 of the weights of the generator in the folder; nothing where it holds none."""
    return str(read_network(generator_folder(path))[0]["sha256"]) if holds_generator(path) else ""


def sides_of(
    place: Place,
    recipe: Recipe | None,
    facts: Mapping[str, Any],
    reals: Literal["trained-on", "held-out"] | None,
    resolution: int | None,
    device: torch.device,
    ranks: Ranks,
) -> Sides:
    """What is measured and against what. Raises `UserError` where either is not there."""
    path = place.path
    if not place.against:
        assert recipe
        refuse({"--resolution": resolution}, f"{path} and the images that it was trained on have one size")
        return of_run(path, recipe, facts, "held out" if reals == "held-out" else "trained on", device, ranks)
    refuse({"--reals": reals}, "the real images are those in DATA")
    if recipe or holds_generator(path):
        return of_generator(path, place.against, resolution, device, bool(recipe and recipe.data.private), ranks)
    return of_folders(place.run, place.against, resolution, ranks)


def nothing_against(path: Path) -> UserError:
    """What to say where no run is named and no real images are."""
    if not path.exists():
        return UserError(f"there is no run at {path}: gannet train makes one")
    return UserError(f"{path} is no run: say against which images, as in gannet evaluate {quote(path)} DATA")


def refuse(options: Mapping[str, Any], why: str) -> None:
    """Raises `UserError` for the first of the options that is set."""
    if asked := next((name for name, value in options.items() if value is not None and value is not False), None):
        raise UserError(f"{why}: leave {asked} out")


@contextmanager
def first_before_others(ranks: Ranks) -> Iterator[None]:
    """Lets the first rank download and decode, and then the others find what it has made."""
    if not ranks.first:
        ranks.await_first("prepared")
    yield
    if ranks.first:
        ranks.await_first("prepared")
    ranks.wait_for_all()
