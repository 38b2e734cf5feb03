"""Trainings that the studio starts: `gannet train` as a process of its own, which outlives the studio."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from gannet.errors import UserError
from gannet.studio.data import Folders
from gannet.studio.findings import BUDGETS
from gannet.studio.runs import BETWEEN, LOCK, RECIPE, Runs, is_at_end, is_live
from gannet.studio.security import Refused

NAME = re.compile(r"\w[\w.-]{0,99}")
SETTING = re.compile(r"(seed|lr|batch|resolution|(?!allow)[A-Za-z]\w*(\.[\w-]+)+)")
RECIPE_NAME = re.compile(r"[a-z0-9][\w.-]*")
PATHS = ("data.other", "data.group_by")
EXTRACTOR = "train.extractor"  # a name, or a file
NOT_HERE = ("data.source", "data.cache")
MOST_JOBS = 4
LOGS = ".studio"  # a folder beside the runs, for what trainings print
DONE = (0, 4)  # exit statuses: finished, and stopped with all saved


@dataclass
class Job:
    """A process that trains, or did."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def goes_on(self) -> bool:
        return self.process.poll() is None

    def problem(self) -> str | None:
        """What it said last, where it ended for a reason."""
        if self.goes_on or self.process.returncode in DONE or self.process.returncode == -signal.SIGTERM:
            return None
        with suppress(OSError):
            said = [line.strip() for line in self.log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
            if said:
                return said[-1].removeprefix("gannet: ")[:400]
        return f"the training ended with status {self.process.returncode}"


@dataclass
class Jobs:
    """Those that this studio has started, by the names of their runs."""

    runs: Runs
    data: Folders
    known: dict[str, Job] = field(default_factory=dict)
    lock: Any = field(default_factory=RLock)
    """Of two clicks at once the second finds what the first has started."""

    def train(self, asked: Mapping[str, Any]) -> str:
        """Starts `gannet train` and returns the name of its run. Raises `UserError` for what cannot be asked.

        `asked` has data, and perhaps recipe, settings, name, kimg or minutes.
        """
        source = self.data.allowed(text(asked, "data"))
        recipe = text(asked, "recipe") if asked.get("recipe") else None
        if recipe is not None and not RECIPE_NAME.fullmatch(recipe):
            raise UserError(f"there is no recipe '{recipe[:100]}': name one of gannet recipes")
        usual = f"{Path(source).stem}-{recipe or 'picked'}"
        return self.start(usual, ["train", source, *(["--recipe", recipe] if recipe else [])], asked)

    def again(self, name: str, asked: Mapping[str, Any]) -> str:
        """Starts a new run of the recipe and data of another, with other settings."""
        path = self.runs.file(self.runs.find(name), RECIPE)
        return self.start(f"{name}-again", ["train", "--recipe", str(path)], asked)

    def resume(self, name: str, asked: Mapping[str, Any]) -> None:
        """Goes on with a run, to a new end where one is asked for in `kimg`.

        Raises `Refused` where it is being trained or has come to its end, and `UserError` where the new one is none.
        """
        run = self.runs.find(name)
        words, there = ["resume", str(run)], self.runs.kimg(run)
        if asked.get("kimg") is not None:
            kimg = float(number_of("kimg", asked["kimg"]))
            if not there < kimg < math.inf:
                raise UserError(f"{name} is at {there:g} kimg already: a new end lies beyond that")
            words += ["--kimg", repr(kimg)]
        elif is_at_end(there, self.runs.total_kimg(run)):
            raise Refused(f"{name} is at its end: it goes on where kimg names a new one", 409)
        with self.lock:
            if self.is_busy(name, run):
                raise Refused(f"{name} is being trained already", 409)
            self.spawn(name, words)

    def stop(self, name: str) -> None:
        """Asks the process that trains a run to stop and save. Raises `Refused` where there is none, or is not ours."""
        if (job := self.known.get(name)) and job.goes_on:
            job.process.terminate()
            return
        run = self.runs.find(name)
        if not is_live(run):
            raise Refused(f"{name} is not being trained", 409)
        holder = holder_of(run)
        if holder is None:
            raise Refused(f"{name} was not started here: stop it with Ctrl-C where it is trained", 409)
        os.kill(holder, signal.SIGTERM)

    def is_busy(self, name: str, run: Path) -> bool:
        return is_live(run) or (name in self.known and self.known[name].goes_on)

    def new_name(self, asked: Mapping[str, Any], usual: str) -> str:
        """A name that no run has: the one that is asked for, or the usual one with a number. Raises `UserError`."""
        if self.runs.is_one:
            raise Refused(f"this studio shows one run: open that of all to start more: {self.runs.elsewhere}", 409)
        if asked.get("name"):
            name = text(asked, "name")
            if not NAME.fullmatch(name):
                raise UserError("a name has letters, digits, '.', '-' and '_' only")
            if self.is_taken(name):
                raise Refused(f"there is a run {name} already: choose another name", 409)
            return name
        usual = re.sub(r"[^\w.-]+", "_", usual).strip("._-")[:80] or "run"
        names = (usual, *(f"{usual}-{i}" for i in range(2, 10_000)))
        return next(name for name in names if not self.is_taken(name))

    def is_taken(self, name: str) -> bool:
        return os.path.lexists(self.runs.root / name) or (name in self.known and self.known[name].goes_on)

    def start(self, usual: str, command: Sequence[str], asked: Mapping[str, Any]) -> str:
        with self.lock:
            name = self.new_name(asked, usual)
            run = os.path.join(self.runs.root, name)
            self.spawn(name, [*command, "--run", run, *options(asked, self.data)])
        return name

    def spawn(self, name: str, command: Sequence[str]) -> None:
        if sum(job.goes_on for job in self.known.values()) >= MOST_JOBS:
            raise Refused(f"{MOST_JOBS} trainings go on already: stop one of them first", 503)
        root = self.runs.root.absolute()
        runs = root.parent if self.runs.is_one else root  # nothing of this machine goes into a run
        log = runs / LOGS / f"{name.replace(BETWEEN, '_')}.log"
        if log.parent.is_symlink():
            raise Refused(f"{LOGS} is a link, and is not followed: remove it", 403)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)  # a link, perhaps, in a folder that was copied from elsewhere
            with log.open("xb") as file:
                own = {"start_new_session": True} if os.name == "posix" else {}
                process = subprocess.Popen(
                    [sys.executable, "-m", "gannet", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    **own,
                )
        except OSError as error:
            raise UserError(f"the training cannot be started: {error.strerror or error}") from error
        self.known[name] = Job(process, log)


def text(asked: Mapping[str, Any], name: str) -> str:
    """A text that is asked. Raises `UserError` where it is none, or could be taken for an option."""
    value = asked.get(name)
    if not isinstance(value, str) or not value.strip() or value.startswith("-") or "\0" in value:
        raise UserError(f"'{name}' must be a text, and must not begin with '-'")
    return value


def options(asked: Mapping[str, Any], data: Folders) -> list[str]:
    """Settings and budget as options of `gannet train`. Raises `UserError` for what is no setting of a recipe."""
    settings = {} if asked.get("settings") is None else asked["settings"]
    if not isinstance(settings, dict):
        raise UserError("'settings' must hold values by the names of settings")
    settings = {**settings, **{unit: asked[unit] for unit in BUDGETS if asked.get(unit) is not None}}
    words = []
    for name, value in settings.items():
        known = name.replace("-", "_")  # an option may be written with either
        if known in NOT_HERE:
            raise UserError(f"'{name}' cannot be set from the studio")
        if name not in BUDGETS and not SETTING.fullmatch(name):
            raise UserError(f"'{name[:100]}' cannot be set here: it is no setting of a recipe, as optim.G.lr is")
        if isinstance(value, bool):
            place, dot, last = name.rpartition(".")
            words.append(f"--{name}" if value else f"--{place}{dot}no-{last}")
        elif value and (known in PATHS or (known == EXTRACTOR and str(value).lower().endswith(".onnx"))):
            words.append(f"--{name}={data.allowed(text(settings, name))}")
        elif isinstance(value, list):
            words += [f"--{name}", *(number_of(name, each) for each in value)]
        else:
            is_text = isinstance(value, str) and "\0" not in value
            words.append(f"--{name}={value if is_text else number_of(name, value)}")
    return words


def number_of(name: str, value: Any) -> str:
    """A number as it is typed. Raises `UserError` for anything else: as a word of its own a text would be DATA."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    raise UserError(f"the value of '{name}' must be a number, some numbers, a text, true or false")


def holder_of(run: Path) -> int | None:
    """The process of this user that has taken a run's lock, on Linux; None where that cannot be known.

    Others may have the file open and not hold it, as this studio does when it asks whether the run is live.
    """
    lock = os.path.realpath(run / LOCK)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for handle in (process / "fd").iterdir():
                if os.path.realpath(handle) == lock:
                    taken = (process / "fdinfo" / handle.name).read_text()
                    if re.search(rf"^lock:.* WRITE {process.name} ", taken, re.MULTILINE):
                        return int(process.name)
    return None
