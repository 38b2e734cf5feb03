"""The verbs as functions: what the command line calls, and what a notebook calls."""

import inspect as inspect_module
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gannet.config import CONVERTER, overridden, to_toml
from gannet.data.cache import cache_folder
from gannet.data.inspect import Inspection, contact_sheet
from gannet.data.inspect import inspect as inspect_source
from gannet.data.sources import Source, open_source
from gannet.diagnosis import Diagnosis, open_log
from gannet.diagnosis import diagnose as diagnose_log
from gannet.display import counted
from gannet.errors import UserError, nearest
from gannet.experiments.autopilot import Autopilot, Pilot
from gannet.experiments.autopilot import resume as resume
from gannet.files import write_with
from gannet.generation.load import Side, load_translator
from gannet.generation.translate import ImageToImage
from gannet.images import png
from gannet.options import budget, with_parts
from gannet.parsing import SHORT
from gannet.plan import facts_of, find_recipe, make_plan, start, where_now
from gannet.recipes import RECIPES
from gannet.recipes import recipe as named_recipe
from gannet.recipes.pick import Choice, pick
from gannet.sessions import IfExists, Trained, follow, holds_run, recorded, same_data, starting_from, train_plan
from gannet.training.build import completed
from gannet.training.engine import find_device
from gannet.training.ranks import ALONE, Ranks
from gannet.using.sampling import here
from gannet.using.sampling import load as load
from gannet.using.sampling import sample as sample
from gannet.using.translation import Translated, check_out, held_out_inputs, open_inputs, translate_files


def train(
    data: str | os.PathLike[str] | None = None,
    *,
    recipe: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    if_exists: IfExists = "refuse",
    init: str | os.PathLike[str] | None = None,
    track: str | None = None,
    allow_code: bool = False,
    **short: Any,
) -> Trained:
    """Trains on `data` (a folder, a zip, or a name such as `shapes`) and returns the run.

    Without a recipe one is picked for the data and the device. `settings` holds any setting of the
    recipe, as in `{"optim.G.lr": 1e-4}`; the short names are keywords: seed, kimg, epochs, minutes,
    resolution, batch, lr, device. `init` is another run, the folder of a generator, or `hf://OWNER/NAME`:
    its weights are the start, where they fit. With `if_exists="resume"` it goes on with the run that is in the
    folder `run`. Raises `UserError` for what the caller can mend.
    """
    path = Path(run) if run else None
    if if_exists == "resume":
        if path is None:
            raise UserError("if_exists='resume' needs the folder of the run: name it with run=")
        if holds_run(path):
            own = settings or {}
            new = {
                "cache": own.get("data.cache", ""),
                "group_by": own.get("data.group_by"),
                "other": own.get("data.other"),
                "device": short.get("device"),
            }
            return resume(path, data=_text(data), track=track, allow_code=allow_code, **new)
    autopilot = Autopilot({"source": None}, None, track, allow_code)

    def first_session(ranks: Ranks, pilot: Pilot) -> Trained:
        if not ranks.first:
            return follow(ranks, allow_code)
        values = {**spelled_out(short), **(settings or {})}
        of_data = {name: value for name, value in values.items() if name.partition(".")[0] == "data"}
        asked = overridden(find_recipe(_text(recipe) or "small"), of_data).data
        with counted("looking at the images") as progress:
            begin = start(_text(data), _text(recipe), short.get("device") or "auto", progress, asked)
        parts = {name.removesuffix(".name"): values.pop(name) for name in list(values) if name.endswith(".name")}
        chosen = overridden(with_parts(begin.recipe, parts, allow_code), values)
        plan, initial = starting_from(make_plan(begin, chosen, allow_code, ranks), _text(init), allow_code)
        autopilot.data = where_now(plan.recipe.data, plan.recipe.data.source)
        return train_plan(plan, path, allow_code, track, initial, pilot if plan.recipe.train.autopilot else None)

    return autopilot.play(first_session)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def spelled_out(short: dict[str, Any]) -> dict[str, Any]:
    """Short names as the settings that they stand for. Raises `UserError` for unknown ones."""
    spelled: dict[str, Any] = dict(
        budget({unit: short.pop(unit) for unit in ("kimg", "epochs", "minutes") if unit in short})
    )
    for name, value in short.items():
        if name not in ("seed", *SHORT):
            near = nearest(name, ("seed", "kimg", "epochs", "minutes", *SHORT))
            near = near if "did you mean" in near else f": settings={{'section.{name}': ...}} sets what a recipe has"
            raise UserError(f"train has no argument '{name}'{near}")
        spelled |= dict.fromkeys(SHORT.get(name, (name,)), value)
    return spelled


