"""A recipe as options of the command line: `--data.resolution 32 --optim.G.lr 1e-4`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import arg

from gannet import config
from gannet.config import Optim, Part, Recipe, number, overridden
from gannet.errors import UserError
from gannet.losses import PENALTIES
from gannet.parsing import SHORT, parse
from gannet.parts import settings_of
from gannet.training.build import PARTS, completed

ABOUT = """Train a GAN. The settings are those of the recipe '{}'.

Short names: --resolution, --batch, --device, --lr (of G and D alike).
Penalties begin with --penalties. and their name, as in --penalties.r1.gamma 1.0: {}.
A number may move while the run goes on: --schedules. and its name, as in --schedules.optim.G.lr
"linear to 0 from 50% to 100%" or --schedules.ema.half-life-kimg "cosine to 5 over 100 kimg"."""
SECTIONS = {
    "data": config.Data,
    "train": config.Train,
    "ema": config.Ema,
    "samples": config.Samples,
    "stats": config.Stats,
    "checkpoints": config.Checkpoints,
}


@dataclass(frozen=True)
class Asked:
    """What `gannet train` and `gannet sweep` are asked, beside the settings of the recipe."""

    source: Annotated[str | None, tyro.conf.Positional, arg(metavar="DATA")] = None
    """A folder, a zip, Parquet or tar shards, or a name: shapes (the default), shapes-labelled, circles,
    squares, outlines, moving, mnist, fashion-mnist, cifar10, hf://OWNER/NAME."""
    other: Annotated[str | None, tyro.conf.Positional, arg(metavar="OTHER")] = None
    """The second folder, for recipes such as pix2pix and cyclegan."""
    recipe: str | None = None
    """A recipe by name, a TOML file, or a run folder; without it one is picked for the data."""
    kimg: float | None = None
    """Budget in thousands of real images that D sees."""
    epochs: float | None = None
    """Budget in passes over the data."""
    minutes: float | None = None
    """Budget in minutes on this machine."""
    seeds: str | None = None
    """One run after another for each of so many seeds, as in 3, or for these, as in 0,5,7."""
    private: bool = False
    """Write no real image, file name, class name or path into the run (as --data.private)."""
    init: str | None = None
    """Start from the weights of another generator, where they fit: a run, a folder, hf://OWNER/NAME."""
    json: bool = False
    """Print the plan, and where the run is, as JSON on stdout; everything else on stderr."""
    allow_code: bool = False
    """Import parts that are named as module:callable."""


@dataclass(frozen=True)
class Train(Asked):
    """What `gannet train` is asked, beside the settings of the recipe."""

    run: Path | None = None
    """The folder to train into; a new one under runs/ without it."""
    if_exists: Literal["refuse", "resume"] = "refuse"
    """What to do where --run holds a run already: refuse, or go on with it."""
    track: str | None = None
    """Mirror stats.jsonl and the grids to tensorboard (RUN/tensorboard) or wandb."""
    autopilot: bool = False
    """Make the change that a lasting finding names, from a healthy checkpoint on (as --train.autopilot)."""
    dry_run: bool = False
    """Say what would be done, and stop."""


