"""What a sweep found: a table, JSON, and the metric against each setting that varied."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gannet.display import duration
from gannet.evaluation.protocol import Score, refuse_unlike
from gannet.experiments.pictures import panels_for, save
from gannet.experiments.records import Group
from gannet.experiments.report import value
from gannet.experiments.statistics import Summary
from gannet.files import write_text
from gannet.plan import short
from gannet.sessions import quote
from gannet.tables import Section, Sections

AGAIN = 3  # seeds that are proposed
Interval = tuple[float, float]


@dataclass(frozen=True)
class Result:
    """A trial that has ended: its settings, how it ended, and its metric at the best and at the end, over seeds."""

    number: int
    settings: Mapping[str, str]
    state: str
    reason: str
    runs: list[str]
    kimg: float
    seconds: float
    best: Summary | None
    best_kimg: list[float]
    final: Summary | None
    score: Score | None
    """One of its numbers, for the metric's name, direction and protocol."""
    best_interval: Interval | None = None
    """95%, of the mean over seeds; of one seed that of the number itself."""
    final_interval: Interval | None = None
    at_first: int = 0
    """How many of its runs were at their best when they were first measured."""
    fallen: int = 0
    """How many ended worse than their best, and the intervals of both numbers do not meet."""

    @property
    def name(self) -> str:
        """That of its folder."""
        return name_of(self.number)

    @property
    def objective(self) -> float | None:
        """The mean over seeds of the best value, such that lower is better; None without one, or where it diverged."""
        if self.best is None or self.score is None or self.state in ("diverged", "refused"):
            return None
        return self.best.mean if self.score.better == "lower" else -self.best.mean


def result_of(note: Mapping[str, Any], group: Group) -> Result:
    """A trial's result from its runs, and from what was noted when it ended."""
    measured = [next(iter(record.metrics.values())) for record in group.records if record.metrics]
    bests, finals = [each.scores[each.best] for each in measured], [each.scores[-1] for each in measured]
    best, final = (Summary.of([score.value for score in some]) if some else None for some in (bests, finals))
    return Result(
        number=note["number"],
        settings=note["settings"],
        state=note["state"],
        reason=note["reason"],
        runs=[record.path.as_posix() for record in group.records],
        kimg=max((record.kimg for record in group.records), default=0.0),
        seconds=sum(record.seconds for record in group.records),
        best=best,
        best_kimg=[float(each.kimg[each.best]) for each in measured],
        final=final,
        score=measured[0].scores[0] if measured else None,
        best_interval=interval(best, bests),
        final_interval=interval(final, finals),
        at_first=sum(each.best == 0 and len(each.scores) > 1 for each in measured),
        fallen=sum(are_apart(*both) for both in zip(bests, finals, strict=True)),
    )


def interval(summary: Summary | None, scores: Sequence[Score]) -> Interval | None:
    """That of the mean over seeds, or of the one number."""
    if summary is None:
        return None
    low, high = (summary.low, summary.high) if len(scores) > 1 else (scores[0].low, scores[0].high)
    return None if low is None or high is None else (low, high)


def are_apart(one: Score, other: Score) -> bool:
    """Whether the intervals of two numbers do not meet."""
    ends = (one.low, one.high, other.low, other.high)
    return None not in ends and not meet((one.low, one.high), (other.low, other.high))


def meet(one: Interval, other: Interval) -> bool:
    """Whether two intervals have a number in common."""
    return one[0] <= other[1] and other[0] <= one[1]


def is_tie(one: Result, other: Result) -> bool:
    """Whether two trials cannot be told apart: their best values are equal, or the intervals of these meet."""
    if one.objective == other.objective:
        return True
    both = (one.best_interval, other.best_interval)
    return both[0] is not None and both[1] is not None and meet(both[0], both[1])


def name_of(number: int) -> str:
    """What a trial is called, everywhere."""
    return f"trial{number:03}"


