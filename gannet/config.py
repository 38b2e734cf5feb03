"""The settings of a run: frozen dataclasses, read from and written to TOML.

A `Recipe` says everything that is needed to train: data, networks, game, optimizers, budget and
what is kept. Parts (networks, games, objectives) are named by string with settings of their own.
"""

import copy
import dataclasses
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cattrs
import tomli_w

from gannet.errors import UserError, nearest

UNITS = ("kimg", "epochs", "iterations", "minutes")


@dataclass(frozen=True)
class Part:
    """A part of the house by its name in a table, and the settings that differ from its defaults."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def part(name: str, **settings: Any) -> Part:
    """`part("dcgan", width=64)`."""
    return Part(name, settings)


@dataclass(frozen=True)
class Data:
    """Which images, and how they are made alike."""

    source: str = ""
    """A folder, a zip, or the name of a data set; empty where a recipe leaves it to the user."""
    kind: Literal["images", "pairs", "unpaired", "clips"] = "images"
    """What one item is: an image; a pair of one that G is given and one that it should make of it; an image
    of each of two sets; or some frames of a video."""
    other: str = ""
    """The second folder of pairs, matched by name, or of unpaired sets. Pairs without it are the halves of
    images with both side by side."""
    swap: bool = False
    """G is given the right half or the second folder, in place of the left half or the first."""
    frames: int = 16
    """Frames of a clip."""
    stride: int = 1
    """From one frame of a clip to the next, in frames of the video."""
    resolution: int = 64
    """Width and height in pixels that every image is brought to."""
    channels: Literal[0, 1, 3, 4] = 0
    """1 grey, 3 RGB, 4 RGB with alpha; 0 takes what the data has."""
    labels: bool = False
    """Class folders become labels and the game conditional."""
    fit: Literal["crop", "pad", "stretch", "tiles"] = "crop"
    """How an image that is not square becomes so: centre crop, black bars, or stretched. `pad` also
    leaves images smaller than the resolution at their size. `tiles` cuts each image, at its own size, into
    as many squares of the resolution as it holds."""
    filter: Literal["bicubic", "nearest"] = "bicubic"
    """How pixels are resized (always antialiased when reducing); nearest for pixel art."""
    alpha: Literal["keep", "white", "black"] = "keep"
    """Keep transparency as a fourth channel, or lay the images over white or black."""
    range: tuple[float, float] = (0.0, 100.0)
    """Percentiles of all 12- and 16-bit values in the set that become black and white."""
    flip: bool = False
    """Flip reals horizontally, each with probability 1/2."""
    jitter: float = 0.0
    """Change brightness and contrast of reals by up to this fraction."""
    enlarge: float = 0.0
    """Enlarge reals by this fraction and cut them back to their size at a random place."""
    replacement: bool = False
    """Draw images at random with replacement, instead of each once an epoch."""
    held_out: float = 0.0
    """Fraction of the images set aside for diagnosis and evaluation."""
    group_by: str = ""
    """Keeps related images on one side of the split: a regular expression over file names whose
    first group names the unit, or a CSV file with the columns `file,group`."""
    max_unreadable: float = 0.01
    """Fraction of files that may be unreadable before the run refuses to start."""
    private: bool = False
    """Write no real image, file name, class name or path into the run."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder, `off` to decode into memory
    and write nothing."""

    @property
    def num_frames(self) -> int:
        """Images that make one item."""
        return 2 if self.kind == "pairs" else self.clip_length

    @property
    def items(self) -> str:
        """What there are many of, in a word."""
        return "images" if self.kind == "unpaired" else self.kind

    @property
    def clip_length(self) -> int:
        """Frames of one item: 1 where it is no clip."""
        return self.frames if self.kind == "clips" else 1


@dataclass(frozen=True)
class Optim:
    """One player's optimizer."""

    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = 1e-8
    name: Literal["adam", "rmsprop"] = "adam"
    """Adam (Kingma and Ba 2015), or RMSProp, whose decay is the second of the betas."""
    clip: float = 0.0
    """Bound of every weight after each step (Arjovsky et al. 2017, algorithm 1); 0 for none."""


