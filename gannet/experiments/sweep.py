"""Many runs that differ in chosen settings: a grid of values, or a search."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from gannet import options
from gannet.config import CONVERTER, Recipe, changed, overridden
from gannet.errors import DivergedError, UserError
from gannet.experiments.records import Group, find_runs, flat, read_run, said
from gannet.experiments.results import Result, Swept, name_of, result_of
from gannet.experiments.seeds import Series, parse_seeds, planned_like
from gannet.experiments.vary import Listed, Ranged, RecipeOf, checked, parse_vary
from gannet.files import place_for, unless_refused, write_text
from gannet.plan import Plan, Start, make_plan, run_name, where_now
from gannet.sessions import Watcher, alone_in, check_measuring, holds_run, starting_from
from gannet.training.initial import Initial
from gannet.training.ranks import ALONE, LAUNCHED, Ranks

ASKED, ENDED = "sweep.json", "trial.json"
TRIALS = 20  # of a search
EVALUATIONS = 10  # of a run, where it was not said
PATHS = ("source", "other", "group_by", "cache")  # settings of the data that say where it is


@dataclass(frozen=True)
class Trial:
    """A number, and the settings of its runs as the command line writes them."""

    number: int
    settings: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())


class Strategy(ABC):
    """Which trials there are, one after another, and what it makes of their results."""

    def __init__(self, num: int):
        self.num = num

    @abstractmethod
    def __iter__(self) -> Iterator[Trial]:
        """Those that are still to be done, or to be gone on with."""

    @abstractmethod
    def watch(self, trial: Trial) -> Watcher | None:
        """Who sees the metrics of the trial's first run, and may stop it."""

    @abstractmethod
    def told(self, trial: Trial, state: str, value: float | None) -> None:
        """How a trial ended: `done`, `pruned`, `diverged` or `refused`, and its metric such that lower is better."""


class Grid(Strategy):
    """All combinations of the values, the last setting fastest."""

    def __init__(self, out: Path, varied: Sequence[Listed]):
        super().__init__(prod(len(each.values) for each in varied))
        self.out, self.varied = out, varied

    def __iter__(self) -> Iterator[Trial]:
        names = [each.name for each in self.varied]
        for number, values in enumerate(product(*(each.values for each in self.varied))):
            if not (folder_of(self.out, number) / ENDED).exists():
                yield Trial(number, dict(zip(names, values, strict=True)))

    def watch(self, trial: Trial) -> None:
        return None

    def told(self, trial: Trial, state: str, value: float | None) -> None:
        """The next trials do not depend on it."""


