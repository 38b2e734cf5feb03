"""What a run will do, decided before it starts, and said: data, recipe, device, budget, and why."""

import contextlib
import dataclasses
import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gannet import __version__
from gannet.config import CONVERTER, Data, Part, Recipe, amount, changed, number, read_recipe
from gannet.data import SOURCES
from gannet.data.cache import OFF, cache_bytes, cache_folder
from gannet.data.dataset import Dataset, check_unreadable, how_opened, opened, prepare
from gannet.data.scan import Scan, left_out, scan
from gannet.data.sources import Source, shown
from gannet.display import duration, told_if_long
from gannet.errors import UserError
from gannet.files import size_of
from gannet.recipes import recipe as named_recipe
from gannet.recipes.pick import Choice, Facts, pick
from gannet.training.build import (
    PARTS,
    build_networks,
    check_shares,
    classes_of,
    complete,
    completed,
    game_of,
    takes_classes,
)
from gannet.training.engine import Engine, find_device, halved, make_deterministic, out_of_memory
from gannet.training.measure import Speed, measure
from gannet.training.ranks import ALONE, Ranks
from gannet.training.schedule import falling_before, in_kimg, unfinished

SHORT_RUN = 200  # iterations

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Start:
    """A recipe to start from, the data that it is for, and how it was chosen."""

    recipe: Recipe
    source: Source
    scan: Scan
    why: list[str]
    data: Data
    """The settings that the source was opened with."""

    def again(self, data: Data) -> "Start":
        """The same, opened with other settings, where they would open something else."""
        if how_opened(data) == how_opened(self.data):
            return self
        source = opened(data, cache_folder())
        return dataclasses.replace(self, source=source, scan=scan(source), data=data)


@dataclass(frozen=True)
class Plan:
    """A complete recipe, the device and its speed, and what it will cost."""

    recipe: Recipe
    source: Source
    scan: Scan
    channels: int
    engine: Engine
    speed: Speed
    total_nimg: int
    epochs: float
    """The budget where it was given in epochs, else 0."""
    schedules: Mapping[str, str]
    """As they were asked for, perhaps in parts of the run; those of `recipe` are in kimg."""
    lines: list[str]

    @property
    def num_images(self) -> int:
        return self.scan.num - len(self.scan.unreadable)

    @property
    def num_trained_on(self) -> int:
        """About how many of them are not held out, before it is known."""
        return trained_on(self.num_images, self.recipe.data)

    def to_dict(self) -> dict[str, Any]:
        """The plan, ready for JSON."""
        seconds = self.speed.seconds_for(self.total_nimg)
        return {
            "recipe": CONVERTER.unstructure(self.recipe),
            "num_images": self.num_images,
            "channels": self.channels,
            "device": str(self.engine.device),
            "kimg": self.total_nimg / 1000,
            "epochs": self.total_nimg / self.num_trained_on,
            "images_per_second": self.total_nimg / seconds,
            "seconds": seconds,
            "unmatched": self.source.unmatched,
            "says": self.lines,
        }

    def prepare(self, progress: Progress | None = None) -> Dataset:
        """The decoded images, from the cache or built now."""
        return prepare(self.source, self.recipe.data, self.channels, progress)

    def with_images(self, num: int) -> "Plan":
        """The plan where, now that they are decoded, so many images are there to train on."""
        if num == self.num_trained_on:
            return self
        total_nimg = int(self.epochs * num) or self.total_nimg
        recipe = changed(self.recipe, "train", length=f"{number(total_nimg / 1000)} kimg")
        recipe = in_kimg(dataclasses.replace(recipe, schedules=self.schedules), total_nimg, num)
        return dataclasses.replace(self, recipe=recipe, total_nimg=total_nimg)

    def facts(self, dataset: Dataset) -> dict[str, Any]:
        """What recipe.toml says of the machine and the data, so that the run can be told apart from others."""
        return {
            "gannet": __version__,
            "python": platform.python_version(),
            **machine_facts(self.engine),
            "precision": f"{self.speed.precision}: {self.speed.why}",
            "data_fingerprint": dataset.fingerprint,
            "num_images": len(dataset.images),
            "num_held_out": len(dataset.held_out),
            "channels": self.channels,
            "classes": list(dataset.classes),
        }


