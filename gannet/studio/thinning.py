"""Statistics of a run as curves of few points, which keep every peak: min, max and mean of each stretch.

A live run's lines are read once, as they come. A run of a million lines opens at once: of what is still unread
evenly chosen lines stand for the rest, until `Tail.advance` has come there.
"""

import json
import math
import os
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

MOST_BLOCKS = 4096
STEP = 2**21  # bytes that one call of `advance` reads
FEW_BYTES = 2**23  # of a stretch that is read again, line by line
ROUGH_LINES = 8192
MOST_NAMES = 500  # statistics of a run, each of which takes memory
MOST_OTHERS = 50_000  # lines that are no statistics, for the same reason
SEAM = 64  # bytes before the end that tell whether the file was cut back
COUNTERS = ("type", "kimg", "iteration", "seconds", "evaluation seconds", "skipped")
LOW, HIGH, SUM, NUM = range(4)

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Curves:
    """Statistics over stretches of a run: the kimg where each begins `[T]`; min, max and mean by name `[T]`.

    NaN stands for a stretch without a value. `exact` says that every line was looked at.
    """

    kimg: np.ndarray
    series: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    exact: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, in six digits; null for what is not a number."""
        named = {
            name: dict(zip(("min", "max", "mean"), map(short, values), strict=True))
            for name, values in self.series.items()
        }
        return {"kimg": short(self.kimg), "series": named, "exact": self.exact}


def short(values: np.ndarray) -> list[float | None]:
    """Numbers in six digits; None for those that are not finite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]


@dataclass
class Blocks:
    """What lines hold, by stretches of equally many: at most `MOST_BLOCKS`, then two become one.

    So the memory is bounded, whatever the run's length, and min, max and mean stay exact.
    """

    most: int = MOST_BLOCKS
    lines: int = 1
    """Lines of a full block."""
    num: int = 0
    fill: int = 0
    """Lines in the last block."""
    at: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """kimg of the first line of each."""
    start: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Its place in the file."""
    values: dict[str, np.ndarray] = field(default_factory=dict)
    """By name: min, max, sum and number of the finite values, `[most, 4]`."""

    def __post_init__(self) -> None:
        self.at, self.start = np.zeros(self.most), np.zeros(self.most, np.int64)

    def add(self, kimg: np.ndarray, start: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Lines by their kimg `[N]`, places `[N]` and values `[N]`, NaN where they have none."""
        first = 0
        while first < len(kimg):
            if self.fill == self.lines or not self.num:
                if self.num == self.most:
                    self.halve()
                    continue
                self.num, self.fill = self.num + 1, 0
                self.at[self.num - 1], self.start[self.num - 1] = kimg[first], start[first]
            whole = (len(kimg) - first) // self.lines if not self.fill else 0
            if whole > 1:
                whole = min(whole, self.most - self.num + 1)
                last = first + whole * self.lines
                own = slice(self.num - 1, self.num - 1 + whole)
                self.at[own], self.start[own] = kimg[first : last : self.lines], start[first : last : self.lines]
                self.num, self.fill = self.num - 1 + whole, self.lines
            else:
                last = min(len(kimg), first + self.lines - self.fill)
                own = slice(self.num - 1, self.num)
                self.fill += last - first
            for name, column in columns.items():
                rows = self.values.setdefault(name, empty_rows(self.most))
                rows[own] = merged(np.stack([rows[own], summed(column[first:last].reshape(whole or 1, -1))]))
            first = last

    def halve(self) -> None:
        """Every two blocks become one."""
        num = self.num // 2
        odd = self.num % 2
        for rows in self.values.values():
            pairs = rows[: 2 * num].reshape(num, 2, 4).transpose(1, 0, 2)
            rows[:num] = merged(pairs)
            rows[num : num + odd] = rows[2 * num : 2 * num + odd]
            rows[num + odd :] = empty_rows(1)
        for array in (self.at, self.start):
            kept = array[: self.num : 2].copy()
            array[: len(kept)] = kept
        self.fill += 0 if odd else self.lines
        self.num, self.lines = num + odd, 2 * self.lines

    def cut(self, kimg: float) -> None:
        """Forgets the blocks that begin at `kimg` or later: a run that went back to a checkpoint writes them anew."""
        self.num = int(np.searchsorted(self.at[: self.num], kimg))
        self.fill = self.lines
        for rows in self.values.values():
            rows[self.num :] = empty_rows(1)


