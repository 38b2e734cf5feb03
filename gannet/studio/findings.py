"""What the diagnosis says of the runs, kept until they have grown, and its changes as settings."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from gannet.diagnosis import diagnose
from gannet.diagnosis.logs import of_run
from gannet.diagnosis.report import WORDS
from gannet.errors import UserError
from gannet.parsing import SHORT
from gannet.studio.rare import Rare
from gannet.studio.runs import MOST_TAILS, STATS, Kept, Runs
from gannet.studio.thinning import sampled

MOST_LINES = 10_000
GROWN = 1.05  # by a twentieth, as the diagnosis looks itself
SECONDS_BETWEEN = 5.0
SECONDS_AT_ONCE = 2.0
BUDGETS = ("kimg", "epochs", "minutes")

UNREADABLE = (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What comes of lines that no run of ours has written."""
NOTHING: Mapping[str, Any] = {"verdict": None, "findings": []}


@dataclass
class Findings:
    """The diagnoses of runs by the folders of these: `{"verdict": ..., "findings": [...]}`."""

    runs: Runs
    known: dict[str, tuple[int, float, dict[str, Any]]] = field(default_factory=dict)
    """By folder: bytes that were looked at, when, and what was found."""
    rare: Kept[Rare] = field(default_factory=lambda: Kept(MOST_TAILS))
    """By folder: the lines that are never left out."""
    busy: Lock = field(default_factory=Lock)

    def at_hand(self, run: Path) -> Mapping[str, Any]:
        """What was found last; nothing before that."""
        return self.known[str(run)][2] if str(run) in self.known else NOTHING

    def of(self, run: Path) -> Mapping[str, Any]:
        """What is found now, or was a little ago."""
        try:
            size = (run / STATS).stat().st_size
        except OSError:
            return NOTHING
        before, when, found = self.known.get(str(run), (0, 0.0, {}))
        grown = size < before or size > before * GROWN
        if found and (size == before or not grown or time.monotonic() < when + SECONDS_BETWEEN):
            return found
        found = self.diagnosed(run)
        self.known[str(run)] = size, time.monotonic(), found
        return found

    def diagnosed(self, run: Path) -> dict[str, Any]:
        """As `gannet diagnose --json`, each finding with its change as `settings`, null where it is none of those."""
        try:
            path = self.runs.file(run, STATS)
            lines = sampled(path, MOST_LINES) | self.rare.get(str(run), None, lambda: Rare(path)).lines()
            data = b"\n".join(text for _, text in sorted(lines.items())) + b"\n"
            found = diagnose(of_run(run, data)).to_dict()
        except UserError as error:
            return {"verdict": None, "findings": [], "why": str(error)}
        except UNREADABLE as error:
            return {"verdict": None, "findings": [], "why": f"the statistics cannot be understood: {error}"}
        for finding in found["findings"]:
            finding["title"], finding["meaning"] = WORDS[finding["finding"]]
            finding["settings"] = settings_of(finding["change"])
        return found

    def look(self) -> None:
        """Diagnoses the runs that have changed, for a moment; one such look at a time."""
        if not self.busy.acquire(blocking=False):
            return
        try:
            until = time.monotonic() + SECONDS_AT_ONCE
            for run in self.runs.folders().values():
                if time.monotonic() > until:
                    return
                self.of(run)
        finally:
            self.busy.release()


def leading(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first finding that holds now, in three words."""
    for finding in found["findings"]:
        if finding["until"] is None:
            return {name: finding[name] for name in ("finding", "title", "since", "change", "settings")}
    return None


def settings_of(change: str) -> dict[str, Any] | None:
    """A change such as `--optim.D.lr 1e-4` as settings by their dotted names; None where it is in words."""
    settings: dict[str, Any] = {}
    names: tuple[str, ...] = ()
    for word in shlex.split(change):
        if word.startswith("--"):
            name = word.removeprefix("--")
            names = SHORT.get(name, (name if name in BUDGETS else dotted(name),))
            settings |= dict.fromkeys(names, True)
        elif not names:
            return None
        else:
            for name in names:
                before = settings[name]
                value = number_or_text(word)
                settings[name] = value if before is True else [*before, value] if isinstance(before, list) else [
                    before, value,
                ]  # fmt: skip
    return settings or None


def dotted(option: str) -> str:
    """An option as the name of its setting: `game.d-steps` as `game.d_steps`; penalties have dashes in their names."""
    places = option.split(".")
    return ".".join(
        place if i == 1 and places[0] == "penalties" else place.replace("-", "_") for i, place in enumerate(places)
    )


def number_or_text(word: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
