"""What raters chose of two pictures, one of them real: a line a choice in RUN/ratings.jsonl, and what came of it."""

import csv
import io
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from gannet.errors import UserError
from gannet.evaluation.deception import FIELDS, RATINGS, Choice, by, deception, read_choices
from gannet.files import write_with
from gannet.images import png, to_pil
from gannet.studio.runs import Runs, file_url
from gannet.studio.security import Refused

PICTURES = "ratings"
MOST_PENDING = 100  # pairs that were shown and not judged, whose pictures are in memory
MOST_SHOWN = 20  # hardest pairs
PLAIN = re.compile(r"[\w .@-]{0,40}")


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
        with self.lock:
            waiting = {pair.number for pair in self.pending.values() if pair.kimg == kimg and pair.run == name}
        number = 0
        while number in judged or (not rater and number in waiting):
            number += 1
        return number

    def lines(self, run: Path) -> list[Choice]:
        """All choices; what is no whole line is left out."""
        try:
            return read_choices(self.runs.file(run, RATINGS))
        except (Refused, OSError):
            return []

    def result(self, name: str) -> dict[str, Any]:
        """How often fakes were taken for real, in all and by label, rater and kimg, and the fakes that did it best."""
        run = self.runs.find(name)
        lines = self.lines(run)
        by_pair: dict[tuple[float, int], list[Choice]] = {}
        for line in lines:
            by_pair.setdefault((line["kimg"], line["pair"]), []).append(line)
        hardest = sorted(by_pair.items(), key=lambda item: hardness(item[1]), reverse=True)
        return {
            "deception": deception(lines),
            **{f"by_{key}": by(lines, key) for key in ("label", "rater", "kimg")},
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