def empty_rows(num: int) -> np.ndarray:
    return np.tile([np.nan, np.nan, 0.0, 0.0], (num, 1))


def summed(values: np.ndarray) -> np.ndarray:
    """Min, max, sum and number of the finite values of each row: `[B, L]` to `[B, 4]`."""
    there = np.isfinite(values)
    low = np.where(there, values, np.inf).min(1)
    high = np.where(there, values, -np.inf).max(1)
    count = there.sum(1)
    rows = np.stack([low, high, np.where(there, values, 0.0).sum(1), count], axis=1)
    rows[count == 0, :SUM] = np.nan
    return rows


def merged(rows: np.ndarray) -> np.ndarray:
    """Rows `[K, B, 4]` of K parts as those of the whole, `[B, 4]`."""
    low, high = np.fmin.reduce(rows[..., LOW]), np.fmax.reduce(rows[..., HIGH])
    return np.stack([low, high, rows[..., SUM].sum(0), rows[..., NUM].sum(0)], axis=-1)


def thinned(kimg: np.ndarray, rows: Mapping[str, np.ndarray], points: int, exact: bool = True) -> Curves:
    """At most `points` stretches of the rows `[T, 4]`, of about as many rows each."""
    num = min(points, len(kimg))
    if not num:
        return Curves(np.zeros(0), {name: (np.zeros(0),) * 3 for name in rows}, exact)
    edges = np.linspace(0, len(kimg), num + 1).round().astype(int)[:-1]
    series = {}
    for name, own in rows.items():
        low, high = np.fmin.reduceat(own[:, LOW], edges), np.fmax.reduceat(own[:, HIGH], edges)
        count = np.add.reduceat(own[:, NUM], edges)
        mean = np.add.reduceat(own[:, SUM], edges) / np.where(count, count, np.nan)
        series[name] = low, high, mean
    return Curves(kimg[edges], series, exact)


def of_lines(lines: Sequence[Line], names: Sequence[str], points: int, exact: bool = True) -> Curves:
    """The statistics of lines of a stats.jsonl, thinned."""
    kimg, columns = columns_of(lines, names)
    return thinned(kimg, {name: summed(column[:, None]) for name, column in columns.items()}, points, exact)