def machine_facts(engine: Engine) -> dict[str, Any]:
    """What has to be the same for the same weights, bit for bit."""
    return {
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": device_name(engine.device),
        "threads": torch.get_num_threads(),
        "ranks": engine.ranks.num,
    }


def start(
    data: str | None,
    recipe: str | None,
    device: str = "auto",
    progress: Progress | None = None,
    asked: Data | None = None,
) -> Start:
    """Opens the data and finds the recipe: by name, from a file, or picked for the data.

    `asked` are the settings of the data as the user has them; without, those of the recipe. Raises `UserError`
    when there is no such data or recipe.
    """
    named = find_recipe(recipe) if recipe else None
    if data == "":
        raise UserError("the name of the data is empty: name a folder, a zip, or shapes")
    source_name = data or (named.data.source if named else "shapes")
    if not source_name:
        raise UserError(
            f"the recipe '{recipe}' has no data of its own: name yours, as in gannet train FOLDER --recipe {recipe}"
        )
    how = dataclasses.replace(asked or (named.data if named else Data()), source=source_name)
    source = opened(how, cache_folder())
    found = scan(source, progress)
    if found.num == len(found.unreadable):
        name, reason = found.unreadable[0]
        raise UserError(
            f"none of the {found.num} files in {shown(source_name)} can be read; the first, {name}: {reason}"
        )
    choice = Choice(named, []) if named else pick(facts_of(found, source_name, device))
    return Start(changed(choice.recipe, "data", source=source_name), source, found, choice.why, how)


def find_recipe(name: str) -> Recipe:
    """A recipe by name, from a TOML file, or from another run's folder."""
    path = Path(name)
    if path.is_dir() and (path / "recipe.toml").exists():
        path /= "recipe.toml"
    if path.suffix != ".toml":
        return named_recipe(name)
    recipe, facts = read_recipe(path)
    return moved(recipe, path.parent, Path()) if facts else recipe


def where_now(data: Data, source: str | None) -> dict[str, str | None]:
    """What `data` and `source` say of where the images are, for a run that goes on; None where they do not."""
    named = {name: getattr(data, name) or None for name in ("other", "group_by", "cache")}
    return {"source": source, **named}


def moved(recipe: Recipe, before: Path, after: Path) -> Recipe:
    """The recipe with its paths, of data and extractor, where they are relative to `before`, relative to `after`."""

    def relative(text: str, is_pattern: bool = False) -> str:
        if not text or text in SOURCES.rows or not (is_pattern or (before / text).exists()):
            return text
        try:
            path = Path(os.path.relpath((before / text).resolve(), after.resolve())).as_posix()
        except ValueError:  # on another drive of Windows
            return text
        return f"./{path}" if path in SOURCES.rows else path

    source, extractor = recipe.data.source, recipe.train.extractor
    is_pattern = "://" not in source and any(sign in source for sign in "*?[{")
    if extractor.lower().endswith(".onnx"):
        recipe = changed(recipe, "train", extractor=relative(extractor))
    return changed(
        recipe,
        "data",
        source=relative(source, is_pattern),
        other=relative(recipe.data.other),
        group_by=relative(recipe.data.group_by),
    )


def facts_of(found: Scan, source_name: str, device: str = "auto") -> Facts:
    return Facts(
        num=found.num,
        side=min(found.width[1], found.height[1]),
        classes=len(found.classes),
        pixel_art=found.pixel_art,
        dark_border=found.dark_border,
        drawn=source_name.startswith("shapes"),
        accelerated=find_device(device).type != "cpu",
    )


