"""Who shows a run while it goes on: a live line in a terminal, lines in a log, grids in a notebook."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gannet.training.run import Snapshot

SHOWN = {
    "loss D": "loss D",
    "loss G": "loss G",
    "D(x)": "D(x)",
    "D(G(z))": "D(G(z))",
    "D(G(z)) after": "after",
    "accuracy real": "acc real",
    "accuracy fake": "acc fake",
}
SECONDS_BETWEEN_LINES = 10.0
SECONDS_OF_SILENCE = 3.0
SECONDS_OF_MANY = 60.0  # between lines of a run that is one of many
REFRESH_SECONDS = 0.25
UNBOUNDED = 10_000  # columns


class Pace:
    """Images a second and time left, from the last stretch of the run."""

    def __init__(self, total_kimg: float):
        self.total_kimg = total_kimg
        self.marks: list[tuple[float, float]] = []

    def add(self, kimg: float) -> None:
        self.marks = [*self.marks[-50:], (time.monotonic(), kimg)]

    @property
    def kimg(self) -> float:
        """Where the run was last."""
        return self.marks[-1][1] if self.marks else 0.0

    def __str__(self) -> str:
        (then, before), (now, kimg) = self.marks[0], self.marks[-1]
        if now <= then or kimg <= before:
            return ""
        speed = (kimg - before) / (now - then)
        return f"{speed * 1000:,.0f} img/s  {duration(max(self.total_kimg - kimg, 0) / max(speed, 1e-9))} left"


def in_words(line: Mapping[str, Any]) -> str:
    """A metric's line of stats.jsonl: `KID 0.0123 (0.0110 to 0.0136)`."""
    value, low, high = (
        "not finite" if line[name] is None else f"{line[name]:.4g}" for name in ("value", "low", "high")
    )
    return f"{line['metric']} {value} ({low} to {high})"


class Shown:
    """The values that a person follows, in one line: the newest statistics, and the metric that was measured last."""

    def __init__(self) -> None:
        self.statistics: Mapping[str, Any] = {}
        self.metric: Mapping[str, Any] = {}

    def add(self, line: Mapping[str, Any]) -> None:
        """A line of numbers of stats.jsonl."""
        if line["type"] == "metric":
            self.metric = line
        else:
            self.statistics = {**self.statistics, **line}  # looks at samples have lines of their own

    def __str__(self) -> str:
        line = self.statistics
        parts = [f"{title} {line[name]:.3f}" for name, title in SHOWN.items() if line.get(name) is not None]
        if line.get("skipped"):
            parts.append(f"skipped {line['skipped']}")
        if self.metric:
            parts.append(f"{in_words(self.metric)} at {self.metric['kimg']:g} kimg")
        return "  ".join(parts)


class Lines:
    """For logs and pipes: a line every ten seconds, the first, the last, and each metric.

    A run that is one of many has a `name`, and a line every minute alone: who plays them says how each ended.
    """

    def __init__(self, total_nimg: int, name: str = ""):
        self.total_kimg, self.name = total_nimg / 1000, name
        self.pace = Pace(self.total_kimg)
        self.shown = Shown()
        self.between = SECONDS_OF_MANY if name else SECONDS_BETWEEN_LINES
        self.next_line = time.monotonic() + self.between if name else 0.0

    def on_stats(self, line: Mapping[str, Any]) -> None:
        self.shown.add(line)
        if line["type"] == "metric":  # the statistics of the moment stand in a line already
            if not self.name:
                print(f"kimg {line['kimg']:.1f}/{self.total_kimg:.1f}  {in_words(line)}", flush=True)
            return
        now = time.monotonic()
        is_last = line["kimg"] >= self.total_kimg > self.pace.kimg and not self.name
        if now >= self.next_line or is_last:
            self.next_line = now + self.between
            self.pace.add(line["kimg"])
            begin = f"{self.name}  " if self.name else ""
            print(f"{begin}kimg {line['kimg']:.1f}/{self.total_kimg:.1f}  {self.pace}  {self.shown}", flush=True)

    def on_tick(self, snapshot: Snapshot) -> None: ...

    def close(self) -> None: ...