@dataclass(frozen=True)
class Inspected:
    """What `inspect` found, and the recipe that it recommends."""

    source: Source
    inspection: Inspection
    choice: Choice
    sheet: Path

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        recommended = {
            "recipe": self.choice.recipe.name,
            "resolution": self.choice.recipe.data.resolution,
            "why": self.choice.why,
        }
        return {
            "source": self.source.name,
            **self.inspection.to_dict(),
            "recommended": recommended,
            "sheet": str(self.sheet),
        }

    def __str__(self) -> str:
        found = self.inspection.scan
        data = self.choice.recipe.data
        rows = [
            ("images", f"{found.num:,}" + (f", {found.ignored} other files ignored" if found.ignored else "")),
            ("formats", ", ".join(f"{name} {num:,}" for name, num in found.formats.items())),
            ("modes", ", ".join(f"{name} {num:,}" for name, num in found.modes.items())),
            ("width", spread(found.width)),
            ("height", spread(found.height)),
            ("channels", {1: "1 (grey)", 3: "3 (RGB)", 4: "4 (RGB with transparency)"}[found.channels]),
            ("classes", ", ".join(f"{name} {num:,}" for name, num in found.classes.items()) or "none"),
            (
                "duplicates",
                f"{len(self.inspection.exact_duplicates)} exact groups, {len(self.inspection.near_duplicates)} near",
            ),
            ("unreadable", str(len(found.unreadable))),
            ("recipe", f"{self.choice.recipe.name} at {data.resolution}x{data.resolution}"),
            ("sheet", str(self.sheet)),
        ]
        lines = [f"{name:<11}{value}" for name, value in rows]
        lines += [f"           {name}: {reason}" for name, reason in found.unreadable[:10]]
        return "\n".join(lines + [f"- {text}" for text in (*self.inspection.notes, *self.choice.why)])


def spread(values: tuple[int, int, int]) -> str:
    """Smallest, median and largest in words."""
    return f"{values[0]} to {values[2]}, median {values[1]}"


def inspect(data: str | os.PathLike[str], sheet: Path = Path("contact_sheet.png")) -> Inspected:
    """Reads every image of `data` and writes a contact sheet. Raises `UserError` where there is nothing."""
    source = open_source(os.fspath(data), cache_folder())
    with counted("inspecting") as progress:
        inspection = inspect_source(source, progress)
    if inspection.scan.num > len(inspection.scan.unreadable):
        picture = contact_sheet(source)
        write_with(sheet, lambda file: file.write(png(picture)))
    return Inspected(source, inspection, pick(facts_of(inspection.scan, os.fspath(data))), sheet)


def diagnose(run_or_log: str | os.PathLike[str]) -> Diagnosis:
    """What is going wrong in a run or a log, since when, and the one change to make, the leading finding first.

    Raises `UserError` where there is no such run or log, or too little in it.
    """
    return diagnose_log(open_log(Path(run_or_log)))


def recipes_text(name: str | None = None, as_json: bool = False) -> str:
    """The list of recipes, or one recipe in full."""
    if name:
        recipe = completed(find_recipe(name))
        return json.dumps(CONVERTER.unstructure(recipe), indent=2) if as_json else documented(name, to_toml(recipe))
    recipes = [named_recipe(row) for row in RECIPES.rows]
    if as_json:
        return json.dumps(
            {recipe.name: {"about": recipe.about, "source": recipe.source} for recipe in recipes}, indent=2
        )
    return "\n".join(f"{recipe.name:<20}{recipe.about}\n{'':<20}after: {recipe.source}" for recipe in recipes)


def documented(name: str, toml: str) -> str:
    """The TOML under what the recipe's docstring says of its source."""
    if name not in RECIPES.rows:
        return toml.rstrip()
    doc = inspect_module.cleandoc(RECIPES.find(name).__doc__ or "")
    return "\n".join(f"# {line}".rstrip() for line in doc.splitlines()) + "\n" + toml.rstrip()


def translate(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str],
    to: Side = "b",
    held_out: bool = False,
    data: str | os.PathLike[str] | None = None,
    other: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> Translated:
    """Writes what a run makes of an image, or of all in a folder, to the folder `out`, by the same names, as PNG.

    Of one image `out` may be a file that ends in .png. Where the run was trained on pairs side by side, images twice
    as wide as high are such pairs, and G is given its half. `to` a takes the way back of a run of CycleGAN. With
    `held_out`, and no `images`, it is what the run has held out; `data` and `other` say where its folders are now. When
    it is interrupted, what is written stays. Raises `UserError` for what the caller can mend.
    """
    G = load_translator(here(run), find_device(device), to)
    if (images is None) != held_out:
        raise UserError("name the images to translate, or take those that the run holds out with --held-out: not both")
    if images is not None:
        if data or other:
            raise UserError("--data and --other say where the run's own images are, for --held-out: leave them out")
        return translated_by(G, images, out)
    recipe, facts = recorded(Path(run), {"source": _text(data), "other": _text(other)})
    inputs = held_out_inputs(recipe.data, same_data(recipe, facts, ALONE), to)
    for folder in filter(None, (recipe.data.source, recipe.data.other)):
        check_out(os.path.expanduser(folder), Path(out))
    with counted("translating") as progress:
        return translate_files(G, inputs, Path(out), progress)


def upscale(
    run: str | os.PathLike[str], images: str | os.PathLike[str], *, out: str | os.PathLike[str], device: str = "cpu"
) -> Translated:
    """`translate` by a run whose G enlarges. Raises `UserError` for others too."""
    G = load_translator(here(run), find_device(device))
    if G.scale == 1:
        raise UserError(f"{run} makes images as large as those it is given: use gannet translate, or train with srgan")
    return translated_by(G, images, out)


def translated_by(G: ImageToImage, images: str | os.PathLike[str], out: str | os.PathLike[str]) -> Translated:
    path = os.path.expanduser(images)
    check_out(path, Path(out))
    with counted("translating" if G.scale == 1 else "enlarging") as progress:
        return translate_files(G, open_inputs(path, G.given), Path(out), progress)
