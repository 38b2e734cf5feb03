"""What a sweep varies: `optim.D.lr=1e-4,4e-4` lists values, `augment.kimg=50:200:log` is a range."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from gannet.config import CONVERTER, Data, Recipe, number
from gannet.errors import UserError, nearest
from gannet.experiments.records import flat
from gannet.parsing import SHORT

FIXED = {
    "seed": "--seeds",
    "train.length": "--kimg, --epochs or --minutes",
    "train.evaluate_every": "--train.evaluate-every",
    "data.source": "the first argument",
}
SAME_IMAGES = (
    *("data.flip", "data.jitter", "data.enlarge", "data.replacement"),
    *("data.max_unreadable", "data.private", "data.cache"),
)
"""Settings of the data that leave the images as they are, or change them before D alone."""
MEASURED = {"train.metric", "train.extractor", "train.evaluate_num"}
MEASURED |= {f"data.{field.name}" for field in fields(Data)} - {*SAME_IMAGES}
"""Settings without which a metric cannot be compared."""
SCHEDULES = "schedules."
FORM = "name a setting and its values, as in optim.D.lr=1e-4,4e-4, or a range, as in optim.D.lr=1e-5:1e-3:log"

RANGE = re.compile(r"[-+.\d][^,:]*:[^,]*")

RecipeOf = Callable[[Mapping[str, str]], Recipe]
"""The recipe with settings changed, by their names on the command line. Raises `UserError` for what cannot be."""


@dataclass(frozen=True)
class Listed:
    """A setting and the values that it takes, as they are written on the command line."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.values)}"


@dataclass(frozen=True)
class Ranged:
    """A setting and the range of numbers that it is searched in; `whole` numbers only, or evenly in its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.name}={number(self.low)}:{number(self.high)}{':log' if self.log else ''}"


def parse_vary(text: str) -> Listed | Ranged:
    """Raises `UserError` where the text is of another form."""
    name, equals, rest = text.partition("=")
    name = name.strip().removeprefix("--")
    if not equals or not name or not rest.strip():
        raise UserError(f"--vary is '{text}': {FORM}")
    name = name.lower() if name.lower() in SHORT else name
    full = SHORT.get(name, (name,))[0].replace("-", "_").lower()
    if full in FIXED:
        raise UserError(f"--vary {name}: that is the same for all runs of a sweep, set by {FIXED[full]}")
    if full in MEASURED:
        raise UserError(
            f"--vary {name}: the metric would be another for each value, and the trials could not be compared: give"
            f" --{name} once for all, in a sweep for each"
        )
    if "." not in name and name not in SHORT:
        raise UserError(f"--vary {name}: there is no such setting; names have a dot, as optim.D.lr{near(name)}")
    if RANGE.fullmatch(rest.strip()):
        return ranged(name, rest.strip().split(":"), text)
    values = tuple(value.strip() for value in rest.split(","))
    if not all(values) or len(set(values)) < len(values):
        raise UserError(f"--vary is '{text}': an empty value, or the same twice; {FORM}")
    return Listed(name, values)


def near(name: str) -> str:
    found = nearest(name, SHORT)
    return found if "did you mean" in found else ""


def ranged(name: str, parts: Sequence[str], text: str) -> Ranged:
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError as error:
        raise UserError(f"--vary is '{text}': the ends of a range are numbers; {FORM}") from error
    log = len(parts) == 3 and parts[2] == "log"
    if len(parts) > 2 + log or not -float("inf") < low < high < float("inf") or (log and low <= 0):
        above = ", above 0 with :log" if log else ""
        raise UserError(f"--vary is '{text}': a range is LOW:HIGH or LOW:HIGH:log, LOW under HIGH{above}")
    return Ranged(name, low, high, log)


def words(settings: Mapping[str, str]) -> list[str]:
    """Settings as options of the command line; `true` and `false` as switches."""
    found: list[str] = []
    for name, value in settings.items():
        place, _, last = name.rpartition(".")
        if value in ("true", "false") and place:
            found.append(f"--{place}.{last if value == 'true' else f'no-{last}'}")
        else:
            found += [f"--{name}", *([value] if place.startswith("schedules") else value.split())]
    return found


def checked(varied: Sequence[Listed | Ranged], recipe_of: RecipeOf) -> list[Listed | Ranged]:
    """What is varied, by the settings' own names, once every value is found to be one that its setting can have.

    Raises `UserError` where one is not, a setting is named twice, or a range is for something that is no number.
    """
    known = [name for name, _ in flat(CONVERTER.unstructure(recipe_of({})))]
    varied = [replace(each, name=own_name(each.name, known)) for each in varied]
    names = [each.name for each in varied]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"--vary {twice} is given twice: name all its values in one")
    return [
        checked_range(each, recipe_of) if isinstance(each, Ranged) else checked_list(each, recipe_of) for each in varied
    ]


def own_name(name: str, known: Sequence[str]) -> str:
    """The recipe's name of a setting, however its capitals and dashes are written; as it is where there is none."""
    full, *others = SHORT.get(name, (name,))
    if others:
        return name
    prefix = SCHEDULES if full.lower().startswith(SCHEDULES) else ""
    setting = full[len(prefix) :]
    alike = [each for each in known if plain(each) == plain(setting)]
    return prefix + (alike[0] if len(alike) == 1 else setting)


def plain(name: str) -> str:
    return name.replace("-", "_").lower()


def checked_list(listed: Listed, recipe_of: RecipeOf) -> Listed:
    for value in listed.values:
        recipe_of({listed.name: value})
    return listed


def checked_range(asked: Ranged, recipe_of: RecipeOf) -> Ranged:
    """The range, of whole numbers where the setting is one."""
    name = SHORT.get(asked.name, (asked.name,))[0]
    ends = (number(asked.low), number(asked.high))
    found = [value for end in ends for value in values_at(recipe_of({asked.name: end}), name)]
    kinds = {type(value) for value in found}
    if not kinds <= {int, float}:
        raise UserError(f"--vary {asked.name} is a range, which is for numbers: list values, as in {asked.name}=A,B")
    return Ranged(asked.name, asked.low, asked.high, asked.log, kinds == {int})


def values_at(recipe: Recipe, name: str) -> list[object]:
    """The setting's value, where there is one."""
    return [value for known, value in flat(CONVERTER.unstructure(recipe)) if plain(known) == plain(name)]
