"""A session of a run: begun or gone on with, alone or with other ranks, until its end or a stop."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote as shell_quote
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor, nn

from gannet.config import Recipe, amount, changed, from_toml, number, overridden, read_recipe, to_toml
from gannet.data.cache import OFF, cache_folder
from gannet.data.dataset import Dataset, opened, prepare
from gannet.display import counted, display_for, duration, in_words
from gannet.errors import UserError
from gannet.files import place_for, put_back, remove_parts, unless_refused, write_text
from gannet.networks import TRANSLATORS
from gannet.options import budget
from gannet.plan import Plan, machine_facts, moved, run_folder
from gannet.track import track as tracker_for
from gannet.training import best
from gannet.training.build import build_networks, build_training, classes_of, completed, game_of
from gannet.training.changes import as_changed
from gannet.training.checkpoint import checkpoints, restore_newest
from gannet.training.engine import Engine, find_device, make_deterministic
from gannet.training.freeze import freeze_first
from gannet.training.initial import Copied, Initial, find_initial, start_from
from gannet.training.pictures import read_stats
from gannet.training.ranks import Ranks
from gannet.training.run import Listener, Run
from gannet.watching import Watch

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
SECOND_THOUGHT = 1.0  # seconds in which another Ctrl-C is taken for the same one
STOP_SECONDS = 120.0  # that a rank which was asked to stop waits for the others

Measuring = Callable[[Run], Listener]
IfExists = Literal["refuse", "resume"]


class Watcher(Listener, Protocol):
    """A listener that may ask a run to stop."""

    stop: bool


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


def holds_run(path: Path) -> bool:
    """Whether a run was begun in the folder; not where that may not be seen."""
    return os.path.exists(path / "recipe.toml")


def refuse_taken(path: Path) -> None:
    """Raises `UserError` where the folder holds a run."""
    if holds_run(path):
        raise UserError(
            f"{path} holds a run already: choose another --run, or go on with gannet resume {quote(path)}"
            " (--if-exists resume does so by itself)"
        )


def starting_from(plan: Plan, address: str | None, allow_code: bool = False) -> tuple[Plan, Initial | None]:
    """The weights at `address` (a run, a generator's folder, hf://OWNER/NAME) that fit, and a plan that says so.

    Raises `UserError` where nothing fits, or layers of D are to be frozen that come from nowhere.
    """
    if address is None:
        if plan.recipe.train.freeze_d:
            raise UserError("--train.freeze-d keeps layers of D as they are: say with --init where they come from")
        return plan, None
    classes = classes_of(plan.recipe, tuple(plan.scan.classes) if plan.recipe.data.labels else (), allow_code)
    networks = build_networks(plan.recipe, plan.channels, len(classes), allow_code)
    game = game_of(plan.recipe, allow_code)
    initial = find_initial(address, networks, game.built, cache_folder())
    if plan.recipe.train.freeze_d:
        x = torch.zeros(2, plan.channels * plan.recipe.data.num_frames, *2 * [plan.recipe.data.resolution])
        c = torch.zeros(2, len(classes) * game.labels_for_d)
        for copied in initial.copied:
            if game.built[copied.network] == "D":
                check_frozen(copied, networks[copied.network], plan.recipe.train.freeze_d, x, c, initial.name)
    return replace(plan, lines=[*plan.lines, *initial.lines()]), initial


def check_frozen(copied: Copied, D: nn.Module, num: int, x: Tensor, c: Tensor, source: str) -> None:
    """Raises `UserError` where one of D's first `num` layers, which are frozen here, does not come from elsewhere."""
    freeze_first(D, num, x, c)
    frozen = {name for name, p in D.named_parameters() if not p.requires_grad}
    if fresh := sorted(frozen & set(copied.fresh)):
        raise UserError(
            f"--train.freeze-d {num} would keep {fresh[0]} of {copied.network} as it is, and {source} has none that"
            f" fits ({copied.fresh[fresh[0]]}): leave --train.freeze-d out"
        )


def train_plan(
    plan: Plan,
    run: Path | None = None,
    allow_code: bool = False,
    track: str | None = None,
    initial: Initial | None = None,
    watcher: Watcher | None = None,
    name: str = "",
) -> Trained:
    """Trains what was planned into a new run folder. Raises `UserError` when the folder holds a run.

    Of a run with a `name`, which is one of many, who plays them says where it is and how it ended.
    """
    if run:
        refuse_taken(run)
    measure = measuring(plan.recipe, plan.engine, allow_code)
    path = run or run_folder(Path("runs"), plan.recipe)
    for line in plan.lines:
        print(line)
    if not name:
        print(f"run     {path}")
    with counted("decoding") as progress:
        dataset = plan.prepare(progress)
    if dataset.unreadable:
        what, (file, reason) = f"{len(dataset.unreadable)} {plan.recipe.data.items}", dataset.unreadable[0]
        print(f"left out {what} that cannot be read; the first, {file}: {reason}")
    plan = plan.with_images(len(dataset.images))
    if plan.recipe.train.evaluate_every:
        from gannet.evaluating.during import check_enough  # which imports this module

        check_enough(plan.recipe, len(dataset.images))  # before the folder holds a run
    dataset = discreet(dataset, plan.recipe, plan.engine.ranks)
    facts = plan.facts(dataset) | ({"init": name_of(initial, plan.recipe)} if initial else {})
    cache = plan.recipe.data.cache
    kept = changed(moved(plan.recipe, Path(), path), "data", cache=cache if cache == OFF else "")
    if kept.data.private:
        where = dataset.cache or "memory"
        print(f"private: no real image, name or path goes into the run; decoded images lie in {where}")
        if plan.recipe.G.name in TRANSLATORS.rows:
            print("private: but its grids show what G makes of real images, which may be much like them")
        kept = changed(kept, "data", source="", other="", group_by="")
    with (
        place_for(path, is_new=run is None),
        alone_in(path),
        unless_refused(path, lambda: bool(checkpoints(path / "checkpoints"))),
    ):
        refuse_taken(path)  # by a session that began meanwhile
        write_text(path / "recipe.toml", to_toml(kept, facts))
        session = begun(plan.recipe, facts, dataset, plan.engine, path, plan.total_nimg, allow_code, initial=initial)
        if initial:
            found = {copied.network: copied.to_dict() for copied in initial.copied}
            session.event("init", source=facts["init"], **found)
        return play(session, track, measure, watcher, name)


def name_of(initial: Initial, recipe: Recipe) -> str:
    """What a run says of where its weights come from."""
    return "not said: the run is private" if recipe.data.private else initial.name


def discreet(dataset: Dataset, recipe: Recipe, ranks: Ranks) -> Dataset:
    """The data set of a private run: its classes are numbers, and their names are said once."""
    if not recipe.data.private or not dataset.classes:
        return dataset
    if ranks.first:
        print("classes " + ", ".join(f"{i} is {name}" for i, name in enumerate(dataset.classes)) + " (said here only)")
    return replace(dataset, classes=tuple(str(i) for i in range(len(dataset.classes))))


def budget_of(kimg: float | None, epochs: float | None) -> dict[str, str]:
    return budget({unit: value for unit, value in (("kimg", kimg), ("epochs", epochs)) if value is not None})


def resume_first(
    path: Path,
    length: Mapping[str, str],
    data: Mapping[str, str | None],
    device: str | None,
    track: str | None,
    allow_code: bool,
    ranks: Ranks,
    watcher: Watcher | None = None,
    name: str = "",
) -> Trained:
    """Goes on with a run on the first rank, or alone; `data` holds the settings of the data that are new.

    `name` is that of a run which is one of many.
    """
    recipe, facts = recorded(path, data)
    recipe = completed(recipe, allow_code)
    recipe = changed(recipe, "train", device=device or recipe.train.device)
    dataset = same_data(recipe, facts, ranks)
    engine = engine_of(recipe, ranks)
    total_nimg = round(amount(recipe.train.length)[0] * 1000)
    if length:
        value, unit = amount(overridden(recipe, length).train.length)
        total_nimg = int(value * (1000 if unit == "kimg" else len(dataset.images)))
    if "init" in facts and not checkpoints(path / "checkpoints"):
        raise UserError(
            f"{path} ended before its first checkpoint: start again with gannet train --init, and a new --run"
        )
    session = begun(recipe, facts, dataset, engine, path, total_nimg, allow_code, extended=bool(length))
    at, total_nimg, measure = session.training.cur_nimg, session.total_nimg, None
    if session.is_finished:
        print(f"{path} is finished: {at / 1000:g} kimg; gannet resume {quote(path)} --kimg N makes it longer")
    else:
        measure = measuring(recipe, engine, allow_code)
        print(f"{path} goes on at {at / 1000:.1f} of {total_nimg / 1000:g} kimg")
        if others := differences(facts, engine, recipe.train.deterministic):
            print(f"not bit for bit as it would have been, since {others}")
            session.event("resumed", differs=others)
    return play(session, track, measure, watcher, name)


def recorded(path: Path, data: Mapping[str, str | None]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run, as autopilot has changed it, and its facts; the paths of the data are as from here.

    `data` holds what is new.

    Raises `UserError` where it is no run's, or does not say where its images are.
    """
    recipe, facts = read_recipe(path / "recipe.toml")
    if "data_fingerprint" not in facts or "channels" not in facts:
        raise UserError(f"{path / 'recipe.toml'} does not say what was trained on, in its table [run]: it is no run's")
    recipe = moved(recipe, path, Path())
    if recipe.data.private and not data["source"]:
        raise UserError(f"{path} is private and does not say where its images are: name them with --data")
    recipe = as_changed(recipe, path)
    return changed(recipe, "data", **{name: value for name, value in data.items() if value is not None}), facts


def same_data(recipe: Recipe, facts: Mapping[str, Any], ranks: Ranks) -> Dataset:
    """The images that a run was trained on. Raises `UserError` where they are others."""
    with counted("decoding") if ranks.first else nullcontext() as progress:
        dataset = prepare(opened(recipe.data, cache_folder()), recipe.data, facts["channels"], progress)
    if dataset.fingerprint != facts["data_fingerprint"]:
        raise UserError(
            f"the images in {recipe.data.source} are not those that the run was trained on: name those with --data"
        )
    return discreet(dataset, recipe, ranks)


def engine_of(recipe: Recipe, ranks: Ranks) -> Engine:
    """The device and precision that a run was begun with."""
    if recipe.train.deterministic:
        make_deterministic()
    return Engine(find_device(recipe.train.device, ranks), recipe.train.precision, ranks)


def begun(
    recipe: Recipe,
    facts: Mapping[str, Any],
    dataset: Dataset,
    engine: Engine,
    path: Path,
    total_nimg: int,
    allow_code: bool,
    extended: bool = False,
    initial: Initial | None = None,
) -> Run:
    """The run on this rank, at its newest checkpoint or at its start; the other ranks are told."""
    engine.ranks.publish("run", json.dumps({"recipe": to_toml(recipe, facts), "path": str(path)}))
    training = build_training(recipe, dataset, engine, allow_code)
    engine.ranks.wait_for_all()
    saved = restore_newest(training, path / "checkpoints", print)
    start_from(training, initial.to_bytes() if initial else b"")
    if engine.ranks.first:
        put_back(path / best.FOLDER)
        remove_parts(path)
        with (path / "stats.jsonl").open("ab") as file:
            file.truncate(min(file.tell(), saved.get("stats_bytes", 0)))
    before = saved.get("total_nimg", round(amount(recipe.train.length)[0] * 1000) if extended else total_nimg)
    total_nimg = total_nimg if extended else before
    engine.ranks.publish("end", json.dumps({"total_nimg": total_nimg, "extended": extended and bool(saved)}))
    session = Run(
        path, training, total_nimg, [], saved.get("seconds", 0.0), extended and bool(saved), **measured(saved)
    )
    if total_nimg != before and not session.is_finished:
        session.event("extended", settings={"train": {"length": f"{number(total_nimg / 1000)} kimg"}})
    return session


def follow(ranks: Ranks, allow_code: bool) -> Trained:
    """What every rank but the first does: it plays the run that the first publishes."""
    published = json.loads(ranks.published("run"))
    recipe, facts = from_toml(published["recipe"], "the recipe of the first rank")
    engine = engine_of(recipe, ranks)
    training = build_training(recipe, same_data(recipe, facts, ranks), engine, allow_code)
    ranks.wait_for_all()
    saved = restore_newest(training, Path(), print)
    start_from(training, b"")
    end = json.loads(ranks.published("end"))
    path, total_nimg = Path(published["path"]), end["total_nimg"]
    return play(Run(path, training, total_nimg, [], extended=end["extended"], **measured(saved)))


def measuring(recipe: Recipe, engine: Engine, allow_code: bool) -> Measuring | None:
    """What makes the listener that measures samples while the recipe trains, if it asks for that.

    Raises `UserError` where they cannot be measured, before anything is begun.
    """
    if not recipe.train.evaluate_every:
        return None
    from gannet.evaluating.during import evaluating, extractor_for  # which imports this module

    return partial(evaluating, extractor_for(recipe, engine.device, allow_code))


def check_measuring(plan: Plan, allow_code: bool) -> None:
    """Raises `UserError` where samples cannot be measured as is planned, before anything is made or run."""
    if measuring(plan.recipe, plan.engine, allow_code):
        from gannet.evaluating.during import check_enough  # which imports this module

        check_enough(plan.recipe, plan.num_images)


def measured(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of the evaluation, for `Run`."""
    return {"evaluated": saved.get("evaluated_nimg", 0), "evaluation_seconds": saved.get("evaluation_seconds", 0.0)}


def differences(facts: Mapping[str, Any], engine: Engine, deterministic: bool) -> str:
    """What of the machine is not as it was when the run started, in words."""
    now = machine_facts(engine)
    other = [f"{name} is {now[name]} and was {facts[name]}" for name in now if facts.get(name) not in (None, now[name])]
    if engine.device.type == "cuda" and not deterministic:
        other.append("CUDA was not asked to be exact (--train.deterministic)")
    return ", ".join(other)


def play(
    run: Run,
    track: str | None = None,
    measure: Measuring | None = None,
    watcher: Watcher | None = None,
    name: str = "",
) -> Trained:
    """Trains with a display and perhaps a tracker, until the end or a stop by the user, the system or a watcher."""
    if run.is_finished:
        return Trained(run.path, finished=True)
    with ExitStack() as shown:
        if run.first:
            if track == "wandb" and run.training.recipe.data.private:
                raise UserError(
                    "wandb notes the command line and the machine, and the run is private: leave --track out"
                )
            judges = [measure(run)] if measure else []  # before anything is opened: it may refuse
            trackers = [tracker_for(track, run.path)] if track else []
            watch = watcher if isinstance(watcher, Watch) else Watch(name)
            watch.begin(run)
            others = [watcher] if watcher and watcher is not watch else []
            run.listeners += [*trackers, display_for(run.total_nimg, name), *judges, watch, *others]
            for listener in run.listeners:
                shown.callback(listener.close)
        run.training.engine.ranks.await_first("ready to begin")
        with stop_signals(run.training.engine.ranks) as stopped:
            finished = run.play(lambda: stopped.is_set() or (watcher is not None and watcher.stop), stopped.agreed)
            if watcher and watcher.stop and stopped.is_set():
                watcher.stop = False  # who stops the run also ends what the watcher would go on with
    if run.first and (not name if finished else watcher is None or not watcher.stop):
        report(run, finished, name)
    return Trained(run.path, finished)


def report(run: Run, finished: bool, name: str) -> None:
    """Where everything is, and what to try next. Who plays a run with a `name` says how all of them go on."""
    samples = run.path / "samples"
    if not finished:
        at = f"{run.training.cur_nimg / 1000:.1f} kimg"
        how = f"gannet resume {quote(run.path)}"
        if run.training.engine.ranks.num > 1:
            how = f"torchrun as before, and -m gannet -- resume {quote(run.path)}"
        print(f"{name}  stopped at {at}, all saved" if name else f"stopped at {at}, all saved; go on with: {how}")
        return
    if run.training.recipe.train.evaluate_every:
        spent, total = run.evaluation_seconds, run.elapsed
        alone = f"training alone {duration(total - spent)}"
        print(f"evaluation took {duration(spent)} of {duration(total)}, {spent / total:.0%}; {alone}")
    if line := best.best_of(run.path):
        print(f"best      {in_words(line)} at {line['kimg']:g} kimg: gannet sample {quote(run.path / best.FOLDER)}")
        if line["kimg"] < min(1.5 * run.training.recipe.train.evaluate_every, run.total_nimg / 2000):
            print("          which is when it was first measured: look at its samples before you trust the number")
    if run.gallery.shows_reals:
        print(f"pictures  {samples / 'real_and_generated.png'} (real left, generated right)")
    print(f"evolution {samples / 'evolution.webp'}")
    print(f"curves    {run.path / 'curves.png'}")
    how = f"gannet sample {quote(run.path)} --num 64 --grid --out samples.png"
    if run.training.recipe.data.clip_length > 1:
        how = f"gannet sample {quote(run.path)} --num 8 --out clips"
    if run.training.recipe.G.settings.get("given"):
        how = f"gannet sample {quote(run.path)} --given VIDEOS --num 4 --out next"
    if run.training.recipe.G.name in TRANSLATORS.rows:
        verb = "upscale" if run.training.recipe.G.settings.get("scale", 1) > 1 else "translate"
        how = f"gannet {verb} {quote(run.path)} FOLDER --out {verb}d"
    print(f"try next  {how}")


def quote(path: Path) -> str:
    """A path as a word of a command line."""
    return shell_quote(str(path))


class Stop(threading.Event):
    """Set when somebody asks to stop. A rank that then waits for the others in vain ends after `STOP_SECONDS`."""

    def __init__(self) -> None:
        super().__init__()
        self.give_up = threading.Timer(STOP_SECONDS, os._exit, [1])
        self.give_up.daemon = True

    def agreed(self) -> None:
        """All ranks have left the loop: saving may take its time."""
        self.give_up.cancel()


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Keeps other sessions out of the run's folder. Raises `UserError` when one is in it."""
    lock = FileLock(run / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(f"another process trains {run} at this moment: wait for it, or stop it first") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (run / ".lock").unlink()
        lock.release()


def is_locked(run: Path) -> bool:
    """Whether a session is in the run's folder at this moment, seen without leaving anything there."""
    if not (run / ".lock").exists():  # a kill leaves one, which nobody holds
        return False
    try:
        with FileLock(run / ".lock", blocking=False):
            return False
    except (Timeout, OSError):
        return True


@contextmanager
def stop_signals(ranks: Ranks) -> Iterator[Stop]:
    """Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal set the event; a second Ctrl-C raises KeyboardInterrupt at once.

    Several ranks agree on where to stop.
    """
    stopped = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    asked_at = 0.0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if not stopped.is_set():
            asked_at = time.monotonic()
            stopped.set()
            if ranks.num > 1:
                stopped.give_up.start()
            if ranks.first:
                with suppress(RuntimeError):  # it may come in the middle of another print
                    print("stopping after this iteration, and saving (Ctrl-C again to give up at once)", flush=True)
        elif number == signal.SIGINT and time.monotonic() > asked_at + SECOND_THOUGHT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS}
    try:
        yield stopped
    finally:
        stopped.agreed()
        for number, handler in before.items():
            signal.signal(number, handler)