@dataclass(frozen=True)
class Train:
    """How long, how much at once, and where."""

    length: str = "100 epochs"
    """Budget: a number of kimg, epochs, iterations or minutes."""
    batch: int = 64
    """Images in one iteration's batch."""
    micro_batch: int = 0
    """Images computed at once, gradients accumulated to `batch`; 0 computes the whole batch."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the networks compute in; auto measures which is faster on the device."""
    freeze_d: int = 0
    """Layers of D, from the image on, that stay as they were started from (FreezeD: Mo et al. 2020)."""
    deterministic: bool = False
    """The same bits from the same run on CUDA too, where it costs speed; on the CPU that is always so."""
    evaluate_every: float = 0.0
    """Thousands of images after which samples are measured, and again at the end; 0 for never. The best
    weights so far are in the run's folder best/."""
    metric: str = "kid"
    """What is measured then: kid, frechet, precision, ... as gannet evaluate knows them."""
    extractor: str = "inception"
    """What it is measured with: inception, dinov2, efficientnet-lite0, FILE.onnx."""
    evaluate_num: int = 2048
    """How many samples."""
    autopilot: bool = False
    """At a finding that lasts, go back to a healthy checkpoint, make the one change that it names, and go on."""


@dataclass(frozen=True)
class Ema:
    """Moving average of G's weights and buffers (Yazici et al. 2019), which is then what samples."""

    half_life_kimg: float = 0.0
    """Thousands of images after which a weight counts half; 0 without a schedule samples from the raw G."""
    warm_up: float = 0.0
    """Bounds the half-life to this fraction of the images seen so far, so that the average forgets its
    beginning (Karras et al. 2020); 0 for no bound."""


@dataclass(frozen=True)
class Samples:
    """The grids of generated images while a run goes on."""

    num: int = 64
    when: str = "every 1 epochs"
    """`every N UNIT` or `at N, N, N UNIT`, with iterations, epochs or kimg."""
    noise: Literal["fixed", "fresh"] = "fixed"
    """The same noise in every grid, or new noise each time."""
    mode: Literal["eval", "train"] = "eval"
    """Batch norm uses running statistics (eval) or those of the grid's own batch (train)."""


@dataclass(frozen=True)
class Stats:
    """What is written to stats.jsonl."""

    every: int = 1
    """Iterations over which a line holds the means."""


