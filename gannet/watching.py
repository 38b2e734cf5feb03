"""A run diagnosed while it goes on: a listener that says what is wrong once, when it arises and when it clears."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from gannet.diagnosis import Diagnosis, Finding, Log, diagnose
from gannet.diagnosis.logs import LOOKED, log_of, settings_of
from gannet.diagnosis.report import arises, clears
from gannet.training.pictures import read_stats
from gannet.training.run import Run, Snapshot

MOST = 2048  # lines of losses that are remembered: beyond, every other one is forgotten
SURE = 0.9  # from this confidence on a finding is told at once; else the next look must find it too


class Watch:
    """Diagnoses a run at each look that is taken at its samples, by all that stats.jsonl holds so far.

    `diagnosis` is the newest one, `told` the lines of the findings that were told and hold. What arises or clears
    is printed, after the `name` of a run that is one of many, and handed back as a line of type `finding` for
    stats.jsonl. Who wants to act on it has a class of their own, with `diagnosed`.
    """

    stop = False
    """Whether the run should end: this one never asks for it."""

    def __init__(self, name: str = "") -> None:
        self.begins = f"{name}  " if name else ""
        self.diagnosis = Diagnosis("healthy", [])
        self.told: dict[str, dict[str, Any]] = {}
        self.lines: list[dict[str, Any]] = []
        self.rare: list[dict[str, Any]] = []
        self.settings: Mapping[str, Any] = {}
        self.length, self.newest = 0.0, 0.0
        self.stride, self.count = 1, 0
        self.broken = False

    def begin(self, run: Run) -> None:
        """Takes up what stats.jsonl of the run's folder holds, as if it had been there all the time."""
        self.settings, self.length = settings_of(run.path / "recipe.toml"), run.total_nimg / 1000
        lines = read_stats(run.path / "stats.jsonl")
        last = max((i for i, line in enumerate(lines) if LOOKED in line), default=-1)
        for i, line in enumerate(lines):
            self.remember(line)
            if i == last:
                self.diagnosis = diagnose(self.log)

    @property
    def log(self) -> Log:
        """What is known of the run so far."""
        lines = sorted([*self.lines, *self.rare], key=lambda line: line["kimg"])
        return log_of(lines, self.settings, self.length)

    def on_stats(self, line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Remembers a line of numbers; after that of a look at samples, the findings that arose or cleared."""
        self.remember(line)
        if LOOKED not in line or self.broken:
            return []
        try:
            return self.on_look(line)
        except Exception:  # a fault of ours must not end somebody's run of days
            self.broken = True
            traceback.print_exc()
            print("the diagnosis has a fault of its own: the run goes on without it", file=sys.stderr, flush=True)
            return []

    def on_look(self, line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Diagnoses the run, prints what is new, and gives the lines that say so."""
        before = {finding.finding for finding in self.diagnosis.findings if finding.active}
        self.diagnosis = diagnose(self.log)
        self.diagnosed()
        now = {finding.finding: finding for finding in self.diagnosis.findings if finding.active}
        new = [f for name, f in now.items() if name not in self.told and (name in before or f.sign.confidence >= SURE)]
        gone = [name for name in self.told if name not in now and name not in before]
        lines = [{"type": "finding", "status": "arises", **of(finding)} for finding in new]
        lines += [{**self.told[name], "status": "clears", "kimg": line["kimg"]} for name in gone]
        for finding in new:
            print(self.begins + arises(finding, "kimg"), flush=True)
        for name in gone:
            print(self.begins + clears(name, f"{line['kimg']:g} kimg"), flush=True)
        for told in lines:
            self.remember({**told, "kimg": line["kimg"]})
        return lines

    def diagnosed(self) -> None:
        """Called after each diagnosis, before anything is said of it."""

    def remember(self, line: Mapping[str, Any]) -> None:
        """A line of stats.jsonl. One that comes earlier than others takes these back: the run has returned."""
        if line["type"] == "finding":
            self.told.pop(line["finding"], None)
            if line["status"] == "arises":
                self.told[line["finding"]] = {name: value for name, value in line.items() if name != "status"}
        if line["type"] not in ("stats", "metric"):
            return
        back, self.newest = line["kimg"] < self.newest, line["kimg"]
        for lines in (self.lines, self.rare):
            while back and lines and lines[-1]["kimg"] >= line["kimg"]:
                lines.pop()
        if line["type"] == "metric" or LOOKED in line:
            self.rare.append(dict(line))
            return
        if self.count % self.stride == 0:
            self.lines.append(dict(line))
        self.count += 1
        if len(self.lines) > MOST:
            self.lines, self.stride = self.lines[::2], 2 * self.stride

    def on_tick(self, snapshot: Snapshot) -> None:
        """Nothing: looks have moments of their own."""

    def close(self) -> None:
        """Nothing is held open."""


def of(finding: Finding) -> dict[str, Any]:
    """What a line of stats.jsonl says of it."""
    return {name: value for name, value in finding.to_dict().items() if name != "until"}