def make_plan(begin: Start, recipe: Recipe, allow_code: bool = False, ranks: Ranks = ALONE) -> Plan:
    """Measures the device, turns the budget into images, and says what will happen.

    `recipe` is that of `begin` with the user's settings. Raises `UserError` for what cannot be.
    """
    recipe = completed(recipe, allow_code)
    begin = begin.again(recipe.data)
    found = begin.scan
    if recipe.data.labels and len(found.classes) < 2:
        loose = f", since {begin.source.loose:,} images lie beside them" if begin.source.loose else ""
        raise UserError(
            f"{shown(recipe.data.source)} has no class folders to take labels from{loose}: put each class"
            " into a folder of its own, or train without labels (--data.no-labels)"
        )
    channels = recipe.data.channels or found.channels
    if channels == 4 and recipe.data.alpha != "keep":
        channels = 3
    classes = classes_of(recipe, tuple(found.classes) if recipe.data.labels else (), allow_code)
    device = find_device(recipe.train.device, ranks)
    if recipe.train.deterministic:
        make_deterministic()
    check_shares(recipe, ranks.num)
    num = trained_on(found.num - len(found.unreadable), recipe.data)
    check_unreadable(found.unreadable, found.num, recipe.data)
    parameters = {
        name: sum(p.numel() for p in net.parameters())
        for name, net in build_networks(recipe, channels, len(classes), allow_code).items()
    }
    with told_if_long(f"measuring how fast {recipe.name} trains here"):
        recipe, speed, why_less = measure_what_fits(recipe, channels, classes, device, allow_code, ranks)
    engine = Engine(device, speed.precision, ranks)
    value, unit = amount(recipe.train.length)
    per = {
        "kimg": 1000,
        "epochs": num,
        "iterations": speed.images_per_iteration,
    }
    asked_nimg = speed.images_in(60 * value) if unit == "minutes" else value * per[unit]
    total_nimg = max(int(round(asked_nimg, 6)), recipe.train.batch)
    asked = recipe.schedules
    recipe = changed(recipe, "train", length=f"{number(total_nimg / 1000)} kimg", precision=speed.precision)
    recipe = in_kimg(recipe, total_nimg, num)
    epochs = value if unit == "epochs" else 0.0
    plan = Plan(recipe, begin.source, found, channels, engine, speed, total_nimg, epochs, asked, [])
    unheard = labels_unheard(completed(begin.recipe, allow_code), recipe, classes, allow_code)
    why = [*begin.why, *why_less, *unheard]
    return dataclasses.replace(plan, lines=describe(plan, why, parameters, classes, allow_code))


def labels_unheard(before: Recipe, recipe: Recipe, classes: tuple[str, ...], allow_code: bool) -> list[str]:
    """A sentence on each network that was asked to take labels in some way, and is told none.

    `before` is the recipe without the user's settings: what stands there already may be for data with labels.
    """
    found = []
    for field, is_told in (("G", True), ("D", game_of(recipe, allow_code).labels_for_d)):
        part, known = getattr(recipe, field), getattr(before, field)
        label = part.settings.get("label", "none")
        usual = known.settings if known.name == part.name else defaults(field, part.name, allow_code)
        if label == "none" or label == usual.get("label") or (classes and is_told):
            continue
        why = f"the game '{recipe.game.name}' tells {field} no label" if classes else "the run has no labels"
        found.append(f"--{field}.label {label} changes nothing: {why}")
    return found


def defaults(field: str, name: str, allow_code: bool) -> Mapping[str, Any]:
    """The settings of a part where nobody sets them."""
    return complete(Part(name), field, PARTS[field].find(name, allow_code)).settings


def trained_on(num: int, data: Data) -> int:
    """About how many of `num` images are left to train on: a hash decides which are held out."""
    return max(1, round(num * (1 - data.held_out)))


