"""The commands that train."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any

from gannet.commands.options import INTERRUPTED, RunFolder, parse, status


def train(argv: list[str]) -> int:
    """Trains; the plan is said first."""
    from gannet import plan, sessions
    from gannet.errors import UserError
    from gannet.experiments.autopilot import Autopilot, resume
    from gannet.options import spelled_out, train_options, value_of
    from gannet.plan import where_now

    name = value_of(spelled_out(argv), "--recipe")
    options, first = train_options(plan.find_recipe(name or "small"), argv)
    if options.seeds is not None and not options.dry_run:
        return train_seeds(options, first, argv)
    if options.if_exists == "resume":
        if options.run is None:
            raise UserError("--if-exists resume needs the folder of the run: name it with --run")
        if sessions.holds_run(options.run) and not options.dry_run:
            device = value_of(spelled_out(argv), "--train.device")
            new = {"cache": first.data.cache, "group_by": first.data.group_by or None, "device": device}
            new["other"] = first.data.other or None
            more = {"track": options.track, "allow_code": options.allow_code}
            return status(resume(options.run, data=options.source, **new, **more))
    if options.dry_run:
        return dry_run(options, first, argv)
    plans: list[plan.Plan] = []

    def begin(ranks: Any, pilot: Any) -> sessions.Trained:
        if not ranks.first:
            return sessions.follow(ranks, options.allow_code)
        made, initial = sessions.starting_from(planned(options, first, argv, ranks), options.init, options.allow_code)
        plans.append(made)
        watcher = pilot if made.recipe.train.autopilot else None
        return sessions.train_plan(made, options.run, options.allow_code, options.track, initial, watcher)

    where = where_now(first.data, options.source or first.data.source or None)
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        trained = Autopilot(where, None, options.track, options.allow_code).play(begin)
    if options.json and plans:
        print(json.dumps({**plans[0].to_dict(), "run": str(trained.path), "finished": trained.finished}, indent=2))
    return status(trained)


def dry_run(options: Any, first: Any, argv: list[str]) -> int:
    """Says what would be done."""
    from gannet import sessions
    from gannet.experiments.seeds import said_of
    from gannet.training.ranks import launched

    with launched() as ranks:
        if ranks.first:
            plan = planned(options, first, argv, ranks)
            made, _ = sessions.starting_from(plan, options.init, options.allow_code)
            sessions.check_measuring(made, options.allow_code)
            lines = [*made.lines, *said_of(options.seeds, made)]
            print(json.dumps(made.to_dict(), indent=2) if options.json else "\n".join(lines))
    return 0


def planned(options: Any, first: Any, argv: list[str], ranks: Any) -> Any:
    """The plan of what `gannet train` is asked; `first` is the recipe before the data was looked at."""
    from gannet import plan
    from gannet.display import counted
    from gannet.options import train_options

    with counted("looking at the images") as progress:
        begin = plan.start(options.source, options.recipe, first.train.device, progress, first.data)
    _, recipe = train_options(begin.recipe, argv)
    return plan.make_plan(begin, recipe, options.allow_code, ranks)


def train_seeds(options: Any, first: Any, argv: list[str]) -> int:
    """Trains one run for each of the seeds."""
    from gannet.errors import UserError
    from gannet.experiments.seeds import Series, how_to_go_on
    from gannet.options import spelled_out, value_of

    if value_of(spelled_out(argv), "--seed") is not None:
        raise UserError("--seed and --seeds are both given: name one seed, or several")
    device = value_of(spelled_out(argv), "--train.device")
    series = Series.asked(options, first, device, lambda ranks: planned(options, first, argv, ranks))
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        trained = series.play()
        finished = len(trained) == len(series.seeds) and trained[-1].finished
        if not finished and series.is_first:
            print(how_to_go_on(series, trained))
    if options.json and series.is_first:
        runs = [{"run": str(run.path), "finished": run.finished} for run in trained]
        print(json.dumps({"runs": runs, "seeds": list(series.seeds), "finished": finished}, indent=2))
    return 0 if finished else INTERRUPTED


@dataclass(frozen=True)
class Resume:
    """Go on with a run exactly where it stopped."""

    run: RunFolder
    kimg: float | None = None
    """A new end, in thousands of images from the start of the run."""
    epochs: float | None = None
    """A new end, in passes over the data from the start of the run."""
    data: str | None = None
    """Where the images are now, if they moved."""
    other: str | None = None
    """Where the second folder of two is now."""
    group_by: str | None = None
    """Where the groups of --data.group-by are written now."""
    device: str | None = None
    """Where to compute now, if not where the run began."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder, off for none."""
    track: str | None = None
    """Mirror stats.jsonl and the grids to tensorboard or wandb."""
    allow_code: bool = False
    """Import parts that are named as module:callable."""


def resume(argv: list[str]) -> int:
    from gannet.experiments import autopilot

    options = parse(Resume, argv, "resume")
    return status(autopilot.resume(**vars(options)))


def sweep(argv: list[str]) -> int:
    """Trains with many settings."""
    from gannet import plan
    from gannet.display import counted, print_report
    from gannet.experiments.sweep import Sweep
    from gannet.experiments.vary import words
    from gannet.options import spelled_out, sweep_options, value_of

    options, first = sweep_options(plan.find_recipe(value_of(spelled_out(argv), "--recipe") or "small"), argv)
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        try:
            with counted("looking at the images") as progress:
                begin = plan.start(options.source, options.recipe, first.train.device, progress, first.data)
            asked = Sweep.asked(options, begin, lambda some: sweep_options(begin.recipe, [*argv, *words(some)])[1])
            swept = asked.play()
        except KeyboardInterrupt:  # while it was planned
            print("Interrupted before a run began, and what was trained before is kept: the same command goes on.")
            return INTERRUPTED
    if options.json:
        print(json.dumps(swept.to_dict(), indent=2))
    else:
        print_report(swept)
    return status(swept)