@dataclass(frozen=True)
class Sweep:
    """What is asked: the data and recipe to start from, what varies, how often, and where it goes."""

    begin: Start
    recipe_of: RecipeOf
    varied: Sequence[Listed | Ranged]
    out: Path
    seeds: tuple[int, ...] = (0,)
    num_trials: int | None = None
    init: str | None = None
    allow_code: bool = False

    @classmethod
    def asked(cls, options: options.Sweep, begin: Start, recipe_of: RecipeOf) -> "Sweep":
        """What the command line asks for. Raises `UserError` where that cannot be, and under torchrun."""
        if all(name in os.environ for name in LAUNCHED) and os.environ["WORLD_SIZE"] != "1":
            raise UserError("gannet sweep plays its runs in one process: leave torchrun out")
        if not options.vary:
            raise UserError("--vary says what a sweep is to vary, as in --vary optim.D.lr=1e-4,4e-4")
        varied = checked([parse_vary(text) for text in options.vary], recipe_of)
        out = options.out or Path("sweeps") / run_name(begin.recipe)
        seeds = parse_seeds(options.seeds or "1")
        return cls(begin, recipe_of, varied, out, seeds, options.trials, options.init, options.allow_code)

    def play(self) -> Swept:
        """Trains all trials that are not yet done, those that were interrupted first, and writes the results to `out`.

        Everything in the folder goes on: the same sweep again does what is missing. Raises `UserError`, before
        anything is made or trained, where a search cannot be made, samples cannot be measured, and where the folder
        holds another sweep.
        """
        make_strategy = self.strategy()
        asked = self.written_down()
        planned = known_plan(self.out, asked) or self.plan()
        with (
            place_for(self.out),
            alone_in(self.out),
            unless_refused(self.out, lambda: any(map(holds_run, self.out.glob("*/*")))),
        ):
            if not (self.out / ASKED).exists():
                write_text(self.out / ASKED, json.dumps({"asked": asked, "planned": planned}, indent=2) + "\n")
            planned = known_plan(self.out, asked) or planned
            strategy = make_strategy(planned["train.evaluate_every"])
            try:
                finished = self.through(strategy, planned)
            except KeyboardInterrupt:  # between two runs, or before the first one has a folder
                finished = False
            swept = Swept(self.out, [each.name for each in self.varied], results(self.out), strategy.num, finished)
            swept.write()
        return swept

    def strategy(self) -> Callable[[float], Strategy]:
        """What makes a grid where all values are listed, else a search, given the kimg between two evaluations.

        Raises `UserError` where it cannot be made.
        """
        listed = [each for each in self.varied if isinstance(each, Listed)]
        if len(listed) == len(self.varied):
            grid = Grid(self.out, listed)
            if self.num_trials not in (None, grid.num):
                raise UserError(f"these lists make {grid.num} trials: leave --trials out, or name a range to search in")
            return lambda every: grid
        from gannet.experiments.search import Search, load_optuna

        load_optuna()
        num = TRIALS if self.num_trials is None else self.num_trials
        return lambda every: Search(self.out, self.varied, num, every)

    def written_down(self) -> dict[str, Any]:
        """All that was asked, as it is kept beside the results."""
        recipe = without_paths(self.recipe_of({}))
        asked = json.loads(json.dumps({"recipe": recipe, "vary": [str(each) for each in self.varied]}))
        return asked | {"seeds": list(self.seeds), **images_of(self.begin)}

    def plan(self) -> dict[str, Any]:
        """What is the same for all runs, decided and said once: end in kimg, precision, when they are measured.

        Raises `UserError` where they could not be trained or measured so.
        """
        plan, _ = starting_from(
            make_plan(self.begin, self.recipe_of({}), self.allow_code, ALONE), self.init, self.allow_code
        )
        every = plan.recipe.train.evaluate_every or plan.total_nimg / 1000 / EVALUATIONS
        check_measuring(replace(plan, recipe=changed(plan.recipe, "train", evaluate_every=every)), self.allow_code)
        varied = tuple(f"{each.name}: " for each in self.varied)  # whose schedules are each trial's own
        print("\n".join(line for line in plan.lines if not line.strip().startswith(varied)))
        planned = {"train.length": plan.recipe.train.length, "train.evaluate_every": every}
        if not any(each.name == "train.precision" for each in self.varied):
            planned["train.precision"] = plan.recipe.train.precision
        return planned

    def through(self, strategy: Strategy, planned: Mapping[str, Any]) -> bool:
        """Plays the trials; False where the user stopped it.

        A trial that diverges, or that the settings make impossible, is noted, and the next one is played; but where
        the first of all is impossible, so may the others be, and it raises its `UserError`.
        """
        for trial in strategy:
            folder, reason = folder_of(self.out, trial.number), ""
            name = f"{folder.name} ({trial.number + 1} of {strategy.num}): {trial}"
            if (folder / ENDED).exists():  # and a kill kept it from being told
                ended = result(folder)
                strategy.told(trial, ended.state, ended.objective)
                continue
            try:
                state = self.one(trial, planned, strategy.watch(trial), name)
            except DivergedError as error:
                state, reason = "diverged", str(error)
            except UserError as error:
                state, reason = "refused", str(error)
                if not any(self.out.glob(f"*/{ENDED}")):
                    strategy.told(trial, state, None)
                    raise
            if state == "interrupted":
                return False
            if reason:
                print(f"{name}: {state}: {reason}")
            note = {"number": trial.number, "settings": dict(trial.settings), "state": state, "reason": reason}
            write_text(folder / ENDED, json.dumps(note, indent=2) + "\n")
            strategy.told(trial, state, result(folder).objective)
        return True

    def one(self, trial: Trial, planned: Mapping[str, Any], watcher: Watcher | None, name: str) -> str:
        """Trains the runs of a trial, one for each seed; how it ended."""
        recipe = overridden(self.recipe_of(trial.settings), planned)
        data = recipe.data

        def plan(ranks: Ranks, like: Path | None) -> tuple[Plan, Initial | None]:
            if like:
                made = planned_like(like, data.source, data, None, self.allow_code, ranks)
            else:
                made = make_plan(self.begin, recipe, self.allow_code, ranks)
            made, initial = starting_from(made, self.init, self.allow_code)
            return replace(made, lines=[]), initial  # the sweep's own plan was said

        first = self.seeds[0]
        series = Series(
            self.seeds,
            folder_of(self.out, trial.number),
            plan,
            go_on=True,
            allow_code=self.allow_code,
            moved=where_now(data, data.source),
            watch=lambda seed: watcher if seed == first else None,
            name=name,
        )
        trained = series.play()
        if len(trained) == len(self.seeds) and trained[-1].finished:
            return "done"
        was_stopped = len(trained) == 1 and not trained[0].finished  # the first, which is the one that is watched
        return "pruned" if was_stopped and watcher and watcher.stop else "interrupted"