@dataclass(frozen=True)
class Sweep(Asked):
    """What `gannet sweep` is asked, beside the settings of the recipe."""

    vary: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, once or more: optim.D.lr=1e-4,4e-4 goes through all combinations; a range,
    augment.kimg=50:200 or optim.G.lr=1e-5:1e-3:log, is searched (needs the extra sweep)."""
    trials: int | None = None
    """How many trials a search makes, 20 without it."""
    out: Path | None = None
    """The folder of the sweep and its runs, sweeps/DATA-RECIPE without it; a sweep that it holds goes on."""


AskedKind = TypeVar("AskedKind", bound=Asked)

ABOUT_SWEEP = """Train with many settings, and say which was best. The settings are those of the recipe '{}', but for
those that --vary names; all runs end at the same kimg, and are measured at the same moments: --train.evaluate-every,
a tenth of the run without it. Penalties begin with --penalties. and their name: {}."""


def train_options(recipe: Recipe, argv: Sequence[str]) -> tuple[Train, Recipe]:
    """The options of `gannet train`, and the recipe with the settings that they change."""
    return asked_options(Train, "train", ABOUT, recipe, argv)


def sweep_options(recipe: Recipe, argv: Sequence[str]) -> tuple[Sweep, Recipe]:
    """The options of `gannet sweep`, and the recipe with the settings that they change."""
    return asked_options(Sweep, "sweep", ABOUT_SWEEP, recipe, argv)


def asked_options(
    of: type[AskedKind], command: str, about: str, recipe: Recipe, argv: Sequence[str]
) -> tuple[AskedKind, Recipe]:
    argv, schedules = with_schedules(spelled_out(argv))
    allow_code = "--allow-code" in argv
    recipe = with_penalties(named_parts(recipe, argv, allow_code), argv, allow_code)
    kind = dataclasses.make_dataclass(command, recipe_fields(recipe, allow_code), bases=(of,), frozen=True)
    parsed = parse(kind, argv, f"gannet {command}", about.format(recipe.name, ", ".join(PENALTIES.rows)))
    options = of(**{field.name: getattr(parsed, field.name) for field in dataclasses.fields(of)})
    source = recipe.data.source
    recipe = to_recipe(parsed, recipe)
    if recipe.data.source != source:
        raise UserError(f"name the data as the first argument: gannet {command} {recipe.data.source}")
    budgets = {
        name: getattr(options, name) for name in ("kimg", "epochs", "minutes") if getattr(options, name) is not None
    }
    said: dict[str, Any] = {"data.private": True} if options.private else {}
    if isinstance(options, Train) and options.autopilot:
        said["train.autopilot"] = True
    if options.other is not None:
        said["data.other"] = options.other
    return options, overridden(recipe, {**budget(budgets), **said, **schedules})


def budget(asked: Mapping[str, float]) -> dict[str, str]:
    """`{"kimg": 100.0}` as the setting that it stands for. Raises `UserError` when two are named."""
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are both given: name one budget")
    for unit, value in asked.items():
        return {"train.length": f"{number(value)} {unit}"}
    return {}


def spelled_out(argv: Sequence[str]) -> list[str]:
    """Short names as the options that they stand for."""
    parted = [part for arg in argv for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    spelled: list[str] = []
    words = iter(parted)
    for word in words:
        if word.removeprefix("--") in SHORT and word.startswith("--"):
            value = next(words, None)
            spelled += [part for long in SHORT[word[2:]] for part in (f"--{long}", value) if part is not None]
        else:
            spelled.append(word)
    return spelled


def named_parts(recipe: Recipe, argv: Sequence[str], allow_code: bool) -> Recipe:
    """The recipe with the parts that `--G.name` and its like ask for, their settings at their defaults."""
    names = {field: name for field in PARTS if (name := value_of(argv, f"--{field}.name")) is not None}
    return with_parts(recipe, names, allow_code)


def with_parts(recipe: Recipe, names: Mapping[str, str], allow_code: bool) -> Recipe:
    """The completed recipe with other parts, by field, each with its own defaults."""
    changes: dict[str, Any] = {
        field: Part(name) for field, name in names.items() if field in PARTS and name != getattr(recipe, field).name
    }
    kept = {name: text for name, text in recipe.schedules.items() if name.partition(".")[0] not in changes}
    changes["schedules"] = kept
    return completed(dataclasses.replace(recipe, **changes), allow_code)


def with_penalties(recipe: Recipe, argv: Sequence[str], allow_code: bool) -> Recipe:
    """The completed recipe with the penalties too that options such as `--penalties.r1.gamma` name."""
    options = [word for word in argv if word.startswith("--penalties.") and word.count(".") == 2]
    named = [option.split(".")[1].replace("_", "-") for option in options]
    wanted: dict[str, Mapping[str, Any]] = {**{name: {} for name in named}, **recipe.penalties}
    return completed(dataclasses.replace(recipe, penalties=wanted), allow_code)


def with_schedules(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words without `--schedules.optim.G.lr TEXT` and its like, and what those set."""
    others: list[str] = []
    schedules: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--schedules."):
            others.append(word)
            continue
        text = next(words, None)
        if text is None or text.startswith("--"):
            raise UserError(f"{word} needs a text behind it, such as 'linear to 0 over 50%'")
        places = word.removeprefix("--").split(".")
        for i, place in enumerate(places):
            is_penalty = i == 2 and places[1] == "penalties"
            places[i] = place.replace("_", "-") if is_penalty else place.replace("-", "_")
        schedules[".".join(places)] = text
    return others, schedules


def value_of(argv: Sequence[str], option: str) -> str | None:
    """What follows the last `option`, before anything is parsed."""
    values = [after for word, after in pairwise(argv) if word == option]
    return values[-1] if values else None


def part_type(field: str, part: Part, allow_code: bool) -> Any:
    """A dataclass with the name and settings of a part, at the values of the recipe."""
    name: list[Any] = [("name", str, dataclasses.field(default=part.name))]
    return dataclasses.make_dataclass(
        field, name + setting_fields(PARTS[field].find(part.name, allow_code), part.settings), frozen=True
    )


def setting_fields(part: Any, values: Mapping[str, Any]) -> list[Any]:
    """Fields for `dataclasses.make_dataclass`: the settings of a part, at these values."""
    known = settings_of(part)
    return [(name, p.annotation, dataclasses.field(default=values[name])) for name, p in known.items()]


def recipe_fields(recipe: Recipe, allow_code: bool) -> list[Any]:
    """Fields for `dataclasses.make_dataclass`, one for each section of the (completed) recipe."""
    fields: list[Any] = [("seed", int, dataclasses.field(default=recipe.seed))]
    for name, kind in SECTIONS.items():
        fields.append((name, kind, dataclasses.field(default=getattr(recipe, name))))
    players = [(p, Optim, dataclasses.field(default=settings)) for p, settings in recipe.optim.items()]
    optim = dataclasses.make_dataclass("optim", players, frozen=True)
    fields.append(("optim", optim, dataclasses.field(default=optim())))
    kinds = {field: part_type(field, getattr(recipe, field), allow_code) for field in PARTS}
    penalties: dict[str, Any] = {}
    for name, values in recipe.penalties.items():
        settings = setting_fields(PENALTIES.find(name, allow_code), values)
        penalties[name.replace("-", "_")] = dataclasses.make_dataclass("penalty", settings, frozen=True)
    inner = [(name, kind, dataclasses.field(default=kind())) for name, kind in penalties.items()]
    kinds["penalties"] = dataclasses.make_dataclass("penalties", inner, frozen=True)
    return fields + [(field, kind, dataclasses.field(default=kind())) for field, kind in kinds.items()]


def to_recipe(parsed: Any, recipe: Recipe) -> Recipe:
    """The recipe with the values that were parsed."""
    changes: dict[str, Any] = {name: getattr(parsed, name) for name in ("seed", *SECTIONS)}
    changes["optim"] = {player: getattr(parsed.optim, player) for player in recipe.optim}
    for field in PARTS:
        settings = dataclasses.asdict(getattr(parsed, field))
        changes[field] = Part(settings.pop("name"), settings)
    penalties = dataclasses.asdict(parsed.penalties)
    changes["penalties"] = {name.replace("_", "-"): settings for name, settings in penalties.items()}
    return dataclasses.replace(recipe, **changes)
