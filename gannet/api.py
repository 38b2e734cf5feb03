"""The verbs as functions: what the command line calls, and what a notebook calls."""

import inspect as inspect_module
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote as shell_quote
from types import FrameType
from typing import Any

from PIL import Image

from gannet.config import CONVERTER, amount, changed, overridden, read_recipe, to_toml
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.inspect import Inspection, contact_sheet
from gannet.data.inspect import inspect as inspect_source
from gannet.data.sources import Source, open_source
from gannet.display import counted, display_for
from gannet.errors import UserError
from gannet.files import write_text, write_with
from gannet.generation.load import load
from gannet.generation.sample import Drawn, draw, write_files, write_grid
from gannet.images import png
from gannet.options import budget, with_parts
from gannet.parsing import SHORT
from gannet.plan import Plan, facts_of, find_recipe, machine_facts, make_plan, moved, run_folder, start
from gannet.recipes import RECIPES
from gannet.recipes import recipe as named_recipe
from gannet.recipes.pick import Choice, pick
from gannet.training.build import build_training, completed
from gannet.training.checkpoint import restore_newest
from gannet.training.engine import Engine, find_device
from gannet.training.pictures import read_stats
from gannet.training.run import Run

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True)
class Trained:
    """A run folder, as Python sees it."""

    path: Path
    finished: bool

    @property
    def stats(self) -> list[dict[str, Any]]:
        """The lines of stats.jsonl."""
        return read_stats(self.path / "stats.jsonl")

    def grid(self) -> Image.Image:
        """The newest grid of samples."""
        return Image.open(sorted((self.path / "samples").glob("kimg*.png"))[-1])

    def __fspath__(self) -> str:
        return str(self.path)


def train(
    data: str | os.PathLike[str] | None = None,
    *,
    recipe: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_code: bool = False,
    **short: Any,
) -> Trained:
    """Trains on `data` (a folder, a zip, or a name such as `shapes`) and returns the run.

    Without a recipe one is picked for the data and the device. `settings` holds any setting of the
    recipe, as in `{"optim.G.lr": 1e-4}`; the short names are keywords: seed, kimg, epochs, minutes,
    resolution, batch, lr, device. Raises `UserError` for what the caller can mend.
    """
    with counted("looking at the images") as progress:
        begin = start(_text(data), _text(recipe), short.get("device") or "auto", progress)
    values = {**spelled_out(short), **(settings or {})}
    parts = {name.removesuffix(".name"): values.pop(name) for name in list(values) if name.endswith(".name")}
    chosen = overridden(with_parts(begin.recipe, parts, allow_code), values)
    return train_plan(make_plan(begin, chosen, allow_code), Path(run) if run else None, allow_code)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def spelled_out(short: dict[str, Any]) -> dict[str, Any]:
    """Short names as the settings that they stand for. Raises `UserError` for unknown ones."""
    spelled: dict[str, Any] = dict(
        budget({unit: short.pop(unit) for unit in ("kimg", "epochs", "minutes") if unit in short})
    )
    for name, value in short.items():
        if name not in ("seed", *SHORT):
            raise UserError(
                f"train has no argument '{name}': settings={{'section.{name}': ...}} sets what a recipe has"
            )
        spelled |= dict.fromkeys(SHORT.get(name, (name,)), value)
    return spelled


def train_plan(
    plan: Plan, run: Path | None = None, allow_code: bool = False, say: Callable[[str], None] = print
) -> Trained:
    """Trains what was planned into a new run folder. Raises `UserError` when the folder holds a run."""
    if run and (run / "recipe.toml").exists():
        raise UserError(f"{run} holds a run already: choose another --run, or go on with gannet resume {quote(run)}")
    path = run or run_folder(Path("runs"), plan.recipe)
    for line in plan.lines:
        say(line)
    say(f"run     {path}")
    with counted("decoding") as progress:
        dataset = plan.prepare(progress)
    if dataset.unreadable:
        name, reason = dataset.unreadable[0]
        say(f"left out {len(dataset.unreadable)} files that cannot be read; the first, {name}: {reason}")
    plan = plan.with_images(len(dataset.images))
    recipe = changed(moved(plan.recipe, Path(), path), "data", cache="")
    write_text(path / "recipe.toml", to_toml(recipe, plan.facts(dataset)))
    training = build_training(plan.recipe, dataset, plan.engine, allow_code)
    return play(Run(path, training, plan.total_nimg, []), say)