def known_plan(out: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was planned for the sweep in the folder; None where there is none. Raises `UserError` for another one."""
    if not (out / ASKED).exists():
        return None
    known = json.loads((out / ASKED).read_text("utf-8"))
    refuse_other(known["asked"], asked, out)
    return known["planned"]


def folder_of(out: Path, number: int) -> Path:
    return out / name_of(number)


def without_paths(recipe: Recipe) -> dict[str, Any]:
    """The settings as JSON, but for where the data is, which is the user's own affair."""
    table = CONVERTER.unstructure(recipe)
    table["data"] = {name: value for name, value in table["data"].items() if name not in PATHS}
    return table


def images_of(begin: Start) -> dict[str, Any]:
    """What tells the images from others, wherever they are: how many, how large, and a hash of their names."""
    sources = [begin.source, *([begin.source.other] if begin.source.other else [])]
    names = hashlib.sha256(json.dumps([list(source.names) for source in sources]).encode()).hexdigest()
    sides = zip(begin.scan.width, begin.scan.height, strict=True)
    return {
        "images": begin.scan.num,
        "image sizes": [f"{width}x{height}" for width, height in sides],
        "image names": names[:16],
    }


def refuse_other(known: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> None:
    """Raises `UserError` where a folder holds another sweep, and names the first thing that differs."""
    before, now = dict(flat(known)), dict(flat(asked))
    for name in [*before, *now]:
        if before.get(name) != now.get(name):
            raise UserError(
                f"{out} holds another sweep, with {name.removeprefix('recipe.')} {said(before.get(name))} and not"
                f" {said(now.get(name))}: choose another --out, or ask for the same"
            )


def result(folder: Path) -> Result:
    """What a trial that has ended gave."""
    note = json.loads((folder / ENDED).read_text("utf-8"))
    records = [read_run(path) for path in find_runs([folder])] if any(map(holds_run, folder.glob("*"))) else []
    records.sort(key=lambda record: record.seed)
    return result_of(note, Group(folder.name, tuple(records)))


def results(out: Path) -> list[Result]:
    """Of all trials that have ended, the best first; those without a metric last."""
    found = [result(path.parent) for path in sorted(out.glob(f"*/{ENDED}"))]
    return sorted(found, key=lambda each: (each.objective is None, each.objective or 0.0, each.number))