def measure_what_fits(
    recipe: Recipe, channels: int, classes: tuple[str, ...], device: torch.device, allow_code: bool, ranks: Ranks
) -> tuple[Recipe, Speed, list[str]]:
    """The speed of all ranks; the recipe, with fewer images at once where memory ran out; and a line that says so."""
    asked = recipe.train.micro_batch or recipe.train.batch // ranks.num
    micro = asked
    while micro:
        own = changed(recipe, "train", batch=recipe.train.batch // ranks.num, micro_batch=micro)
        try:
            speed = measure(own, random_dataset(own, channels, classes), device, allow_code)
        except Exception as error:
            if not out_of_memory(error):
                raise
            micro = halved(micro)
            continue
        speed = dataclasses.replace(speed, images_per_iteration=speed.images_per_iteration * ranks.num)
        if micro == asked:
            return recipe, speed, []
        why = f"{asked} images at once do not fit into memory: a batch is computed {micro} at a time"
        return changed(recipe, "train", micro_batch=micro), speed, [why]
    raise UserError(
        f"not even one image of {recipe.data.resolution} pixels fits into the memory of {device_name(device)}:"
        " lower --data.resolution or the networks' width"
    )


def random_dataset(recipe: Recipe, channels: int, classes: tuple[str, ...]) -> Dataset:
    """Images of noise in the shape of the data, to measure with before anything is decoded."""
    num, size = 2 * recipe.train.batch, recipe.data.resolution
    random = np.random.Generator(np.random.Philox(0))
    images = random.integers(0, 256, (num, channels * recipe.data.num_frames, size, size), np.uint8)
    labels = np.arange(num) % max(len(classes), 1)
    one = Dataset(images, labels, classes, [], images[:0], "", [], Path())
    return dataclasses.replace(one, other=one) if recipe.data.kind == "unpaired" else one


def holds(reason: str, data: Data) -> bool:
    """Whether a reason of what was picked is still one, as settings may have been given otherwise."""
    size, is_of_size, _ = reason.partition(" pixels: ")
    return (data.labels or "class folders" not in reason) and (not is_of_size or size == str(data.resolution))


def describe(
    plan: Plan, why: list[str], parameters: dict[str, int], asked_of_g: tuple[str, ...], allow_code: bool
) -> list[str]:
    """The plan in a few lines. `asked_of_g` are the classes that G is asked for, the data's or the game's own."""
    recipe, found = plan.recipe, plan.scan
    kind = {1: "grey", 3: "RGB", 4: "RGB with alpha"}[plan.channels]
    size = f"{found.width[1]}x{found.height[1]}"
    if found.width[0] != found.width[2] or found.height[0] != found.height[2]:
        size = f"{found.width[0]}x{found.height[0]} to {found.width[2]}x{found.height[2]}"
    classes = f", {len(found.classes)} classes" if found.classes else ""
    what = f"{plan.num_images:,} {recipe.data.items}"
    where = " and ".join(filter(None, (recipe.data.source, recipe.data.other)))
    if given := plan.source.other:
        nums = [f"{len(given):,}", f"{plan.num_images:,}"][:: -1 if recipe.data.swap else 1]
        what = f"{' and '.join(nums)} images, unpaired"
    lines = [f"data    {where}: {what}, {size}, {kind}{classes}"]
    if given:
        lines.append(f"        G makes images of {plan.source.name} from those of {given.name}, and F the other way")
    if recipe.data.kind == "pairs" and not recipe.data.other and found.height[1] == 2 * found.width[1]:
        lines.append(
            "        each square image is cut into two halves, a pair: if they are none, name the second folder"
        )
    if recipe.data.kind == "images" and found.width == tuple(2 * side for side in found.height):
        lines.append("        each is twice as wide as high: if it is a pair side by side, add --recipe pix2pix-small")
    if found.animated and recipe.data.kind == "images":
        how = "--recipe dvdgan-small" + ("" if found.classes else " --data.no-labels")
        lines.append(f"        of each animation the first frame is the image: for clips add {how}")
    if alone := plan.source.unmatched:
        lines.append(f"        left out, as they have no partner: {len(alone):,}, such as {', '.join(alone[:3])}")
    if found.unreadable:
        one = found.unreadable[0][0] + (" or its partner" if recipe.data.kind == "pairs" and recipe.data.other else "")
        num = f"{len(found.unreadable)} {recipe.data.items}"
        lines.append(f"        left out, as they cannot be read: {num}, such as {one}")
    if plan.source.loose:
        lines.append(
            f"        no classes: {plan.source.loose:,} images lie beside folders that could be classes;"
            " move them into the folder of their class, or away"
        )
    if blank := left_out(plan.source, found):
        more = ", ..." if len(blank) > 3 else ""
        lines.append(f"        folders without a readable image are left out: {', '.join(blank[:3])}{more}")
    if len(found.classes) > 1 and not asked_of_g:
        how = ": --data.labels trains by label" if takes_classes(recipe, tuple(found.classes), allow_code) else ""
        lines.append(f"        class folders are not used{how}")
    if plan.channels == 4:
        lines.append("        transparency is kept as a fourth channel (--data.alpha white or black fills it in)")
    network = recipe.G.name if recipe.G.name == recipe.D.name else f"{recipe.G.name} and {recipe.D.name}"
    millions = " and ".join(f"{parameters[name] / 1e6:.2g}M in {name}" for name in ("G", "D"))
    side = recipe.data.resolution
    lines.append(f"recipe  {recipe.name} at {side}x{side}: {network}, parameters {millions}")
    lines += [f"        {name}: {text}" for name, text in recipe.schedules.items()]
    lines += [f"        {text}" for text in unfinished(recipe, plan.total_nimg)]
    if recipe.train.evaluate_every:
        how = f"{recipe.train.metric} of {recipe.train.evaluate_num:,} samples, with {recipe.train.extractor}"
        lines.append(f"        every {recipe.train.evaluate_every:g} kimg: {how}")
    lines += [f"        {reason}" for reason in why if holds(reason, recipe.data)]
    lines.append(f"device  {device_name(plan.engine.device)}; {plan.speed.precision}, {plan.speed.why}")
    if unused := unused_accelerator(plan.engine.device):
        lines.append(f"        {unused}")
    if (num_ranks := plan.engine.ranks.num) > 1:
        own = recipe.train.batch // num_ranks
        lines.append(f"ranks   {num_ranks}, each with {own} images of a batch of {recipe.train.batch}")
    epochs = plan.total_nimg / plan.num_trained_on
    seconds = plan.speed.seconds_for(plan.total_nimg)
    lines.append(
        f"budget  {short(plan.total_nimg / 1000)} kimg = {short(epochs)} epochs, about {duration(seconds)}"
        f" at {plan.total_nimg / seconds:,.0f} images a second"
    )
    if plan.speed.first_nimg >= plan.total_nimg:
        lines.append(
            f"        D never plays: the run ends before --game.start-kimg {number(plan.speed.first_nimg / 1000)}"
        )
    elif early := falling_before(recipe, plan.speed.first_nimg):
        lines.append(
            f"        {early} falls before D plays, from {number(plan.speed.first_nimg / 1000)} kimg on: set a lower"
            " --game.start-kimg"
        )
    iterations = -(-plan.total_nimg // recipe.train.batch)
    if iterations < SHORT_RUN:
        lines.append(f"        {iterations} iterations show little but noise: pictures come after a thousand or so")
    num_checkpoints = 12 if recipe.train.autopilot else 3  # at once: it keeps older ones, to go back to
    run = (num_checkpoints * 4 * 2 + 4) * sum(parameters.values())
    cache = cache_bytes(plan.num_images, recipe.data.resolution, plan.channels * recipe.data.num_frames)
    memory = size_of(peak_memory(plan.engine.device))
    kept = "in memory" if recipe.data.cache == OFF else "on disk"
    images = f"{size_of(cache)} {kept} for the images"
    lines.append(f"space   {memory} of memory, {size_of(run)} on disk for the run, {images}")
    return lines


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu (threads: {torch.get_num_threads()})" if device.type == "cpu" else str(device)


def unused_accelerator(device: torch.device) -> str:
    """A sentence where a run on the CPU leaves a GPU unused, else nothing."""
    if device.type != "cpu":
        return ""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return "a GPU is here and lies unused: leave --device out to use it"
    if Path("/proc/driver/nvidia").exists() and torch.version.cuda is None:
        return "an NVIDIA GPU is here, and this torch has no CUDA: install one that has (see gannet doctor)"
    return ""


def peak_memory(device: torch.device) -> int:
    """Bytes that the measurement needed at most: on the GPU, or of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def short(value: float) -> str:
    """A number with three digits at least, none of them behind the point from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def run_name(recipe: Recipe) -> str:
    """DATA-RECIPE, where a run was given no name."""
    data = "private" if recipe.data.private else re.sub(r"[^\w.-]+", "_", Path(recipe.data.source).stem) or "data"
    return f"{data}-{recipe.name}"


def run_folder(runs: Path, recipe: Recipe) -> Path:
    """A new folder, made here so that no other run takes it: runs/DATA-RECIPE, or with a number."""
    name = run_name(recipe)
    for path in (runs / name, *(runs / f"{name}-{i}" for i in range(2, 10_000))):
        with contextlib.suppress(FileExistsError):
            make_folder(path)
            return path
    raise UserError(f"{runs} is full of runs called {name}: name a new folder with --run")


def make_folder(path: Path) -> None:
    """Makes a folder that must not exist. Raises `UserError` where that is refused."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error