def resume(
    run: str | os.PathLike[str],
    *,
    data: str | None = None,
    device: str | None = None,
    cache: str = "",
    allow_code: bool = False,
    say: Callable[[str], None] = print,
) -> Trained:
    """Goes on with a run from its newest checkpoint, to the end that it was started for.

    `data` says where the images are now, if they moved, `device` where to compute now, `cache` where
    decoded images lie. On another device or torch it goes on, and says that it is not bit for bit.
    Raises `UserError` where the run or its data cannot be found, or the data is another.
    """
    path = Path(run)
    if not (path / "recipe.toml").exists():
        raise UserError(f"there is no run at {path}: gannet train makes one")
    recipe, facts = read_recipe(path / "recipe.toml")
    if "data_fingerprint" not in facts or "channels" not in facts:
        raise UserError(f"{path / 'recipe.toml'} does not say what was trained on, in its table [run]: it is no run's")
    recipe = changed(moved(completed(recipe, allow_code), path, Path()), "data", cache=cache)
    where = data or recipe.data.source
    source = open_source(where, cache_folder())
    with counted("decoding") as progress:
        dataset = prepare(source, recipe.data, facts["channels"], progress)
    if dataset.fingerprint != facts["data_fingerprint"]:
        raise UserError(f"the images in {where} are not those that {path} was trained on: name those with --data")
    engine = Engine(find_device(device or recipe.train.device), recipe.train.precision)
    training = build_training(recipe, dataset, engine, allow_code)
    saved = restore_newest(training, path / "checkpoints", say)
    with (path / "stats.jsonl").open("ab") as file:
        file.truncate(min(file.tell(), saved.get("stats_bytes", 0)))
    total_nimg = round(amount(recipe.train.length)[0] * 1000)
    continued = Run(path, training, total_nimg, [], seconds=saved.get("seconds", 0.0))
    if training.cur_nimg >= total_nimg:
        say(f"{path} is finished: {total_nimg / 1000:g} kimg; a longer one is new: --recipe {quote(path)} --kimg N")
        return Trained(path, finished=True)
    say(f"{path} goes on at {training.cur_nimg / 1000:.1f} of {total_nimg / 1000:g} kimg")
    if others := differences(facts, engine):
        say(f"not bit for bit as it would have been, since {others}")
        continued.event("resumed", differs=others)
    return play(continued, say)


def differences(facts: Mapping[str, Any], engine: Engine) -> str:
    """What of the machine is not as it was when the run started, in words."""
    now = machine_facts(engine)
    other = [name for name in now if facts.get(name) not in (None, now[name])]
    return ", ".join(f"{name} is {now[name]} and was {facts[name]}" for name in other)


def play(run: Run, say: Callable[[str], None]) -> Trained:
    """Trains with a display, until the end or until the user or the system asks to stop."""
    display = display_for(run.total_nimg)
    run.listeners.append(display)
    try:
        with stop_signals() as stopped:
            finished = run.play(stopped.is_set)
    finally:
        display.close()
    samples = run.path / "samples"
    if not finished:
        at = f"{run.training.cur_nimg / 1000:.1f} kimg"
        say(f"stopped at {at}, all saved; go on with: gannet resume {quote(run.path)}")
        return Trained(run.path, finished=False)
    say(f"pictures  {samples / 'real_and_generated.png'} (real left, generated right), {samples / 'evolution.webp'}")
    say(f"curves    {run.path / 'curves.png'}")
    say(f"try next  gannet sample {quote(run.path)} --num 64 --grid --out samples.png")
    return Trained(run.path, finished=True)


def quote(path: Path) -> str:
    """A path as a word of a command line."""
    return shell_quote(str(path))


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a closed terminal set the event; a second Ctrl-C raises KeyboardInterrupt at once."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def sample(
    run: str | os.PathLike[str],
    *,
    num: int = 64,
    per_class: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] = "samples",
    grid: bool = False,
    beside_real: bool = False,
    label: int | str | None = None,
    min_realness: float | None = None,
    device: str = "cpu",
) -> Drawn:
    """Writes images from a run's generator: PNGs into the folder `out`, or one picture with `grid`.

    `num` images, or `num` of each class with `per_class`. Raises `UserError` for what the caller can mend.
    """
    if beside_real and not grid:
        raise UserError("--beside-real is for one picture: add --grid")
    if seed < 0:
        raise UserError(f"--seed is {seed}, and must be at least 0")
    if min_realness is not None and not 0 <= min_realness <= 1:
        raise UserError(f"--min-realness is {min_realness}, and must be from 0 to 1")
    if num < 1:
        raise UserError(f"--num is {num}, and must be at least 1")
    out = Path(out)
    if grid and out.suffix.lower() != ".png":
        out = out.with_name(f"{out.name}.png")
    if not grid and out.is_file():
        raise UserError(f"{out} is a file: name a folder, or add --grid for one picture")
    G = load(run, find_device(device))
    with counted("sampling") as progress:
        chosen, num_drawn = draw(G, num, seed, label, per_class, min_realness, progress)
    files = write_grid(G, chosen, out, beside_real) if grid else write_files(G, chosen, seed, out)
    return Drawn(files, len(chosen), num_drawn)