@dataclass(frozen=True)
class Swept(Sections):
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

    def sections(self) -> Iterator[Section]:
        header, rows = self.table()
        yield Section(f"Sweep: {len(self.results)} of {self.num} trials", header, rows, self.notes())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A row for each trial, the best first."""
        score = next((each.score for each in self.results if each.score), None)
        metric = f"best {score.metric} ({score.better} is better)" if score else "metric"
        measured = [metric, "95% interval", "at kimg", "final", "95% interval"]
        rows = []
        for each in self.results:
            values = [each.settings[name] for name in self.names]
            at = ", ".join(short(kimg) for kimg in each.best_kimg) or "-"
            best, final = in_cells(each.best, each.best_interval), in_cells(each.final, each.final_interval)
            rows.append([each.name, *values, *best, at, *final, short(each.kimg), duration(each.seconds), each.state])
        return ["trial", *self.names, *measured, "kimg", "training", "state"], rows

    def notes(self) -> list[str]:
        """What to know, and what to do next."""
        found = [f"{each.name} {each.state}: {each.reason}" for each in self.results if each.reason]
        ranked = [each for each in self.results if each.objective is not None]
        if ranked:
            found += about_winner(ranked[0], [each for each in ranked[1:] if is_tie(ranked[0], each)])
        if not self.finished:
            found.append("Interrupted, all saved: the same command goes on.")
        return found

    def write(self) -> None:
        """results.json, results.md and results.png in the folder.

        Raises `UserError` where protocols are unlike: then the results are in the JSON alone, and not ranked.
        """
        write_text(self.out / "results.json", json.dumps(self.to_dict(), indent=2) + "\n")
        refuse_unlike((each.name, each.score) for each in self.results if each.score)
        write_text(self.out / "results.md", str(self))
        if any(each.best for each in self.results):
            self.draw()

    def draw(self) -> None:
        """The best metric of each trial, with its interval, against each setting; a red cross where it did not end."""
        figure, panels = panels_for(len(self.names))
        for panel, name in zip(panels, self.names, strict=True):
            texts = list(dict.fromkeys(each.settings[name] for each in sorted(self.results, key=lambda r: r.number)))
            places = numbers(texts)
            for each in self.results:
                if each.best and each.score:
                    x = texts.index(each.settings[name]) if places is None else places[each.settings[name]]
                    marker, colour = ("o", "C0") if each.state == "done" else ("x", "C3")
                    panel.scatter([x] * len(each.best.values), each.best.values, marker=marker, color=colour, alpha=0.7)
                    if each.best_interval:
                        panel.vlines(x, *each.best_interval, color=colour, alpha=0.7)
                    panel.set_ylabel(each.score.metric)
            if places is None:
                panel.set_xticks(range(len(texts)), texts)
            elif min(places.values()) > 0 and max(places.values()) >= 10 * min(places.values()):
                panel.set_xscale("log")
            panel.set_xlabel(name)
            panel.grid(alpha=0.3)
        if any(each.state != "done" and each.best for each in self.results):
            panels[0].scatter([], [], marker="x", color="C3", label="stopped before its end")
            panels[0].legend(fontsize="small")
        save(figure, self.out / "results.png")


def in_cells(summary: Summary | None, interval: Interval | None) -> list[str]:
    """A mean and its interval; dashes for none."""
    return [
        value(summary.mean if summary else None),
        f"{value(interval[0])} to {value(interval[1])}" if interval else "-",
    ]


def about_winner(best: Result, tied: Sequence[Result] = ()) -> list[str]:
    """What speaks against the first of the table, and how to find out; `tied` are those that may be as good."""
    found, num = [], len(best.runs)
    of = "" if num == 1 else " in {} of " + f"{num} runs"
    if tied:
        names = ", ".join(each.name for each in tied)
        why = "their values are equal" if same_values([best, *tied]) else "their intervals meet"
        found.append(f"{best.name} cannot be told apart from {names}: {why}. This sweep has no winner.")
    if best.at_first:
        found.append(
            f"{best.name} was at its best when it was first measured{of.format(best.at_first)}, which is luck more "
            "often than quality: look at its value at the end."
        )
    if best.fallen:
        found.append(f"{best.name} ended worse than its best, by more than the intervals{of.format(best.fallen)}.")
    if num == 1:
        found.append(
            "Each trial is one run, and its intervals are of that run's numbers: how much of a difference is luck, "
            "several seeds tell (--seeds 3)."
        )
    if tied:
        both = f"{best.name}: {with_other_seeds(best)}; {tied[0].name}: {with_other_seeds(tied[0])}"
        return [*found, f"What tells the first two apart is more seeds of each, and gannet compare. {both}"]
    how = with_other_seeds(best)
    return [*found, f"The best of many is too good by its luck. {best.name} with other seeds: {how}"]


def same_values(some: Sequence[Result]) -> bool:
    """Whether all are equally good."""
    return len({each.objective for each in some}) == 1


def with_other_seeds(trial: Result) -> str:
    """The command that trains a trial with seeds that it has not had."""
    after = max(int(Path(run).name.removeprefix("seed")) for run in trial.runs) + 1
    seeds = ",".join(str(after + i) for i in range(AGAIN))
    return f"gannet train --recipe {quote(Path(trial.runs[0]))} --seeds {seeds}"


def numbers(texts: Sequence[str]) -> dict[str, float] | None:
    """The texts as numbers; None where one is none."""
    try:
        return {text: float(text) for text in texts}
    except ValueError:
        return None