class Terminal:
    """A live bar and the values under it; of a run that is one of many, with its `name`, and gone at its end."""

    def __init__(self, total_nimg: int, name: str = ""):
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        self.pace = Pace(total_nimg / 1000)
        self.shown = Shown()
        self.next_refresh = 0.0
        columns = (
            *([TextColumn(name, markup=False)] if name else []),
            TextColumn("[bold]{task.completed:.1f}/{task.total:.1f} kimg"),
            BarColumn(None),
            TextColumn("{task.fields[pace]}"),
        )
        self.progress = Progress(*columns, expand=True)
        self.task = self.progress.add_task("", total=total_nimg / 1000, pace="")
        self.values, self.grid = Text(), Text(style="dim")
        self.live = Live(Group(self.progress, self.values, self.grid), auto_refresh=False, transient=bool(name))
        self.live.start()

    def on_stats(self, line: Mapping[str, Any]) -> None:
        self.shown.add(line)
        now = time.monotonic()
        if now >= self.next_refresh or line["kimg"] >= self.pace.total_kimg:
            self.next_refresh = now + REFRESH_SECONDS
            self.pace.add(line["kimg"])
            self.progress.update(self.task, completed=line["kimg"], pace=str(self.pace))
            self.values.plain = str(self.shown)
            self.live.refresh()

    def on_tick(self, snapshot: Snapshot) -> None:
        self.grid.plain = f"newest grid: {snapshot.grid}"
        if snapshot.evaluate:
            self.values.plain = f"{self.shown}  measuring samples"
        self.live.refresh()

    def close(self) -> None:
        self.live.stop()


class Notebook:
    """One output that is updated in place: the newest grid, and the values above it."""

    def __init__(self, total_nimg: int):
        from IPython.display import display

        self.pace = Pace(total_nimg / 1000)
        self.shown = Shown()
        self.next_refresh = 0.0
        self.values: Any = display({"text/plain": "starting"}, raw=True, display_id=True)
        self.grid: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def on_stats(self, line: Mapping[str, Any]) -> None:
        self.shown.add(line)
        now = time.monotonic()
        if now >= self.next_refresh or line["kimg"] >= self.pace.total_kimg:
            self.next_refresh = now + REFRESH_SECONDS
            self.pace.add(line["kimg"])
            text = f"kimg {line['kimg']:.1f}/{self.pace.total_kimg:.1f}  {self.pace}\n{self.shown}"
            self.values.update({"text/plain": text}, raw=True)

    def on_tick(self, snapshot: Snapshot) -> None:
        from IPython.display import Image

        self.grid.update(Image(data=snapshot.grid.read_bytes()))

    def close(self) -> None: ...


def print_report(report: Any) -> None:
    """Prints what rich can show: in a terminal as wide as that is, else as wide as its tables are."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else UNBOUNDED).print(report)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr once there is something to count: a bar where that is a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield CountedLines(what)
        return
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), transient=True)
    task = progress.add_task(what)

    def show(done: int, total: int) -> None:
        progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()


class CountedLines:
    """A line on stderr every ten seconds: what is done, of how much, and the time left at the speed so far."""

    def __init__(self, what: str):
        self.what = what
        self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self.began, self.first, self.done, self.total = 0.0, 0, 0, 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if total != self.total or done < self.done:  # something else is counted from here on
            self.began, self.first = now, done
        self.done, self.total = done, total
        if now < self.next_line:
            return
        self.next_line = now + SECONDS_BETWEEN_LINES
        gained = done - self.first
        left = f", {duration((now - self.began) * (total - done) / gained)} left" if gained else ""
        with suppress(OSError):  # a closed terminal or pipe is no reason to stop
            print(f"{self.what}: {done:,} of {total:,}{left}", file=sys.stderr, flush=True)


@contextmanager
def told_if_long(line: str) -> Iterator[None]:
    """Says on stderr what is being done, once that has lasted for three seconds."""
    said = {"file": sys.stderr, "flush": True}
    timer = threading.Timer(SECONDS_OF_SILENCE, print, (line,), said)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def duration(seconds: float) -> str:
    """Seconds as a person says them: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def display_for(total_nimg: int, name: str = "") -> Lines | Terminal | Notebook:
    """The display for where this process runs; `name` is that of a run which is one of many."""
    if in_notebook():
        return Notebook(total_nimg)
    return Terminal(total_nimg, name) if sys.stdout.isatty() else Lines(total_nimg, name)
