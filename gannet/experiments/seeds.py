"""The same run for one seed after another, so that what a setting does can be told from luck."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gannet.config import Data, Recipe, changed
from gannet.display import counted, duration
from gannet.errors import DivergedError, UserError
from gannet.experiments.records import read_run
from gannet.options import Train
from gannet.plan import Plan, find_recipe, make_plan, run_name, short, start, where_now
from gannet.sessions import (
    Trained,
    Watcher,
    alone_in,
    follow,
    holds_run,
    quote,
    resume_first,
    starting_from,
    train_plan,
)
from gannet.training.initial import Initial
from gannet.training.ranks import Ranks, launched

Planned = Callable[[Ranks, Path | None], tuple[Plan, Initial | None]]
"""Makes the plan of all runs; where one of them was begun before, as that one was planned."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"3"` is 0, 1, 2; `"0,5,7"` is those three, and `"7,"` that one. Raises `UserError` for other texts."""
    words = [word.strip() for word in text.removesuffix(",").split(",")]
    if not all(word.isdecimal() for word in words):
        raise UserError(f"--seeds is '{text}', and must be how many, as in 3, or which, as in 0,5,7")
    numbers = tuple(int(word) for word in words)
    seeds = numbers if "," in text else tuple(range(numbers[0]))
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds is '{text}', and must name one seed at least, and none twice")
    return seeds


def planned_like(run: Path, source: str | None, data: Data, device: str | None, allow_code: bool, ranks: Ranks) -> Plan:
    """The plan of a run that was begun before, for others like it: its settings, its end, its precision.

    `source` and `data` say where the images are now, and `device` where to compute, if not as that run has it.
    """
    recipe = find_recipe(str(run))
    own = {
        "cache": data.cache,
        "other": data.other or recipe.data.other,
        "group_by": data.group_by or recipe.data.group_by,
    }
    device = device or recipe.train.device
    with counted("looking at the images") as progress:
        begin = start(source, str(run), device, progress, replace(recipe.data, **own))
    recipe = changed(changed(begin.recipe, "data", **own), "train", device=device)
    return make_plan(begin, recipe, allow_code, ranks)