@dataclass(frozen=True)
class Checkpoints:
    """When everything that an exact resume needs is saved."""

    when: str = "every 10 epochs"
    """`every N UNIT`, with iterations, epochs or kimg; the end and Ctrl-C save as well."""


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to train."""

    name: str
    source: str
    """The paper or tutorial that the recipe reproduces."""
    about: str = ""
    seed: int = 0
    data: Data = Data()
    G: Part = Part("dcgan")
    D: Part = Part("dcgan")
    game: Part = Part("gan")
    objective: Part = Part("non-saturating")
    penalties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What is added to the objective, by name, each with its settings: `{"r1": {"gamma": 1.0}}`."""
    augment: Part = Part("none")
    """What D sees of reals and fakes alike."""
    optim: Mapping[str, Optim] = field(default_factory=lambda: {"G": Optim(), "D": Optim()})
    train: Train = Train()
    ema: Ema = Ema()
    schedules: Mapping[str, str] = field(default_factory=dict)
    """Where settings go from the values that they have here, by their dotted names: `{"optim.G.lr":
    "linear to 0 over 50%"}`; see `gannet.training.schedule`."""
    samples: Samples = Samples()
    stats: Stats = Stats()
    checkpoints: Checkpoints = Checkpoints()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class When:
    """Moments of a run, in images seen by D."""

    every: float = 0.0
    at: tuple[float, ...] = ()

    def next(self, cur_nimg: int) -> float:
        """The first moment after `cur_nimg` images; infinity when there is none."""
        later = [m for m in self.at if m > cur_nimg]
        if self.every:
            later.append((cur_nimg // self.every + 1) * self.every)
        return min(later, default=float("inf"))


def amount(text: str, units: Collection[str] = UNITS) -> tuple[float, str]:
    """`"100 epochs"` to `(100.0, "epochs")`. Raises `UserError` where it is not of that form."""
    number, _, unit = text.strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    unit = unit if unit in units else f"{unit}s"
    if not 0 < value < float("inf") or unit not in units:
        raise UserError(
            f"'{text}' is not a number above 0 and one of {', '.join(units)}, as in '100 {next(iter(units))}'"
        )
    return value, unit


def number(value: float) -> str:
    """A number in as few digits as say it exactly."""
    return repr(value).removesuffix(".0")


def to_when(text: str, images_per: Mapping[str, float]) -> When:
    """`"every 10 iterations"` or `"at 1, 5, 10 epochs"`, with the images that each unit stands for."""
    kind, _, rest = text.strip().partition(" ")
    if kind == "every":
        value, unit = amount(rest, images_per)
        return When(every=value * images_per[unit])
    if kind == "at":
        numbers, _, unit = rest.strip().rpartition(" ")
        moments = [amount(f"{n.strip()} {unit}", images_per) for n in numbers.split(",")]
        return When(at=tuple(value * images_per[u] for value, u in moments))
    raise UserError(f"'{text}' is not 'every N {next(iter(images_per))}' or 'at N, N, N {next(iter(images_per))}'")


def check(recipe: Recipe) -> None:
    """Raises `UserError` for the first value that cannot be."""
    units = {"iterations": 1.0, "epochs": 1.0, "kimg": 1.0}
    try:
        amount(recipe.train.length)
    except UserError as error:
        raise UserError(f"train.length: {error}") from error
    to_when(recipe.samples.when, units)
    to_when(recipe.checkpoints.when, units)
    low, high = recipe.data.range
    whole = recipe.data.kind in ("images", "unpaired")
    micro, every = recipe.train.micro_batch, recipe.train.evaluate_every
    rules = [
        ("data.resolution", recipe.data.resolution, 4 <= recipe.data.resolution <= 4096, "from 4 to 4096"),
        ("data.range", recipe.data.range, 0 <= low < high <= 100, "two percentiles, the lower first"),
        ("data.jitter", recipe.data.jitter, 0 <= recipe.data.jitter < 1, "from 0 to below 1"),
        ("data.enlarge", recipe.data.enlarge, 0 <= recipe.data.enlarge <= 1, "from 0 to 1"),
        ("data.frames", recipe.data.frames, recipe.data.frames >= 2, "at least 2"),
        ("data.stride", recipe.data.stride, recipe.data.stride >= 1, "at least 1"),
        ("data.fit", recipe.data.fit, whole or recipe.data.fit != "tiles", "crop, pad or stretch for pairs and clips"),
        ("data.held_out", recipe.data.held_out, 0 <= recipe.data.held_out < 1, "from 0 to below 1"),
        ("data.max_unreadable", recipe.data.max_unreadable, 0 <= recipe.data.max_unreadable <= 1, "from 0 to 1"),
        ("train.batch", recipe.train.batch, recipe.train.batch >= 1, "at least 1"),
        ("train.freeze_d", recipe.train.freeze_d, recipe.train.freeze_d >= 0, "at least 0"),
        ("train.evaluate_every", every, 0 <= every < float("inf"), "at least 0, and finite"),
        ("train.evaluate_num", recipe.train.evaluate_num, recipe.train.evaluate_num >= 2, "at least 2"),
        (
            "train.micro_batch",
            micro,
            micro >= 0 and not (micro and recipe.train.batch % micro),
            "a divisor of train.batch",
        ),
        ("ema.warm_up", recipe.ema.warm_up, recipe.ema.warm_up >= 0, "at least 0"),
        ("ema.half_life_kimg", recipe.ema.half_life_kimg, recipe.ema.half_life_kimg >= 0, "at least 0"),
        ("samples.num", recipe.samples.num, recipe.samples.num >= 1, "at least 1"),
        ("stats.every", recipe.stats.every, recipe.stats.every >= 1, "at least 1"),
        ("seed", recipe.seed, 0 <= recipe.seed < 2**63, "from 0 to 2^63"),
    ]
    for player, optim in recipe.optim.items():
        rules.append((f"optim.{player}.lr", optim.lr, 0 < optim.lr < float("inf"), "above 0, and finite"))
        rules.append((f"optim.{player}.eps", optim.eps, optim.eps > 0, "above 0"))
        rules.append((f"optim.{player}.clip", optim.clip, optim.clip >= 0, "at least 0"))
        betas_fit = all(0 <= beta < 1 for beta in optim.betas)
        rules.append((f"optim.{player}.betas", optim.betas, betas_fit, "from 0 to below 1"))
    for name, value, fits, range_ in rules:
        if not fits:
            raise UserError(f"{name} is {value}, and must be {range_}")


def changed(recipe: Recipe, section: str, **values: Any) -> Recipe:
    """The recipe with some values of one section changed: `changed(recipe, "train", batch=32)`."""
    return replace(recipe, **{section: replace(getattr(recipe, section), **values)})


def overridden(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with settings changed by their dotted names: `{"optim.G.lr": 1e-4}`.

    Everything else stays. Raises `UserError` for unknown names and bad values.
    """
    table = CONVERTER.unstructure(recipe)
    for name, value in values.items():
        *sections, key = name.split(".")
        if sections[:1] == ["schedules"]:  # the names in this table are dotted themselves
            sections, key = ["schedules"], name.removeprefix("schedules.")
        inner = table
        for section in sections:
            if sections[0] == "penalties":
                inner.setdefault(section, {})
            if not isinstance(inner.get(section), dict):
                raise UserError(f"there is no setting '{name}'{nearest(section, inner)}")
            inner = inner[section]
        inner[key] = copy.deepcopy(value)  # what comes later may change a part of it
    return _structured(table, "settings")


def changes_of(before: Recipe, after: Recipe) -> dict[str, Any]:
    """What differs, by sections as JSON has them: parts and tables are whole, of other sections the changed values."""
    old, new = CONVERTER.unstructure(before), CONVERTER.unstructure(after)
    found = {name: value for name, value in new.items() if value != old[name]}
    for name in (name for name in found if has_fixed_settings(before, name)):
        found[name] = {key: value for key, value in found[name].items() if value != old[name][key]}
    return found


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with what `changes_of` found."""
    table = CONVERTER.unstructure(recipe)
    for name, value in changes.items():
        table[name] = {**table[name], **value} if has_fixed_settings(recipe, name) else value
    return _structured(table, "changed settings")


def has_fixed_settings(recipe: Recipe, section: str) -> bool:
    """Whether the section is one of a recipe's own, and no part, table or single value."""
    value = getattr(recipe, section)
    return dataclasses.is_dataclass(value) and not isinstance(value, Part)


def _structure_part(value: Any, _: type) -> Part:
    if not isinstance(value, Mapping) or not isinstance(value["name"], str):
        raise ValueError(f"{value!r} is not a table with the name of a part")
    return Part(value["name"], {key: setting for key, setting in value.items() if key != "name"})


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Part, lambda p: {"name": p.name, **p.settings})
    converter.register_structure_hook(Part, _structure_part)
    converter.register_structure_hook(float, _strict(float, int))
    converter.register_structure_hook(int, _strict(int))
    converter.register_structure_hook(bool, _strict(bool))
    converter.register_structure_hook(str, _strict(str))
    return converter


def _strict(kind: type, *also: type) -> Any:
    def structure(value: Any, _: type) -> Any:
        if type(value) not in (kind, *also):
            raise ValueError(f"{value!r} is not of type {kind.__name__}")
        return kind(value)

    return structure


CONVERTER = _converter()


def to_toml(recipe: Recipe, facts: Mapping[str, Any] | None = None) -> str:
    """The recipe as TOML; `facts` (versions, data, device) go to a table `[run]` of their own."""
    table = CONVERTER.unstructure(recipe)
    return tomli_w.dumps({**table, "run": dict(facts)} if facts else table)


def from_toml(text: str, where: str) -> tuple[Recipe, dict[str, Any]]:
    """The recipe in `text` and the facts in its table `[run]`.

    Raises `UserError`, which names `where`, for text that is not TOML, unknown keys and bad values.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}") from error
    facts = table.pop("run", {})
    return _structured(table, where), facts


def _structured(table: Mapping[str, Any], where: str) -> Recipe:
    try:
        return CONVERTER.structure(table, Recipe)
    except cattrs.BaseValidationError as error:
        raise UserError(f"{where}: {_first_problem(error)}") from error


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """`from_toml` of a file. Raises `UserError` when it cannot be read."""
    try:
        return from_toml(path.read_text("utf-8"), path.name)
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read the recipe {path}: it is not text in UTF-8") from error


def _first_problem(error: BaseException, place: str = "") -> str:
    if isinstance(error, cattrs.errors.ForbiddenExtraKeysError):
        known = [a.name for a in _fields(error.cl)]
        key = sorted(error.extra_fields)[0]
        return f"unknown setting '{place}{key}'{nearest(key, known)}"
    if isinstance(error, ExceptionGroup):
        inner = error.exceptions[0]
        notes = getattr(inner, "__notes__", [])
        names = [getattr(note, "name", getattr(note, "index", None)) for note in notes]
        return _first_problem(inner, place + "".join(f"{name}." for name in names if name is not None))
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyError):
        place = place if place.endswith(f"{error.args[0]}.") else f"{place}{error.args[0]}."
        return f"the setting '{place[:-1]}' is missing"
    return f"{place.rstrip('.')}: {str(error).replace('literal typing.Literal', '')}"


def _fields(cl: type) -> tuple[Any, ...]:
    return dataclasses.fields(cl) if dataclasses.is_dataclass(cl) else ()
