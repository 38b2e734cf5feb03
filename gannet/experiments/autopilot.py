"""A run that mends itself: at a finding that lasts it goes back to a healthy checkpoint, changes one thing, goes on.

Each session is an ordinary one, which a watch stops. What is to be done then follows from the run folder alone: the
newest checkpoint says how much of stats.jsonl counts, and a change counts from the moment at which the checkpoint
that the run goes on from is written. So a kill at any moment only repeats what led to the change.
"""

import contextlib
import os
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from gannet import sessions
from gannet.config import CONVERTER, Recipe, changed, changes_of
from gannet.diagnosis import Diagnosis, Finding, diagnose
from gannet.diagnosis.logs import LOOKED, flat, settings_of
from gannet.diagnosis.report import WORDS
from gannet.errors import DivergedError, UserError
from gannet.options import train_options
from gannet.sessions import Trained
from gannet.training.build import build_training, completed
from gannet.training.changes import AUTOPILOT, carry_over, changes, kept_lines
from gannet.training.checkpoint import checkpoints, newest_state, nimg_of, state_in
from gannet.training.engine import Engine, find_device
from gannet.training.pictures import read_stats
from gannet.training.ranks import ALONE, Ranks, launched
from gannet.training.run import Run
from gannet.training.schedule import schedules_of
from gannet.watching import Watch

MOST = 5  # changes of a run
FROM_THE_START = ("bad-start", "not-learning", "settings")  # what was wrong before the first step
NOTHING = Diagnosis("healthy", [])


@dataclass(frozen=True)
class Decision:
    """What is to be done about a finding: the changed recipe to go on with, or None where the run has come to its end.

    `since` is the kimg before which all was well.
    """

    finding: str
    since: float
    change: str
    why: str
    recipe: Recipe | None


class Pilot(Watch):
    """Stops a run where the finding that leads has stood at two looks, and a setting may mend it.

    It also stops one that is past its best, or finished, at two looks.
    """

    def __init__(self, refused: Collection[str] = (), allow_code: bool = False) -> None:
        super().__init__()
        self.refused, self.allow_code = refused, allow_code
        self.run: Run | None = None
        self.recipe: Recipe | None = None
        self.looks = (NOTHING, NOTHING)
        self.num_changes = 0

    def begin(self, run: Run) -> None:
        """Takes up what stats.jsonl of the run's folder holds, as if it had been there all the time."""
        self.run = run
        self.recall(run.path, read_stats(run.path / "stats.jsonl"), run.training.recipe, run.total_nimg)

    def recall(self, path: Path, lines: list[dict[str, Any]], recipe: Recipe, total_nimg: int) -> None:
        """Takes up lines of a run of so many images, whose recipe is now this one."""
        self.recipe, self.length = recipe, total_nimg / 1000
        self.settings = settings_of(path / "recipe.toml") | dict(flat(CONVERTER.unstructure(recipe)))
        last_two = [i for i, line in enumerate(lines) if LOOKED in line][-2:]
        for i, line in enumerate(lines):
            self.remember(line)
            if i in last_two:
                self.diagnosis = diagnose(self.log)
                self.looks = self.looks[1], self.diagnosis

    def remember(self, line: Mapping[str, Any]) -> None:
        """A line of stats.jsonl; a change takes back what came after the moment that the run returned to."""
        super().remember(line)
        if changes([line]):
            self.num_changes += 1
            self.lines = [known for known in self.lines if known["kimg"] <= line["kimg"]]
            self.rare = [known for known in self.rare if known["kimg"] <= line["kimg"]]
            self.told = {
                name: known
                for name, known in self.told.items()
                if known["kimg"] <= line["kimg"] and name != line["finding"]
            }
            self.diagnosis, self.looks = NOTHING, (NOTHING, NOTHING)

    def diagnosed(self) -> None:
        """Asks the run to stop where something is to be done."""
        self.looks = self.looks[1], self.diagnosis
        self.stop = self.decision() is not None

    def close(self) -> None:
        """Says why nothing was done about a finding that holds at the end."""
        leading = next((finding for finding in self.diagnosis.findings if finding.active), None)
        if leading is None or self.stop:
            return
        stood = any(finding.finding == leading.finding and finding.active for finding in self.looks[0].findings)
        why = "no setting that it may change mends that" if stood else "it must stand at two looks in a row"
        print(f"autopilot: nothing is changed for {leading.finding}: {why}", flush=True)

    def decision(self) -> Decision | None:
        """What is to be done after the last two looks."""
        before, now = self.looks
        if before.verdict == now.verdict == "finished":
            why = "nothing more is gained"
            return Decision("finished", self.log.end, "stop", why, None)
        stood = {finding.finding for finding in before.findings if finding.active}
        leading = next((finding for finding in now.findings if finding.active), None)
        return self.remedied(leading) if leading and leading.finding in stood else None

    def after_divergence(self) -> Decision | None:
        """What is to be done where the run was given up, whenever it was looked at."""
        found = diagnose(self.log).findings
        return next((self.remedied(finding) for finding in found if finding.finding == "diverging"), None)

    def remedied(self, finding: Finding) -> Decision | None:
        """None where no setting of the training mends it, where all changes are made, or this one cannot be."""
        since, remedy = finding.sign.since * (finding.finding not in FROM_THE_START), finding.remedy
        if finding.finding == "past-best":
            return Decision(finding.finding, since, "stop", remedy.why, None)
        if self.num_changes >= MOST or remedy.change in self.refused or self.recipe is None:
            return None
        recipe = changed_by(self.recipe, remedy.change, self.allow_code)
        return Decision(finding.finding, since, remedy.change, remedy.why, recipe) if recipe else None


