"""Values that move while a run goes on: `schedules = {"optim.G.lr": "linear to 0 over 1000 kimg"}`.

A schedule starts from the setting's own value and depends on the images seen alone, so a resumed run
goes on with the very same values. Parts of the run (`%`) and epochs become kimg once, when the run is
planned: a longer run does not move them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gannet.config import Recipe, number, overridden
from gannet.errors import UserError, nearest

SHAPES: Mapping[str, Callable[[float, float, float], float]] = {
    "linear": lambda start, final, share: start + (final - start) * share,
    "cosine": lambda start, final, share: final + (start - final) * (1 + math.cos(math.pi * share)) / 2,
    "exponential": lambda start, final, share: start * (final / start) ** share,
}
NUMBER, UNIT = r"([-+]?[\d.]+(?:e[-+]?\d+)?)", r"\s*(%|kimg|epochs?)"
SPAN = rf"(?:over|from\s+{NUMBER}(?:{UNIT})?\s+to)\s+{NUMBER}{UNIT}"
FORM = re.compile(rf"({'|'.join(SHAPES)})\s+to\s+{NUMBER}(x)?\s+{SPAN}", re.IGNORECASE)
NONE = "none"  # what takes a recipe's schedule away


@dataclass(frozen=True)
class Schedule:
    """Goes to `final` (or as many times the start) between two moments of `unit`: "%", "epochs" or "kimg"."""

    shape: str
    final: float
    begin: float
    end: float
    unit: str
    times_start: bool = False

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """`"cosine to 5e-5 over 50%"`, or `"... from 100 to 1000 kimg"`. Raises `ValueError` for other texts."""
        found = FORM.fullmatch(text.strip())
        if not found:
            raise ValueError("it has another form")
        shape, final, times, begin, begin_unit, end, unit = (group and group.lower() for group in found.groups())
        if begin_unit and begin_unit.rstrip("s") != unit.rstrip("s"):
            raise ValueError("its moments have two units")
        unit = "epochs" if unit == "epoch" else unit
        made = cls(shape, float(final), float(begin or 0), float(end), unit, bool(times))
        if not (0 <= made.begin < made.end < math.inf and math.isfinite(made.final)):
            raise ValueError("its moments are not in order")
        return made

    def __str__(self) -> str:
        span = f"from {number(self.begin)} to {number(self.end)}" if self.begin else f"over {number(self.end)}"
        return f"{self.shape} to {number(self.final)} {span}{'' if self.unit == '%' else ' '}{self.unit}"

    def at(self, start: float, cur_nimg: int) -> float:
        """The value after `cur_nimg` images, where the setting's own is `start`. The unit is kimg."""
        assert self.unit == "kimg", self
        share = (cur_nimg / 1000 - self.begin) / (self.end - self.begin)
        if share <= 0:
            return start
        return self.final if share >= 1 else SHAPES[self.shape](start, self.final, share)


def schedules_of(recipe: Recipe) -> dict[str, tuple[float, Schedule]]:
    """The settings that move, by name: the value that each starts from, and its schedule.

    Raises `UserError` for names that are no setting of the `completed` recipe that can move, for texts
    that say no schedule, and for values that the setting cannot have.
    """
    known, found = movable(recipe), {}
    for name, text in recipe.schedules.items():
        if text == NONE:
            continue
        if name not in known:
            raise UserError(f"schedules: there is no setting '{name}' that can move{missing(name, known)}")
        try:
            schedule = Schedule.parse(text)
        except ValueError as error:
            raise UserError(
                f"schedules.{name} is '{text}': {error}; write it like 'linear to 0 over 50%' or 'cosine to 0.1 from 10"
                f" to 100 kimg' ({', '.join(SHAPES)}; %, kimg, epochs)"
            ) from error
        if schedule.times_start:
            final = float(f"{known[name] * schedule.final:.12g}")  # 1.5e-4, where the product is 1.5000000000000001e-4
            schedule = replace(schedule, final=final, times_start=False)
        check_end(name, known[name], schedule)
        found[name] = (known[name], schedule)
    return found


def missing(name: str, known: Mapping[str, float]) -> str:
    """What to do about a name that is not among the settings that can move."""
    place = name.rpartition(".")[0]
    if place.startswith("penalties."):
        return f": the recipe has no such penalty, or the penalty no such number; add it by --{name} VALUE"
    if place == "augment":
        of_this = ", ".join(other for other in known if other.startswith("augment.")) or "none"
        return f"; of this augmentation there are: {of_this}; another is chosen by --augment.name"
    return nearest(name, known)


def movable(recipe: Recipe) -> dict[str, float]:
    """The settings of a `completed` recipe that can move, with their values."""
    found = {"ema.half_life_kimg": recipe.ema.half_life_kimg}
    for player, optim in recipe.optim.items():
        own = {"lr": optim.lr, "beta2": optim.betas[1]}
        if optim.name == "adam":
            own["beta1"] = optim.betas[0]
        found |= {f"optim.{player}.{key}": value for key, value in own.items()}
    parts = {name: getattr(recipe, name).settings for name in ("game", "objective", "augment")}
    parts |= {f"penalties.{name}": settings for name, settings in recipe.penalties.items()}
    for place, settings in parts.items():
        found |= {f"{place}.{key}": value for key, value in settings.items() if type(value) is float}
    return found


