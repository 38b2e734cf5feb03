"""Run folders as the studio sees them: which there are, how they do, and what lies in them.

Nothing is read but what is in the folders below RUNS: names are looked up among those listed, and links that lead
out of it are as if they were not there.
"""

import contextlib
import json
import math
import os
import re
import shlex
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from gannet import __version__
from gannet.diagnosis.logs import EXTENDED, changed_settings, flat, kimg_of
from gannet.studio.rare import Rare
from gannet.studio.security import Refused
from gannet.studio.thinning import Tail, number, of_lines, parsed, sampled, short

RECIPE, STATS, SAMPLES, LOCK = "recipe.toml", "stats.jsonl", "samples", ".lock"
GRID = re.compile(r"kimg(\d+\.\d+)\.png")
PICTURE = re.compile(r"samples/[\w.-]+\.(png|webp)|ratings/[\w-]+\.png|(curves|diagnosis|pairs)\.png")
SPARK = 60  # numbers of a sparkline
TAIL_BYTES, MOST_TAIL_BYTES = 2**12, 2**20
MOST_TAILS = 16
MOST_RECIPES = 2000
BETWEEN = ":"  # a sweep, its trial, and the run of a seed in it, in a name
DEEP = 3  # folders from RUNS to a run
MOST_DEEP = 16  # tables and lists within each other, of what runs say

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """What was made of files, by their names: the newest `most`, as long as `stamp` says that they are the same."""

    def __init__(self, most: int):
        self.most = most
        self.rows: OrderedDict[Hashable, tuple[Any, Value]] = OrderedDict()
        self.lock = RLock()

    def get(self, key: Hashable, stamp: Any, make: Callable[[], Value]) -> Value:
        with self.lock:
            if key in self.rows and self.rows[key][0] == stamp:
                self.rows.move_to_end(key)
                return self.rows[key][1]
        made = make()
        with self.lock:
            self.rows[key] = stamp, made
            self.rows.move_to_end(key)
            while len(self.rows) > self.most:
                self.rows.popitem(last=False)
        return made


@dataclass(frozen=True)
class Settings:
    """What recipe.toml says: settings by their dotted names, facts of the run, and what is wrong with it."""

    text: str
    values: Mapping[str, Any]
    facts: Mapping[str, Any]
    problem: str | None = None