def columns_of(lines: Sequence[Line], names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """kimg `[N]` and the values of each name `[N]`, NaN where a line has none."""
    kimg = np.array([line["kimg"] for line in lines], dtype=float)
    return kimg, {name: np.array([number(line.get(name)) for line in lines], dtype=float) for name in names}


def number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else np.nan
    except OverflowError:
        return np.nan


def parsed(text: bytes) -> dict[str, Any] | None:
    """A line of a stats.jsonl; None for what a crash or another program has left."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(line, dict) and isinstance(line.get("type"), str) and math.isfinite(number(line.get("kimg")))
    return line if whole else None


@dataclass
class Tail:
    """The stats.jsonl of one run, read as it grows: its statistics in blocks, every other line as it is.

    It is shared by all who look at the run, from any thread.
    """

    path: Path
    most: int = MOST_BLOCKS

    def __post_init__(self) -> None:
        self.lock = RLock()
        self.forget()

    def forget(self) -> None:
        """Begins at the start of the file."""
        self.era = getattr(self, "era", -1) + 1
        """Changes when what was told of the run holds no longer: it went back to a checkpoint."""
        self.offset = 0
        self.seam = b""
        self.blocks = Blocks(self.most)
        self.kimg = -np.inf
        self.others: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MOST_OTHERS)
        """The last events, findings and metrics, each with its place in the file."""
        self.last: dict[str, Any] = {}
        """The newest line of statistics."""
        self.rough: tuple[np.ndarray, list[dict[str, Any]]] | None = None
        """Places and lines that stand for what `advance` has not come to."""
        self.rough_end = 0

    @property
    def names(self) -> list[str]:
        """The statistics that there are."""
        found = dict.fromkeys(self.blocks.values)
        for line in self.rough[1][-1:] if self.rough else ():
            found |= dict.fromkeys(name for name, value in line.items() if is_statistic(name, value))
        return list(found)[:MOST_NAMES]

    @property
    def exact(self) -> bool:
        """Whether every line was read."""
        return self.rough is None

    @property
    def end(self) -> int:
        """Bytes that were read, if only roughly."""
        return max(self.offset, self.rough_end)

    def open(self) -> None:
        """All that there is so far: exactly where it is little, else roughly."""
        with self.lock:
            if self.rough is None and self.size() - self.offset > 2 * STEP:
                self.look_over()
            else:
                self.advance()

    def size(self) -> int:
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0

    def advance(self) -> list[dict[str, Any]]:
        """Reads up to `STEP` bytes of whole lines that are new; returns those of them that were never seen."""
        with self.lock:
            try:
                with self.path.open("rb") as file:
                    data = self.new_bytes(file)
            except FileNotFoundError:
                self.forget()
                return []
            end = data.rfind(b"\n") + 1
            if not end:
                return []
            seen = self.rough_end
            lines, places = [], []
            place = self.offset
            for text in data[: end - 1].split(b"\n"):
                if (line := parsed(text)) is not None:
                    lines.append(line)
                    places.append(place)
                place += len(text) + 1
            self.offset += end
            self.seam = (self.seam + data[:end])[-SEAM:]
            found = list(zip(places, lines, strict=True))
            new = [(place, line) for place, line in found if place >= seen]
            self.others += [(place, line) for place, line in new if line["type"] != "stats"]
            self.add([(place, line) for place, line in found if line["type"] == "stats"])
            self.last = next((line for _, line in reversed(new) if line["type"] == "stats"), self.last)
            if self.offset >= self.rough_end:
                self.rough, self.rough_end = None, 0
            return [line for _, line in new]

    def new_bytes(self, file: Any) -> bytes:
        """What follows what was read; from the start where the file was cut back or is another."""
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, self.offset - len(self.seam)))
        if size < self.offset or file.read(len(self.seam)) != self.seam:
            self.forget()
            file.seek(0)
        return file.read(STEP)

    def add(self, lines: Sequence[tuple[int, Line]]) -> None:
        """Lines of statistics with their places; where kimg goes back, what it passes is forgotten."""
        if not lines:
            return
        kimg, columns = columns_of(
            [line for _, line in lines],
            list(dict.fromkeys([*self.blocks.values, *new_names(lines, self.blocks.values)])),
        )
        places = np.array([place for place, _ in lines], np.int64)
        back = np.flatnonzero(np.diff(kimg, prepend=self.kimg) < 0).tolist()
        for first, last in pairwise(sorted({0, *back, len(lines)})):
            if first in back:
                self.blocks.cut(float(kimg[first]))
                self.era += 1
            own = {name: column[first:last] for name, column in columns.items()}
            self.blocks.add(kimg[first:last], places[first:last], own)
        self.kimg = float(kimg[-1])

    def look_over(self) -> None:
        """Chooses lines of the unread rest, and reads its events and metrics."""
        chosen: list[dict[str, Any]] = []
        places: list[int] = []
        place, every = self.offset, max(1, (self.size() - self.offset) // ROUGH_LINES)
        wanted, text = place, b""
        with self.path.open("rb") as file:
            file.seek(place)
            while True:
                data = file.read(4 * STEP)
                end = data.rfind(b"\n") + 1
                if not end:
                    break
                file.seek(end - len(data), os.SEEK_CUR)
                for text in data[: end - 1].split(b"\n"):
                    if place >= wanted or not text.startswith(b'{"type": "stats"'):
                        line = parsed(text)
                        if line is not None and line["type"] != "stats":
                            self.others.append((place, line))
                        elif line is not None:
                            chosen.append(line)
                            places.append(place)
                            wanted = place + every
                    place += len(text) + 1
        self.rough_end = place
        if chosen:
            last = parsed(text) or {}
            self.rough, self.last = (np.array(places), chosen), last if last.get("type") == "stats" else chosen[-1]

    def curves(self, names: Sequence[str], begin: float = -np.inf, end: float = np.inf, points: int = 1000) -> Curves:
        """The statistics of a stretch of kimg, thinned to at most `points`."""
        with self.lock:
            blocks = self.blocks
            at = blocks.at[: blocks.num]
            first = max(0, int(np.searchsorted(at, begin, side="right")) - 1)
            last = int(np.searchsorted(at, end, side="right"))
            places = self.stretch(first, last)
            if self.rough is None and blocks.lines > 1 and last - first < points and places[1] - places[0] <= FEW_BYTES:
                found = (line for line in self.lines(*places) if line["type"] == "stats")
                lines = [line for line in found if begin <= line["kimg"] <= end]
                return of_lines(lines, names, points)
            rows = {name: blocks.values.get(name, empty_rows(blocks.most))[first:last] for name in names}
            if self.rough is None:
                return thinned(at[first:last], rows, points)
            rest = [
                line
                for place, line in zip(*self.rough, strict=True)
                if place >= self.offset and begin <= line["kimg"] <= end
            ]
            kimg, columns = columns_of(rest, names)
            whole = {name: np.concatenate([rows[name], summed(columns[name][:, None])]) for name in names}
            return thinned(np.concatenate([at[first:last], kimg]), whole, points, exact=False)

    def stretch(self, first: int, last: int) -> tuple[int, int]:
        """Where the lines of blocks `first` to `last` are in the file."""
        blocks = self.blocks
        if first >= last:
            return 0, 0
        end = self.offset if last >= blocks.num else int(blocks.start[last])
        return int(blocks.start[first]), end

    def lines(self, first: int, last: int) -> list[dict[str, Any]]:
        """The lines between two places in the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(first)
                found = map(parsed, file.read(max(0, last - first)).split(b"\n"))
        except FileNotFoundError:
            return []
        return [line for line in found if line is not None]


def new_names(lines: Sequence[tuple[int, Line]], known: Collection[str]) -> list[str]:
    """Statistics of the lines that are not among those known, as long as they are not too many."""
    found: dict[str, None] = {}
    room = MOST_NAMES - len(known)
    known = {*known, *COUNTERS}
    for _, line in lines:
        if not line.keys() <= known:
            new = [name for name, value in line.items() if name not in known and is_statistic(name, value)]
            found |= dict.fromkeys(new)
            known |= set(new)
    return list(found)[: max(0, room)]


def is_statistic(name: str, value: Any) -> bool:
    return name not in COUNTERS and (value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)))


def sampled(path: Path, most: int) -> dict[int, bytes]:
    """About `most` whole lines by their places, spread evenly over the file; all where it holds fewer.

    Raises `OSError` where it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(2**14)
        length = max(1, len(head) // max(1, head.count(b"\n")))
        if size <= most * length:
            data = head + file.read()
            places = accumulate((len(text) + 1 for text in data.split(b"\n")), initial=0)
            return dict(zip(places, data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], strict=False))
        found = {}
        for place in np.linspace(0, size, most, endpoint=False).astype(np.int64).tolist():
            file.seek(max(0, place - 1))
            text = file.read(4 * length)
            begin = text.find(b"\n") + 1 if place else 0
            end = text.find(b"\n", begin)
            if end >= 0:
                found[max(0, place - 1) + begin] = text[begin:end]
        return found