def check_end(name: str, start: float, schedule: Schedule) -> None:
    """Raises `UserError` where the last value is none that the setting may have."""
    if schedule.shape == "exponential" and not (start > 0 and schedule.final > 0):
        raise UserError(
            f"schedules.{name}: from {start:g} to {schedule.final:g} nothing goes exponentially, which is for values"
            " above 0: write linear or cosine"
        )
    is_beta = name.startswith("optim.") and not name.endswith(".lr")
    if name.startswith(("optim.", "ema.")) and not 0 <= schedule.final < (1 if is_beta else math.inf):
        raise UserError(
            f"schedules.{name} goes to {schedule.final:g}, and must go to {'0 to below 1' if is_beta else '0 or more'}"
        )


def in_kimg(recipe: Recipe, total_nimg: int, num_images: int) -> Recipe:
    """The `completed` recipe, with the moments of its schedules in kimg of a run of `total_nimg` images.

    Raises `UserError` as `schedules_of` does.
    """
    images_per = {"%": total_nimg / 100, "epochs": num_images, "kimg": 1000.0}
    texts = {}
    for name, (_, schedule) in schedules_of(recipe).items():
        begin, end = (round(moment * images_per[schedule.unit] / 1000, 6) for moment in (schedule.begin, schedule.end))
        texts[name] = str(replace(schedule, begin=begin, end=end, unit="kimg"))
    return replace(recipe, schedules=texts)


def unfinished(recipe: Recipe, total_nimg: int) -> list[str]:
    """A sentence for each schedule of a recipe `in_kimg` that goes on when `total_nimg` images have been seen."""
    found = schedules_of(recipe).items()
    return [
        f"{name} comes to {schedule.at(start, total_nimg):.4g} alone: the run ends before its schedule does"
        for name, (start, schedule) in found
        if round(1000 * schedule.end) > total_nimg
    ]


def falling_before(recipe: Recipe, nimg: float) -> str:
    """The first rate of a recipe `in_kimg` whose schedule begins before `nimg` images have been seen, or nothing."""
    rates = {name: schedule for name, (_, schedule) in schedules_of(recipe).items() if name.endswith(".lr")}
    return next((name for name, schedule in rates.items() if round(1000 * schedule.begin) < nimg), "")


def at_the_end(recipe: Recipe) -> Recipe:
    """The `completed` recipe, with the settings of its parts where their schedules take them."""
    ends = {name: schedule.final for name, (_, schedule) in schedules_of(recipe).items()}
    return overridden(recipe, {name: value for name, value in ends.items() if not name.startswith(("optim.", "ema."))})


@dataclass(frozen=True)
class Mover:
    """Sets one value as its schedule has it."""

    start: float
    schedule: Schedule
    set: Callable[[float], None]

    def move(self, cur_nimg: int) -> float:
        value = self.schedule.at(self.start, cur_nimg)
        self.set(value)
        return value


def movers(
    recipe: Recipe, optimizers: Mapping[str, torch.optim.Optimizer], parts: Mapping[str, Any]
) -> dict[str, Mover]:
    """One for each schedule of the recipe, by the setting's name; `parts` by where their settings stand.

    Raises `UserError` for a setting that its part reads once only, when it is built.
    """
    made = {}
    for name, (start, schedule) in schedules_of(recipe).items():
        place, _, key = name.rpartition(".")
        if place.startswith("optim."):
            setter = optimizer_setter(optimizers[place.removeprefix("optim.")], key, start)
        else:
            setter = part_setter(parts[place], key, name)
        made[name] = Mover(start, schedule, setter)
    return made


def optimizer_setter(optimizer: torch.optim.Optimizer, key: str, start: float) -> Callable[[float], None]:
    """Sets `lr`, `beta1` or `beta2`. A rate that was halved when the run diverged stays as many times smaller."""

    def set_(value: float) -> None:
        for group in optimizer.param_groups:
            if key == "lr":
                group["lr"] = value * (group["initial_lr"] / start)
            elif "alpha" in group:  # RMSProp, which has one average, of squares
                group["alpha"] = value
            else:
                beta1, beta2 = group["betas"]
                group["betas"] = (value, beta2) if key == "beta1" else (beta1, value)

    return set_


def part_setter(part: Any, key: str, name: str) -> Callable[[float], None]:
    """Sets an attribute of the setting's name, or fills it where it is a buffer."""
    now = getattr(part, key, None)
    if isinstance(now, Tensor):
        return lambda value: getattr(part, key).fill_(value)
    if not isinstance(now, float):
        raise UserError(f"schedules: '{name}' is read once, when the run starts, and cannot move")
    return lambda value: setattr(part, key, value)
