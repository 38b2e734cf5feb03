"""What raters chose of two pictures, one of them real: a line a choice in RUN/ratings.jsonl, and what came of it."""

import csv
import io
import json
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from gannet.errors import UserError
from gannet.files import write_with
from gannet.images import png, to_pil
from gannet.studio.runs import Runs, file_url
from gannet.studio.security import Refused

RATINGS, PICTURES = "ratings.jsonl", "ratings"
MOST_PENDING = 500  # pairs that were shown and not judged
MOST_SHOWN = 20  # hardest pairs
MOST_LINES = 100_000
PLAIN = re.compile(r"[\w .@-]{0,40}")
FIELDS = ("time", "pair", "rater", "choice", "correct", "ms", "seconds", "kimg", "label")


@dataclass(frozen=True)
class Made:
    """A fake and a real, uint8 `[C, R, R]`, of one class where there are classes; the fake is number `number`."""

    number: int
    kimg: float
    fake: np.ndarray
    real: np.ndarray
    label: str | None


@dataclass(frozen=True)
class Pair:
    """What a rater is shown: PNGs by their random names, which side is real, and what it is."""

    run: str
    number: int
    kimg: float
    label: str | None
    sides: Mapping[str, tuple[str, bytes]]
    """By side: name and PNG."""
    real: str
    seconds: float | None