@dataclass
class Series:
    """Runs that differ in their seed alone, each in a folder of its own: `seed0`, ... in the folder `run`.

    Without `run` they are runs/NAME-seed0, ..., with NAME as for a single run. The plan is made once: a budget in
    minutes becomes the same kimg for all, from the speed that was measured for the first. With `go_on`, runs
    that were begun before go on, and those that are missing are made as these were planned.
    """

    seeds: Sequence[int]
    run: Path | None
    planned: Planned
    go_on: bool = False
    allow_code: bool = False
    track: str | None = None
    moved: Mapping[str, str | None] = field(default_factory=lambda: {"source": None})
    """Where the images are now, for runs that go on."""
    device: str | None = None
    watch: Callable[[int], Watcher | None] = lambda seed: None
    """Who sees the run of a seed while it goes on, and may stop it."""
    name: str = ""
    """Of what the runs are, where they are part of more."""
    folders: dict[int, Path] = field(default_factory=dict)
    plan: Plan | None = None
    initial: Initial | None = None
    took: list[float] = field(default_factory=list)

    @classmethod
    def asked(cls, options: Train, recipe: Recipe, device: str | None, fresh: Callable[[Ranks], Plan]) -> "Series":
        """What the command line asks for; `recipe` is that before the data was looked at, and `fresh` makes a plan."""
        source, data = options.source or recipe.data.source or None, recipe.data

        def planned(ranks: Ranks, like: Path | None) -> tuple[Plan, Initial | None]:
            known = (source, data, device, options.allow_code, ranks)
            return starting_from(planned_like(like, *known) if like else fresh(ranks), options.init, options.allow_code)

        return cls(
            parse_seeds(options.seeds or "1"),
            options.run,
            planned,
            go_on=options.if_exists == "resume",
            allow_code=options.allow_code,
            track=options.track,
            moved=where_now(data, options.source),
            device=device,
        )

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that speaks, once it has played."""
        return bool(self.folders)

    def play(self) -> list[Trained]:
        """Trains one run after another, to the end or until one is stopped, and returns those that were begun.

        A run that diverges does not keep the others from being trained, and Ctrl-C before a run's first step is a stop
        as well. Raises `UserError` where a folder holds a run already and it is not to go on, and after the last run
        `DivergedError` where one diverged.
        """
        trained: list[Trained] = []
        failures: list[str] = []
        for number, seed in enumerate(self.seeds, 1):
            with launched() as ranks:
                try:
                    trained.append(self.one(number, seed, ranks) if ranks.first else follow(ranks, self.allow_code))
                except DivergedError as error:
                    if ranks.num > 1:
                        raise
                    failures.append(f"seed {seed}: {error}")
                    continue
                except KeyboardInterrupt:
                    if ranks.num > 1 or not self.folders:
                        raise
                    return trained
            if not trained[-1].finished:
                return trained
        if failures:
            raise DivergedError("; ".join(failures))
        return trained

    def one(self, number: int, seed: int, ranks: Ranks) -> Trained:
        """The run of one seed, on the first rank."""
        if not self.folders:
            self.begin(ranks)
        path, watcher = self.folders[seed], self.watch(seed)
        of = f"seed {seed} ({number} of {len(self.seeds)})" if len(self.seeds) > 1 or not self.name else ""
        name = ", ".join(filter(None, (self.name, of)))
        began = time.monotonic()
        if holds_run(path):
            with alone_in(path):
                more = (self.device, self.track, self.allow_code, ranks, watcher, name)
                trained = resume_first(path, {}, self.moved, *more)
        else:
            if self.plan is None:
                self.make(ranks)
            assert self.plan is not None
            plan = replace(
                self.plan,
                recipe=replace(self.plan.recipe, seed=seed),
                engine=replace(self.plan.engine, ranks=ranks),
                lines=[] if self.took else self.plan.lines,
            )
            trained = train_plan(plan, path, self.allow_code, self.track, self.initial, watcher, name)
            self.took.append(time.monotonic() - began)
        if trained.finished or (watcher and watcher.stop):
            left = sum(self.took) / len(self.took) * (len(self.seeds) - number) if self.took else 0
            print(in_one_line(name, trained, f"about {duration(left)} left" if left else ""), flush=True)
        return trained

    def begin(self, ranks: Ranks) -> None:
        """Decides where the runs lie."""
        if self.run is None:
            self.make(ranks)
            assert self.plan is not None
            self.folders = named(self.seeds, Path("runs"), run_name(self.plan.recipe), self.go_on)
        else:
            self.folders = {seed: self.run / f"seed{seed}" for seed in self.seeds}
        begun = [path for path in self.folders.values() if holds_run(path)]
        if begun and not self.go_on:
            raise UserError(f"{begun[0]} holds a run already: choose another --run, or go on with --if-exists resume")
        if begun:
            self.plan = None  # missing ones are planned as this one was

    def make(self, ranks: Ranks) -> None:
        like = next((path for path in self.folders.values() if holds_run(path)), None)
        self.plan, self.initial = self.planned(ranks, like)
        if self.plan.recipe.train.autopilot:
            raise UserError("autopilot changes settings, and runs that are compared have the same: leave it out")


def in_one_line(name: str, trained: Trained, left: str) -> str:
    """How a run ended: its length, its times, its metric at the end and at its best."""
    record = read_run(trained.path)
    parts = [f"{short(record.kimg)} kimg in {duration(record.seconds)}"]
    if record.evaluation_seconds:
        parts.append(f"measured in {duration(record.evaluation_seconds)}")
    for metric, found in record.metrics.items():
        best = f"{found.values[found.best]:.4g} at {short(float(found.kimg[found.best]))} kimg"
        parts.append(f"{metric} {found.values[-1]:.4g}, best {best}")
    ended = [] if trained.finished else ["stopped, behind the others"]
    return "; ".join([f"{name}: {', '.join(parts)}", *ended, str(trained.path), *filter(None, [left])])


def named(seeds: Sequence[int], runs: Path, name: str, go_on: bool) -> dict[int, Path]:
    """runs/NAME-seed0, ..., or NAME with a number where such runs are there; with `go_on` the newest that are."""
    newest: dict[int, Path] = {}
    for number in range(1, 10_000):
        base = name if number == 1 else f"{name}-{number}"
        folders = {seed: runs / f"{base}-seed{seed}" for seed in seeds}
        if not any(path.exists() for path in folders.values()):
            return newest if go_on and newest else folders
        newest = folders
    raise UserError(f"{runs} is full of runs called {name}: name a new folder with --run")


def said_of(seeds: str | None, plan: Plan) -> list[str]:
    """What a plan for several seeds says besides."""
    if seeds is None:
        return []
    numbers = parse_seeds(seeds)
    seconds = len(numbers) * plan.speed.seconds_for(plan.total_nimg)
    return [f"seeds   {', '.join(map(str, numbers))}: about {duration(seconds)} in all"]


def how_to_go_on(series: Series, trained: Sequence[Trained]) -> str:
    """What to type after a stop, for all of the runs together."""
    done = sum(each.finished for each in trained)
    where = f" --run {quote(series.run)}" if series.run else ""
    return (
        f"{done} of {len(series.seeds)} seeds are finished; the same command with{where} --if-exists resume goes on"
        " with the others"
    )