@dataclass
class Runs:
    """All runs in a folder and in the folders of series in it, or the one run that the folder is."""

    root: Path
    recipes: Kept[Settings] = field(default_factory=lambda: Kept(MOST_RECIPES))
    glances: Kept[dict[str, Any]] = field(default_factory=lambda: Kept(MOST_RECIPES))
    tails: Kept[Tail] = field(default_factory=lambda: Kept(MOST_TAILS))
    ends: Kept[Rare] = field(default_factory=lambda: Kept(MOST_RECIPES))

    def __post_init__(self) -> None:
        self.real = os.path.realpath(self.root)

    @property
    def is_one(self) -> bool:
        """Whether the folder is itself a run, beside which none can be started."""
        return (self.root / RECIPE).is_file()

    @property
    def elsewhere(self) -> str | None:
        """The command of a studio in which runs can be started, where none can be in this one."""
        return f"gannet studio {shlex.quote(os.path.dirname(self.real))}" if self.is_one else None

    def folders(self) -> dict[str, Path]:
        """The runs by their names, in the order of these."""
        if self.is_one:
            return {Path(self.real).name: self.root}
        found = {BETWEEN.join(run.relative_to(self.root).parts): run for run in self.below(self.root, DEEP)}
        return dict(sorted(found.items()))

    def below(self, folder: Path, deep: int) -> Iterator[Path]:
        """The runs in a folder, and in the folders in it that are none, not deeper than `deep`."""
        for each in self.inside(folder):
            if os.path.isfile(each / RECIPE):
                yield each
            elif deep > 1:
                yield from self.below(each, deep - 1)

    def inside(self, folder: Path) -> Iterator[Path]:
        """The folders in a folder that are not hidden and do not lead out of RUNS."""
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir() and self.holds(entry.path, entry.is_symlink()):
                    yield folder / entry.name

    def holds(self, path: str | Path, is_link: bool) -> bool:
        return not is_link or os.path.realpath(path).startswith(self.real.rstrip(os.sep) + os.sep)

    def find(self, name: str) -> Path:
        """The folder of a run. Raises `Refused` where there is none of this name."""
        if name not in (folders := self.folders()):
            raise Refused(f"there is no run '{name[:100]}' here: it was removed, or never was", 404)
        return folders[name]

    def file(self, run: Path, *parts: str) -> Path:
        """A file of a run. Raises `Refused` where it is not there, or a link leads out of RUNS."""
        path = run
        for part in parts:
            path = path / part
            if not self.holds(path, path.is_symlink()):
                raise Refused(f"{'/'.join(parts)} is a link that leads out of the runs, and is not followed", 403)
        if not path.is_file() and not path.is_dir():  # a pipe would be waited for without end
            raise Refused(f"{run.name} has no {'/'.join(parts)}", 404)
        return path

    def picture(self, name: str, path: str) -> Path:
        """A picture below a run. Raises `Refused` for anything else."""
        if not PICTURE.fullmatch(path):
            raise Refused("only the pictures of a run can be had", 404)
        return self.file(self.find(name), *path.split("/"))

    def has(self, run: Path, *parts: str) -> bool:
        try:
            self.file(run, *parts)
        except Refused:
            return False
        return True

    def tail(self, run: Path) -> Tail:
        """The statistics of a run, shared by all who look at it. Raises `Refused` where a link leads out."""
        path = run / STATS
        if not self.holds(path, path.is_symlink()):
            raise Refused(f"{STATS} is a link that leads out of the runs, and is not followed", 403)
        if path.exists() and not path.is_file():
            raise Refused(f"{STATS} of {run.name} is no file")
        return self.tails.get(str(run), None, lambda: Tail(path))

    def settings(self, run: Path) -> Settings:
        """What recipe.toml says, as far as it can be read."""
        try:
            path = self.file(run, RECIPE)
            found = os.stat(path)
        except (Refused, OSError):
            return Settings("", {}, {}, f"{RECIPE} is gone, or leads out of the runs")
        return self.recipes.get(str(run), (found.st_mtime_ns, found.st_size), lambda: read_settings(path))

    def total_kimg(self, run: Path) -> float | None:
        """Where a run ends: as its recipe says, or as it was made longer since. None where that is not known."""
        settings = self.settings(run).values
        with contextlib.suppress(OSError, Refused):
            path = self.file(run, STATS)
            events = self.ends.get(str(run), None, lambda: Rare(path, (EXTENDED,), 1)).lines()
            settings = {**settings, **changed_settings(b"\n".join(events.values()))}
        return kimg_of(settings) or None

    def kimg(self, run: Path) -> float:
        """How far a run is."""
        return float(self.glance(run)["last"].get("kimg", 0.0))

    def grids(self, run: Path) -> list[tuple[float, str]]:
        """The grids of a run that hold something: kimg and file, in order."""
        with contextlib.suppress(OSError, Refused), os.scandir(self.file(run, SAMPLES)) as entries:
            found = [(match[1], entry) for entry in entries if (match := GRID.fullmatch(entry.name))]
            kept = [(float(kimg), entry.name) for kimg, entry in found if entry.is_file(follow_symlinks=False)]
            return sorted(kept)
        return []

    def glance(self, run: Path) -> dict[str, Any]:
        """The newest line of statistics, its speed, and the sparkline of G's loss: little is read of a long run."""
        try:
            path = self.file(run, STATS)
            found = os.stat(path)
        except (Refused, OSError):
            return {"last": {}, "speed": 0.0, "spark": []}
        return self.glances.get(str(run), (found.st_mtime_ns, found.st_size), lambda: glance(path))