@dataclass
class Ratings:
    """Pairs that were shown and wait for a choice, and what was chosen."""

    runs: Runs
    pending: OrderedDict[str, Pair] = field(default_factory=OrderedDict)
    lock: Any = field(default_factory=Lock)

    def show(self, name: str, made: Made, seconds: float | None) -> dict[str, Any]:
        """Hands out a pair; its two addresses say nothing of which is real."""
        side = secrets.choice(("left", "right"))
        other = "right" if side == "left" else "left"
        pictures = {side: made.real, other: made.fake}
        sides = {each: (secrets.token_urlsafe(12), png(to_pil(pictures[each]))) for each in ("left", "right")}
        identity = secrets.token_urlsafe(12)
        with self.lock:
            self.pending[identity] = Pair(name, made.number, made.kimg, made.label, sides, side, seconds)
            while len(self.pending) > MOST_PENDING:
                self.pending.popitem(last=False)
        urls = {each: f"/api/rate/pictures/{sides[each][0]}.png" for each in ("left", "right")}
        return {"pair": identity, **urls, "label": made.label, "kimg": made.kimg, "number": made.number}

    def picture(self, name: str) -> bytes:
        """A picture of a pair that waits. Raises `Refused` for others."""
        with self.lock:
            for pair in self.pending.values():
                for each, data in pair.sides.values():
                    if each == name:
                        return data
        raise Refused("this picture was judged already, or never shown", 404)

    def choose(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Writes down which side was taken for real, and says which it was. Raises `UserError`."""
        rater, choice, ms = asked.get("rater") or "", asked.get("choice"), asked.get("ms")
        if choice not in ("left", "right"):
            raise UserError("choice must be left or right")
        if not isinstance(rater, str) or not PLAIN.fullmatch(rater):
            raise UserError("a rater's name has at most 40 letters, digits, spaces, '.', '@', '-' and '_'")
        if not isinstance(ms, (int, float)) or isinstance(ms, bool) or not 0 <= ms < 1e9:
            raise UserError("ms must be a number of milliseconds")
        run = self.runs.find(name)
        with self.lock:
            pair = self.pending.get(str(asked.get("pair")))
            if pair is None or pair.run != name:
                raise Refused("this pair was judged already, or the studio was started anew: ask for another", 409)
            del self.pending[str(asked["pair"])]
        correct = choice == pair.real
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pair": pair.number,
            "rater": rater,
            "choice": "real" if correct else "fake",
            "correct": correct,
            "ms": round(ms),
            "seconds": pair.seconds,
            "kimg": pair.kimg,
            "label": pair.label,
        }
        self.write(run, line)
        if not correct:
            self.keep(run, pair)
        return {"correct": correct, "real": pair.real}

    def write(self, run: Path, line: Mapping[str, Any]) -> None:
        path = run / RATINGS
        if not self.runs.holds(path, path.is_symlink()):
            raise Refused(f"{RATINGS} is a link that leads out of the runs, and is not followed", 403)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {RATINGS}: {error.strerror or error}") from error

    def keep(self, run: Path, pair: Pair) -> None:
        """The pictures of a pair whose fake was taken for real; of a private run the fake alone."""
        folder = run / PICTURES
        if not self.runs.holds(folder, folder.is_symlink()):
            return
        private = bool(self.runs.settings(run).values.get("data.private"))
        for side, (_, data) in pair.sides.items():
            what = "real" if side == pair.real else "fake"
            if what == "fake" or not private:
                target = folder / f"{picture_name(pair.kimg, pair.number, what)}.png"
                with suppress(UserError):  # the line is what counts
                    write_with(target, lambda file, data=data: file.write(data), sync=False)

    def next_number(self, name: str, rater: str, kimg: float) -> int:
        """The first pair that this rater was not shown of these weights."""
        lines = self.lines(self.runs.find(name))
        judged = {line["pair"] for line in lines if line["rater"] == rater and line["kimg"] == kimg}
        waiting = {pair.number for pair in self.pending.values() if pair.kimg == kimg and pair.run == name}
        number = 0
        while number in judged or (not rater and number in waiting):
            number += 1
        return number

    def lines(self, run: Path) -> list[dict[str, Any]]:
        """All choices; what is no whole line is left out."""
        found = []
        try:
            path = self.runs.file(run, RATINGS)
            with path.open(encoding="utf-8", errors="replace") as file:
                for text, _ in zip(file, range(MOST_LINES), strict=False):
                    with suppress(ValueError):
                        line = json.loads(text)
                        if isinstance(line, dict) and set(FIELDS) <= set(line):
                            found.append(line)
        except (Refused, OSError):
            return []
        return found

    def result(self, name: str) -> dict[str, Any]:
        """How often fakes were taken for real, in all and by label, rater and kimg, and the fakes that did it best."""
        run = self.runs.find(name)
        lines = self.lines(run)
        by_pair: dict[tuple[float, int], list[dict[str, Any]]] = {}
        for line in lines:
            by_pair.setdefault((line["kimg"], line["pair"]), []).append(line)
        hardest = sorted(by_pair.items(), key=lambda item: hardness(item[1]), reverse=True)
        return {
            "deception": deception(lines),
            **{f"by_{key}": grouped(lines, key) for key in ("label", "rater", "kimg")},
            "hardest": [self.shown(name, run, *key, own) for key, own in hardest[:MOST_SHOWN] if hardness(own)[0]],
        }

    def shown(
        self, name: str, run: Path, kimg: float, number: int, lines: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        urls = {}
        for what in ("fake", "real"):
            file = f"{picture_name(kimg, number, what)}.png"
            urls[what] = file_url(name, PICTURES, file) if self.runs.has(run, PICTURES, file) else None
        found = deception(lines)
        return {
            "fooled": round(found["rate"] * found["num"]),
            "num": found["num"],
            "kimg": kimg,
            "label": lines[0]["label"],
            **urls,
        }

    def table(self, name: str) -> str:
        """All choices as CSV."""
        target = io.StringIO()
        writer = csv.DictWriter(target, FIELDS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            {key: guarded(value) for key, value in line.items()} for line in self.lines(self.runs.find(name))
        )
        return target.getvalue()


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def picture_name(kimg: float, number: int, what: str) -> str:
    return f"kimg{kimg:g}-{number}-{what}".replace(".", "_")


def hardness(lines: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """How often a fake was taken for real, and by how many."""
    fooled = sum(not line["correct"] for line in lines)
    return fooled / len(lines), fooled


def deception(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The share of choices that took the fake for real, and its 95% interval; no rate without a choice."""
    num, fooled = len(lines), sum(not line["correct"] for line in lines)
    low, high = clopper_pearson(fooled, num) if num else (0.0, 1.0)
    return {"rate": fooled / num if num else None, "low": low, "high": high, "num": num}


def grouped(lines: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    values = {line[key] for line in lines if line[key] is not None}
    each = sorted(values, key=lambda value: (isinstance(value, str), value))
    return [{key: value, **deception([line for line in lines if line[key] == value])} for value in each]


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a probability of which `k` of `n` trials came out (Clopper and Pearson 1934).

    Below it, `k` or more would come out with less than half of what `level` leaves; above it, `k` or fewer.
    """
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else solved(lambda p: 1 - below(k - 1, n, p) < tail)
    high = 1.0 if k == n else solved(lambda p: below(k, n, p) > tail)
    return low, high


def solved(is_under: Callable[[float], bool]) -> float:
    """Where a condition that holds for small p ends, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if is_under(p) else (low, p)
    return (low + high) / 2


def below(k: int, n: int, p: float) -> float:
    """The probability that of `n` trials `k` or fewer come out, each with probability 0 < p < 1."""
    if not 0 < p < 1:
        return float(p <= 0 or k >= n)
    i = np.arange(k + 1)
    ways = math.lgamma(n + 1) - np.array([math.lgamma(a + 1) + math.lgamma(n - a + 1) for a in i.tolist()])
    return min(1.0, float(np.exp(ways + i * math.log(p) + (n - i) * math.log1p(-p)).sum()))
