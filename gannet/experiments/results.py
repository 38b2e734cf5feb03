"""What a sweep found: a table, JSON, and the metric against each setting that varied."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gannet.evaluation.protocol import Score, refuse_unlike
from gannet.experiments.pictures import panels_for, save
from gannet.experiments.records import Group
from gannet.experiments.report import spread
from gannet.experiments.statistics import Summary
from gannet.files import write_text
from gannet.plan import duration, short
from gannet.sessions import quote
from gannet.tables import table


@dataclass(frozen=True)
class Result:
    """A trial that has ended: its settings, how it ended, and the best of its metric, over seeds."""

    number: int
    settings: Mapping[str, str]
    state: str
    reason: str
    runs: list[str]
    kimg: float
    seconds: float
    best: Summary | None
    best_kimg: list[float]
    score: Score | None
    """One of its numbers, for the metric's name, direction and protocol."""

    @property
    def objective(self) -> float | None:
        """The mean over seeds of the best value, such that lower is better; None without one, or where it diverged."""
        if self.best is None or self.score is None or self.state in ("diverged", "refused"):
            return None
        return self.best.mean if self.score.better == "lower" else -self.best.mean


def result_of(note: Mapping[str, Any], group: Group) -> Result:
    """A trial's result from its runs, and from what was noted when it ended."""
    measured = [next(iter(record.metrics.values())) for record in group.records if record.metrics]
    bests = [each.best for each in measured]
    return Result(
        number=note["number"],
        settings=note["settings"],
        state=note["state"],
        reason=note["reason"],
        runs=[record.path.as_posix() for record in group.records],
        kimg=max((record.kimg for record in group.records), default=0.0),
        seconds=sum(record.seconds for record in group.records),
        best=Summary.of([float(m.values[b]) for m, b in zip(measured, bests, strict=True)]) if measured else None,
        best_kimg=[float(each.kimg[best]) for each, best in zip(measured, bests, strict=True)],
        score=measured[0].scores[0] if measured else None,
    )


@dataclass(frozen=True)
class Swept:
    """A sweep and its results, the best first."""

    out: Path
    names: Sequence[str]
    results: Sequence[Result]
    num: int
    """How many trials there are to be."""
    finished: bool

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        found = [asdict(each) for each in self.results]
        return {"out": self.out.as_posix(), "finished": self.finished, "trials": self.num, "results": found}

    def __str__(self) -> str:
        return "\n\n".join([f"# Sweep: {len(self.results)} of {self.num} trials", self.table(), *self.notes()])

    def table(self) -> str:
        """A row for each trial, the best first."""
        score = next((each.score for each in self.results if each.score), None)
        metric = f"best {score.metric} ({score.better} is better)" if score else "metric"
        header = ["trial", *self.names, metric, "sd", "95% interval", "best at kimg", "kimg", "training", "state"]
        rows = []
        for each in self.results:
            values = [each.settings[name] for name in self.names]
            cells = spread(each.best)
            at = ", ".join(short(kimg) for kimg in each.best_kimg) or "-"
            took = [short(each.kimg), duration(each.seconds), each.state]
            rows.append([f"{each.number + 1}", *values, *cells, at, *took])
        return table(header, rows)

    def notes(self) -> list[str]:
        """What to know, and what to do next."""
        found = [f"Trial {each.number + 1} {each.state}: {each.reason}" for each in self.results if each.reason]
        best = next((each for each in self.results if each.objective is not None), None)
        if best:
            found.append(f"Train as the best one did: gannet train --recipe {quote(Path(best.runs[0]))}")
            if len(best.runs) == 1:
                found.append("Each trial is one run: how much of a difference is luck, several seeds tell (--seeds 3).")
        if not self.finished:
            found.append("Interrupted, all saved: the same command goes on.")
        return found

    def write(self) -> None:
        """results.json, results.md and results.png in the folder.

        Raises `UserError` where protocols are unlike: then the results are in the JSON alone, and not ranked.
        """
        write_text(self.out / "results.json", json.dumps(self.to_dict(), indent=2) + "\n")
        refuse_unlike((f"trial {each.number + 1}", each.score) for each in self.results if each.score)
        write_text(self.out / "results.md", f"{self}\n")
        if any(each.best for each in self.results):
            self.draw()

    def draw(self) -> None:
        """The best metric of each trial against each setting; a cross where it did not come to its end."""
        figure, panels = panels_for(len(self.names))
        for panel, name in zip(panels, self.names, strict=True):
            texts = list(dict.fromkeys(each.settings[name] for each in sorted(self.results, key=lambda r: r.number)))
            places = numbers(texts)
            for each in self.results:
                if each.best and each.score:
                    x = texts.index(each.settings[name]) if places is None else places[each.settings[name]]
                    marker, colour = ("o", "C0") if each.state == "done" else ("x", "C3")
                    panel.scatter([x] * len(each.best.values), each.best.values, marker=marker, color=colour, alpha=0.7)
                    panel.set_ylabel(each.score.metric)
            if places is None:
                panel.set_xticks(range(len(texts)), texts)
            elif min(places.values()) > 0 and max(places.values()) >= 10 * min(places.values()):
                panel.set_xscale("log")
            panel.set_xlabel(name)
            panel.grid(alpha=0.3)
        save(figure, self.out / "results.png")


def numbers(texts: Sequence[str]) -> dict[str, float] | None:
    """The texts as numbers; None where one is none."""
    try:
        return {text: float(text) for text in texts}
    except ValueError:
        return None