def changed_by(recipe: Recipe, change: str, allow_code: bool = False) -> Recipe | None:
    """The completed recipe with options of the command line; None where they cannot be set, or change the data.

    A schedule of a setting that is changed goes to a value changed in proportion.
    """
    if not change.startswith("--"):
        return None
    try:
        options = [*shlex.split(change), *(["--allow-code"] if allow_code else [])]
        after = completed(train_options(recipe, options)[1], allow_code)
        starts = {name: start for name, (start, _) in schedules_of(recipe).items()}
        texts = dict(after.schedules)
        for name, (start, schedule) in schedules_of(after).items():
            if starts.get(name, start) != start and starts[name]:
                final = float(f"{schedule.final * start / starts[name]:.12g}")
                texts[name] = str(replace(schedule, final=final))
        after = replace(after, schedules=texts)
    except UserError:
        return None
    return after if after.data == recipe.data and after != recipe else None


Session = Callable[[Ranks, Pilot], Trained]


@dataclass
class Autopilot:
    """Plays a run, session after session. The settings are those of `resume`."""

    data: Mapping[str, str | None]
    device: str | None = None
    track: str | None = None
    allow_code: bool = False
    refused: set[str] = field(default_factory=set)
    """Changes that turned out to be impossible."""
    has_diverged: bool = False

    def play(self, first: Session) -> Trained:
        """The first session, and as many more as there are changes. Raises what the sessions do."""
        session = first
        while True:
            with launched() as ranks:
                pilot = Pilot(self.refused, self.allow_code)
                trained = self.attempt(session, ranks, pilot)
            if trained:
                return trained
            session = partial(self.go_on, pilot.run.path if pilot.run else Path(), {})

    def attempt(self, session: Session, ranks: Ranks, pilot: Pilot) -> Trained | None:
        """What a session of all ranks gave; None on each of them where the run is to be changed, and to go on."""
        try:
            trained = session(ranks, pilot)
        except DivergedError:
            self.has_diverged = True
            if not ranks.any(pilot.run is not None and self.decision(pilot.run.path) is not None):
                raise
            return None
        return trained if trained.finished or not ranks.any(pilot.stop) else None

    def go_on(self, path: Path, length: Mapping[str, str], ranks: Ranks, pilot: Pilot) -> Trained:
        """One session from the newest checkpoint on, or from an earlier one where something is to be changed."""
        if not ranks.first:
            return sessions.follow(ranks, self.allow_code)
        if not sessions.holds_run(path):
            raise UserError(f"there is no run at {path}: gannet train makes one")
        with sessions.alone_in(path):
            recipe, _ = sessions.recorded(path, self.data)
            is_on = recipe.train.autopilot
            if is_on and (decision := self.decision(path)):
                self.act(path, decision)
            watcher = pilot if is_on else None
            more = (self.device, self.track, self.allow_code, ranks, watcher)
            return sessions.resume_first(path, length, self.data, *more)

    def decision(self, path: Path) -> Decision | None:
        """What is to be done with a run, from what its folder holds."""
        state = newest_state(path / "checkpoints")
        if not state or state["counters"]["cur_nimg"] >= state["extra"]["total_nimg"]:
            return None
        recipe, _ = sessions.recorded(path, self.data)
        pilot = Pilot(self.refused, self.allow_code)
        pilot.recall(path, kept_lines(path, state), completed(recipe, self.allow_code), state["extra"]["total_nimg"])
        return pilot.after_divergence() if self.has_diverged else pilot.decision()

    def act(self, path: Path, decision: Decision) -> None:
        """Goes back and makes the change: stats.jsonl says so, and the checkpoint there is the changed run's.

        Where the change cannot be made it says why, and leaves all as it is.
        """
        self.has_diverged = False
        recipe, facts = sessions.recorded(path, self.data)
        before = completed(recipe, self.allow_code)
        after = decision.recipe or before
        newest = newest_state(path / "checkpoints")
        try:
            run = self.built(path, after, facts, newest["extra"])
        except UserError as error:
            print(f"autopilot: {decision.change} cannot be made, and the run goes on without it: {error}")
            self.refused.add(decision.change)
            return
        os.truncate(path / "stats.jsonl", newest["extra"]["stats_bytes"])
        made = changes(read_stats(path / "stats.jsonl"))
        number, again = 1 + len(made), bool(made) and decision.since <= made[-1]["at_kimg"]
        t, file = run.training, healthy_checkpoint(run, decision, 1000 * made[-1]["kimg"] if again else float("inf"))
        is_needed = file and (nimg_of(file) or "init" in facts)  # else the recipe and its seed say how it begins
        fresh = carry_over(t, state_in(file.read_bytes()), before) if file and is_needed else {}
        run.evaluated = t.cur_nimg
        forget_after(path, t.cur_nimg)
        with run.stats_opened() as run.stats_file:
            run.event(
                AUTOPILOT,
                number=number,
                finding=decision.finding,
                since=decision.since,
                at_kimg=newest["counters"]["cur_nimg"] / 1000,
                change=decision.change,
                why=decision.why,
                settings=changes_of(before, after),
                fresh=fresh,
            )
            if decision.recipe is None:
                run.total_nimg = t.cur_nimg
                run.last_pictures()
            run.save()
        print(said(decision, number, t.cur_nimg), flush=True)

    def built(self, path: Path, recipe: Recipe, facts: Mapping[str, Any], saved: Mapping[str, Any]) -> Run:
        """The changed run at its start, in this process alone."""
        recipe = changed(recipe, "train", device=self.device or recipe.train.device)
        engine = Engine(find_device(recipe.train.device), recipe.train.precision)
        training = build_training(recipe, sessions.same_data(recipe, facts, ALONE), engine, self.allow_code)
        spent = {"seconds": saved["seconds"], "evaluation_seconds": saved["evaluation_seconds"]}
        return Run(path, training, saved["total_nimg"], [], **spent)