def is_at_end(kimg: float, total: float | None) -> bool:
    """Whether nothing is left to resume, unless the run is to be made longer."""
    return total is not None and kimg >= total - 1e-9


def file_url(name: str, *parts: str) -> str:
    """Where the page finds a picture of a run."""
    return "/files/" + "/".join(quote(part, safe="") for part in (name, *parts))


def read_settings(path: Path) -> Settings:
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
        facts = table.pop("run", {})
        values = dict(flat(table))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        return Settings("", {}, {}, f"{RECIPE} cannot be read: {reason}")
    facts = facts if isinstance(facts, dict) else {}
    version = str(facts.get("gannet", __version__))
    newer = f"Gannet {version} made this run, and this is {__version__}: some of it may not be understood"
    return Settings(text, values, facts, newer if release(version) > release(__version__) else None)


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:3])


def glance(path: Path) -> dict[str, Any]:
    """See `Runs.glance`."""
    try:
        lines = [line for text in sampled(path, SPARK).values() if (line := parsed(text))]
        lines = [line for line in lines if line["type"] == "stats"]
        ends = last_statistics(path) or lines[-1:]
    except OSError:
        lines, ends = [], []
    last = ends[-1] if ends else {}
    curve = of_lines([*lines, *ends[-1:]], ["loss G"], SPARK)
    return {"last": last, "speed": speed([*lines, *ends]), "spark": short(curve.series["loss G"][2])}


def last_statistics(path: Path) -> list[dict[str, Any]]:
    """The last lines of statistics: from so much of the end that one is in it, and `MOST_TAIL_BYTES` at most.

    Raises `OSError` where it cannot be read.
    """
    length = TAIL_BYTES
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while True:
            file.seek(max(0, size - length))
            lines = (parsed(text) for text in file.read(length).split(b"\n"))
            found = [line for line in lines if line and line["type"] == "stats"]
            if found or length >= min(size, MOST_TAIL_BYTES):
                return found
            length *= 4


def speed(lines: list[dict[str, Any]]) -> float:
    """kimg a second over the last sixth of the lines; 0 where that is not known."""
    timed = [line for line in lines if math.isfinite(number(line.get("seconds")))]
    if len(timed) < 2:
        return 0.0
    last = timed[-1]
    first = timed[max(0, len(timed) - 2 - len(timed) // 6)]
    seconds, kimg = last["seconds"] - first["seconds"], last["kimg"] - first["kimg"]
    return kimg / seconds if seconds > 0 and kimg > 0 else 0.0


def is_live(run: Path) -> bool:
    """Whether a process on this machine trains the run now: it holds the folder's lock.

    The lock is only asked for, and for an instant, so that a run is never kept from starting.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return (run / LOCK).exists() and written_lately(run)
    try:
        handle = os.open(run / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return written_lately(run)
    finally:
        os.close(handle)
    return False


def written_lately(run: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - (run / STATS).stat().st_mtime < 60
    return False


def best_metric(runs: Runs, run: Path) -> dict[str, Any] | None:
    """The metric of the best weights so far."""
    with contextlib.suppress(Refused, OSError, ValueError, RecursionError):
        line = json.loads(runs.file(run, "best", "metric.json").read_text("utf-8"))
        return {name: line[name] for name in ("metric", "value", "better")} if is_metric(line) else None
    return None


def plain(value: Any, deep: int = MOST_DEEP) -> Any:
    """What a run says, as it can be sent: without halves of characters, and with null for what is nested too deep.

    One such value in one run would else be the end of every answer that it is in.
    """
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {plain(name): plain(each, deep - 1) for name, each in value.items()} if deep else None
    if isinstance(value, (list, tuple)):
        return [plain(each, deep - 1) for each in value] if deep else None
    return value


def is_metric(line: Any) -> bool:
    return isinstance(line, dict) and {"metric", "value", "better"} <= set(line)
