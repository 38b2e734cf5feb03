"""A recipe as options of the command line: `--data.resolution 32 --optim.G.lr 1e-4`."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from gannet import config
from gannet.config import Optim, Part, Recipe, number, overridden
from gannet.errors import UserError, nearest
from gannet.parts import settings_of
from gannet.training.build import PARTS, completed

SECTIONS = {
    "data": config.Data,
    "train": config.Train,
    "ema": config.Ema,
    "samples": config.Samples,
    "stats": config.Stats,
    "checkpoints": config.Checkpoints,
}
SHORT = {
    "resolution": ("data.resolution",),
    "batch": ("train.batch",),
    "device": ("train.device",),
    "lr": ("optim.G.lr", "optim.D.lr"),
}


@dataclass(frozen=True)
class Train:
    """What `gannet train` is asked, beside the settings of the recipe."""

    source: Annotated[str | None, tyro.conf.Positional, arg(metavar="DATA")] = None
    """A folder, a zip, or a name: shapes, mnist, fashion-mnist, cifar10."""
    recipe: str | None = None
    """A recipe by name, a TOML file, or a run folder; without it one is picked for the data."""
    run: Path | None = None
    """The folder to train into; a new one under runs/ without it."""
    kimg: float | None = None
    """Budget in thousands of real images that D sees."""
    epochs: float | None = None
    """Budget in passes over the data."""
    minutes: float | None = None
    """Budget in minutes on this machine."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    json: bool = False
    """Print the plan as JSON."""
    allow_code: bool = False
    """Import parts that are named as module:callable."""


def train_options(recipe: Recipe, argv: Sequence[str]) -> tuple[Train, Recipe]:
    """The options of `gannet train`, and the recipe with the settings that they change."""
    argv = spelled_out(argv)
    allow_code = "--allow-code" in argv
    recipe = named_parts(recipe, argv, allow_code)
    kind = dataclasses.make_dataclass("train", recipe_fields(recipe, allow_code), bases=(Train,), frozen=True)
    parsed = parse(kind, argv, "gannet train", f"Train a GAN. The settings are those of the recipe '{recipe.name}'.")
    options = Train(**{field.name: getattr(parsed, field.name) for field in dataclasses.fields(Train)})
    source = recipe.data.source
    recipe = to_recipe(parsed, recipe)
    if recipe.data.source != source:
        raise UserError(f"name the data as the first argument: gannet train {recipe.data.source}")
    budgets = {
        name: getattr(options, name) for name in ("kimg", "epochs", "minutes") if getattr(options, name) is not None
    }
    return options, overridden(recipe, budget(budgets))


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
    for field in PARTS:
        name = value_of(argv, f"--{field}.name")
        if name is not None and name != getattr(recipe, field).name:
            changes: dict[str, Any] = {field: Part(name)}
            recipe = dataclasses.replace(recipe, **changes)
    return completed(recipe, allow_code)


def value_of(argv: Sequence[str], option: str) -> str | None:
    """What follows the last `option`, before anything is parsed."""
    values = [after for word, after in pairwise(argv) if word == option]
    return values[-1] if values else None


def part_type(field: str, part: Part, allow_code: bool) -> Any:
    """A dataclass with the settings of a part, at the values of the recipe."""
    known = settings_of(PARTS[field].find(part.name, allow_code))
    fields: list[Any] = [("name", str, dataclasses.field(default=part.name))]
    fields += [(name, p.annotation, dataclasses.field(default=part.settings[name])) for name, p in known.items()]
    return dataclasses.make_dataclass(field, fields, frozen=True)


def recipe_fields(recipe: Recipe, allow_code: bool) -> list[Any]:
    """Fields for `dataclasses.make_dataclass`, one for each section of the (completed) recipe."""
    fields: list[Any] = [("seed", int, dataclasses.field(default=recipe.seed))]
    for name, kind in SECTIONS.items():
        fields.append((name, kind, dataclasses.field(default=getattr(recipe, name))))
    players = [(p, Optim, dataclasses.field(default=settings)) for p, settings in recipe.optim.items()]
    optim = dataclasses.make_dataclass("optim", players, frozen=True)
    fields.append(("optim", optim, dataclasses.field(default=optim())))
    for field in PARTS:
        kind = part_type(field, getattr(recipe, field), allow_code)
        fields.append((field, kind, dataclasses.field(default=kind())))
    return fields


def to_recipe(parsed: Any, recipe: Recipe) -> Recipe:
    """The recipe with the values that were parsed."""
    changes: dict[str, Any] = {name: getattr(parsed, name) for name in ("seed", *SECTIONS)}
    changes["optim"] = {player: getattr(parsed.optim, player) for player in recipe.optim}
    for field in PARTS:
        settings = dataclasses.asdict(getattr(parsed, field))
        changes[field] = Part(settings.pop("name"), settings)
    return dataclasses.replace(recipe, **changes)


def parse(kind: Any, argv: Sequence[str], prog: str, description: str) -> Any:
    """`tyro.cli`, whose complaints become a `UserError` of one line."""
    known = {"--help", *flags(kind)}
    help_ = f"({prog} --help lists all)"
    for word in argv:
        if word.startswith("--") and word.replace("_", "-") not in known:
            near = nearest(word, known | {f"--{short}" for short in SHORT if prog.endswith("train")})
            raise UserError(f"there is no option {word}{near if 'did you mean' in near else ''} {help_}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=list(argv), prog=prog, description=description)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UserError(f"{one_line(complaint.getvalue())} {help_}") from None


def flags(kind: Any, prefix: str = "") -> Iterator[str]:
    """The options that tyro makes of a dataclass."""
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.type):
            yield from flags(field.type, f"{prefix}{name}.")
        else:
            yield from (f"--{prefix}{name}", f"--{prefix}no-{name}")


def one_line(box: str) -> str:
    """The first paragraph of what tyro says in a box, as one line.

    Where box characters cannot be printed, the title is a paragraph of its own, indented by one.
    """
    titled = not box.startswith("╭")
    paragraphs: list[list[str]] = [[]]
    for line in (line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))):
        if line and set(line) <= set("─-"):
            paragraphs.append([])
        elif line:
            paragraphs[-1].append(line)
    return " ".join(paragraphs[titled]).removesuffix(".")