def healthy_checkpoint(run: Run, decision: Decision, below: float) -> Path | None:
    """The newest that can be read from before the finding; where the run is finished, the newest of all.

    Where trouble is back in the stretch that was gone through before, the one after `below` images was not healthy.
    """
    ends = decision.recipe is None
    for file in checkpoints(run.path / "checkpoints"):
        nimg, since = nimg_of(file), 1000 * decision.since
        is_early = nimg == 0 or (nimg <= since if ends else nimg < min(since, below))
        if decision.finding == "finished" or (is_early and run.is_regular(file)):
            with contextlib.suppress(Exception):  # whatever a damaged file leads to
                state_in(file.read_bytes())
                return file
    return None


def forget_after(path: Path, nimg: int) -> None:
    """Removes checkpoints and grids of later moments."""
    for file in (*checkpoints(path / "checkpoints"), *(path / "samples").glob("kimg*.png")):
        if nimg_of(file) > nimg:
            file.unlink()


def said(decision: Decision, number: int, nimg: int) -> str:
    """One line about what was done."""
    back = f"back to {nimg / 1000:g} kimg"
    if decision.finding == "finished":
        return f"autopilot: {decision.why}: the run ends at {nimg / 1000:g} kimg"
    what = f"{WORDS[decision.finding][0]} since {decision.since:g} kimg"
    if decision.recipe is None:
        return f"autopilot: {what}: {back}, where the run ends, since {decision.why}"
    return f"autopilot, change {number} of at most {MOST}: {what}: {back}, {decision.change}: {decision.why}"


def resume(
    run: str | os.PathLike[str],
    *,
    kimg: float | None = None,
    epochs: float | None = None,
    data: str | None = None,
    other: str | None = None,
    group_by: str | None = None,
    device: str | None = None,
    cache: str = "",
    track: str | None = None,
    allow_code: bool = False,
) -> Trained:
    """Goes on with a run from its newest checkpoint, to the end that it was started for, or to another.

    `kimg` or `epochs` is a new end, counted from the start of the run. `data` says where the images
    are now, if they moved (`other` and `group_by` likewise), `device` where to compute now, `cache` where decoded
    images lie. On another device, torch or number of ranks it goes on, and says that it is not bit for bit.
    A run that was begun on autopilot stays so. Raises `UserError` where the run or its data cannot be found, or the
    data is another.
    """
    new = {"source": data, "other": other, "group_by": group_by, "cache": cache or None}
    autopilot = Autopilot(new, device, track, allow_code)
    return autopilot.play(partial(autopilot.go_on, Path(run), sessions.budget_of(kimg, epochs)))
