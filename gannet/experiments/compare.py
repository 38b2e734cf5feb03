"""Runs side by side: curves, grids of the same noise, and what the seeds say about the difference."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, count
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.display import counted
from gannet.errors import UserError
from gannet.evaluation.protocol import refuse_unlike
from gannet.experiments.pictures import save_grids, save_overlaid
from gannet.experiments.records import Group, at_the_same_moments, differences, find_runs, grouped, read_run
from gannet.experiments.report import sections
from gannet.experiments.statistics import Paired, Summary, paired
from gannet.files import write_text
from gannet.tables import Section, Sections

NO_METRIC = (
    "no run has metric lines, so nothing is compared in numbers here: new runs have them with --train.evaluate-every K"
    " (in kimg); of these, gannet evaluate RUN measures each, in a report that stands by itself"
)
Progress = Callable[[int, int], None]
IfExists = Literal["refuse", "replace"]
FOLDER = "compare"  # where nobody names one
CURVES, GRIDS, PAGE, FACTS = "curves.png", "grids.png", "report.md", "report.json"


@dataclass(frozen=True)
class ToQuality:
    """When the mean over a group's seeds was first as good as `quality`, and when each of the runs was.

    Without a quality nothing was.
    """

    quality: float | None
    kimg: float | None
    seconds: float | None
    kimg_of_runs: dict[int, float | None]
    seconds_of_runs: dict[int, float | None]


@dataclass(frozen=True)
class Row:
    """One metric of one group: at the end, and at its best of the moments at which all runs compared were measured.

    There is no best without such a moment.
    """

    metric: str
    better: str
    group: str
    seeds: list[int]
    final: Summary
    best: Summary | None
    best_kimg: list[float]
    to_quality: ToQuality


@dataclass(frozen=True)
class Test:
    """One metric (`final` or `best`) of two groups, the first minus the second, over the seeds that both have."""

    metric: str
    of: str
    better: str
    groups: tuple[str, str]
    paired: Paired


@dataclass(frozen=True)
class Comparison(Sections):
    """Groups of runs, in what they differ, what was measured of each, and the pictures."""

    groups: tuple[Group, ...]
    differences: dict[str, list[Any]]
    rows: tuple[Row, ...]
    tests: tuple[Test, ...]
    notes: tuple[str, ...]
    pictures: tuple[Path, ...]

    @property
    def has_seeds(self) -> bool:
        """Whether a group has more than one run."""
        return any(len(group.records) > 1 for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        groups = [
            {
                "group": group.label,
                "runs": [record.path.as_posix() for record in group.records],
                "seeds": group.seeds,
                "kimg": [record.kimg for record in group.records],
                "states": [record.state for record in group.records],
                "seconds": [record.seconds for record in group.records],
                "evaluation_seconds": [record.evaluation_seconds for record in group.records],
                "settings": {name: values[i] for name, values in self.differences.items()},
            }
            for i, group in enumerate(self.groups)
        ]
        measured = {"metrics": [asdict(row) for row in self.rows], "tests": [asdict(test) for test in self.tests]}
        return {
            "groups": groups,
            **measured,
            "notes": list(self.notes),
            "pictures": [path.as_posix() for path in self.pictures],
        }

    def sections(self) -> Iterator[Section]:
        return sections(self)


def compare(
    *runs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    quality: float | None = None,
    if_exists: IfExists = "refuse",
) -> Comparison:
    """Reads the runs, those in a folder of seeds too; writes curves.png, grids.png, report.md and report.json to `out`.

    Runs that differ in their seed alone are one group. `quality` is the value of the metric to which time is taken;
    without it the worst of the groups' best means. A comparison of the same runs is written anew, and `if_exists`
    "replace" writes over another one. Without `out` it is the folder `compare`, or `compare-2`, ... where others hold
    other reports. Raises `UserError` where there is no run, two are copies, `out` holds another
    report, the metrics were had by unlike protocols, or `quality` could be that of several metrics.
    """
    paths, repeated = distinct([found for run in runs for found in find_runs([Path(run)])])
    groups = grouped([read_run(path) for path in paths])
    folder = Path(FOLDER) if out is None else Path(out)
    if if_exists == "refuse":
        folder = free_folder(groups) if out is None else folder
        refuse_other(folder, groups)
    metrics, notes = metrics_in_common(groups)
    if quality is not None and len(metrics) != 1:
        found = " and ".join(metrics) or "no metric"
        raise UserError(f"--quality is a value of one metric, and the runs have {found}: leave it out")
    rows = [row for metric in metrics for row in rows_of(groups, metric, quality)]
    tests = [test for metric in metrics for test in tests_of(rows, metric)]
    different = differences([group.records[0].settings for group in groups])
    pictures = save_overlaid(groups, metrics, folder / CURVES)
    with counted("sampling") as progress:
        grids, imageless = save_grids(groups, folder / GRIDS, progress)
    written, said = tuple(pictures + grids), (*repeated, *unfinished(groups), *notes, *imageless)
    made = Comparison(tuple(groups), different, tuple(rows), tuple(tests), said, written)
    for path in {folder / CURVES, folder / GRIDS} - set(written):
        path.unlink(missing_ok=True)  # of what was compared before
    write_text(folder / FACTS, json.dumps(made.to_dict(), indent=2) + "\n")
    write_text(folder / PAGE, str(made))
    return made


def distinct(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The runs, each once, and sentences about those that were named more than once."""
    found: dict[Path, list[Path]] = {}
    for path in paths:
        found.setdefault(path.resolve(), []).append(path)
    repeated = [own[0].as_posix() for own in found.values() if len(own) > 1]
    notes = [f"Named more than once, and counted once: {', '.join(repeated)}."] if repeated else []
    return [own[0] for own in found.values()], notes


def unfinished(groups: Sequence[Group]) -> list[str]:
    """A sentence about runs that have not come to their end."""
    found = [r.path.as_posix() for group in groups for r in group.records if r.state != "finished"]
    return [f"Not at its end, so that its final value is that of now: {', '.join(found)}."] if found else []


def refuse_other(folder: Path, groups: Sequence[Group]) -> None:
    """Raises `UserError` where the folder holds the report of other runs, or of something else."""
    before = runs_in(folder)
    if before is not None and before != runs_of(groups):
        what = f"a comparison of other runs, such as {min(before)}" if before else "another report"
        raise UserError(f"{folder} holds {what}: choose another --out, or write over it with --if-exists replace")


def free_folder(groups: Sequence[Group]) -> Path:
    """The first of compare, compare-2, ... that holds no report, or that of the same runs."""
    folders = (Path(FOLDER if number == 1 else f"{FOLDER}-{number}") for number in count(1))
    return next(folder for folder in folders if runs_in(folder) in (None, runs_of(groups)))


def runs_in(folder: Path) -> set[str] | None:
    """The runs of the comparison in the folder; empty where it holds another report, None where it holds none."""
    if not ((folder / PAGE).exists() or (folder / FACTS).exists()):
        return None
    try:
        known = json.loads((folder / FACTS).read_text("utf-8"))["groups"]
        return {path for group in known for path in group["runs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def runs_of(groups: Sequence[Group]) -> set[str]:
    """As `runs_in` has them."""
    return {record.path.as_posix() for group in groups for record in group.records}


def metrics_in_common(groups: Sequence[Group]) -> tuple[list[str], list[str]]:
    """The metrics that every run has, and sentences about those that some lack.

    Raises `UserError` where the protocols are unlike.
    """
    records = [record for group in groups for record in group.records]
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    if not names:
        return [], [NO_METRIC]
    refuse_unlike(
        (record.path.as_posix(), score)
        for record in records
        for each in record.metrics.values()
        for score in each.scores
    )
    notes = []
    for name in names:
        if without := [record.path.as_posix() for record in records if name not in record.metrics]:
            notes.append(f"{name} is left out: {', '.join(without)} has none (--train.evaluate-every measures it)")
    found = [name for name in names if all(name in record.metrics for record in records)]
    return found, notes + [note for name in found for note in about_moments(groups, name)]


def about_moments(groups: Sequence[Group], metric: str) -> list[str]:
    """Sentences about which of the moments count, where it is not all of them."""
    every = [each for group in groups for each in group.measured(metric)]
    num, most = len(at_the_same_moments(every)[0].kimg), max(len(each.kimg) for each in every)
    notes = []
    if not num:
        notes.append(
            f"{metric} was never measured at the same moment in all runs, so there is no best to compare: train all"
            " with the same --train.evaluate-every"
        )
    elif any(len(each.kimg) != num for each in every):
        notes.append(
            f"The best {metric} is that of the {num} moment{'s' if num > 1 else ''} at which all runs were measured;"
            f" some run has {most}."
        )
    for group in groups:
        if not len(group.curve(metric)[0]):
            notes.append(f"{metric} of {group.label} has no mean over seeds: its runs were never measured together")
    return notes


def rows_of(groups: Sequence[Group], metric: str, quality: float | None = None) -> list[Row]:
    """What each group has of the metric."""
    sign = groups[0].measured(metric)[0].sign
    together = iter(at_the_same_moments([each for group in groups for each in group.measured(metric)]))
    common = [[next(together) for _ in group.records] for group in groups]
    known = bool(common[0][0].scores)
    if quality is None and known:
        means = [np.mean([each.values for each in own], axis=0) for own in common]
        quality = sign * max(float((sign * mean).min()) for mean in means)
    rows = []
    for group, own in zip(groups, common, strict=True):
        found = group.measured(metric)
        bests = [(float(each.values[each.best]), float(each.kimg[each.best])) for each in own] if known else []
        rows.append(
            Row(
                metric,
                found[0].scores[0].better,
                group.label,
                group.seeds,
                Summary.of([float(each.values[-1]) for each in found]),
                Summary.of([value for value, _ in bests]) if known else None,
                [kimg for _, kimg in bests],
                to_quality(group, metric, quality),
            )
        )
    return rows


def to_quality(group: Group, metric: str, quality: float | None) -> ToQuality:
    """How long the group took to be so good."""
    found = group.measured(metric)
    if quality is None:
        nothing = dict.fromkeys(group.seeds)
        return ToQuality(None, None, None, nothing, dict(nothing))
    kimg, values = group.curve(metric)
    good = np.flatnonzero(found[0].sign * values.mean(0) <= found[0].sign * quality)
    at = float(kimg[good[0]]) if len(good) else None
    each = {record.seed: own.reached(quality) for record, own in zip(group.records, found, strict=True)}
    took = {r.seed: None if (own := each[r.seed]) is None else r.seconds_at(own) for r in group.records}
    mean_seconds = None if at is None else float(np.mean([record.seconds_at(at) for record in group.records]))
    return ToQuality(quality, at, mean_seconds, each, took)


def tests_of(rows: Sequence[Row], metric: str) -> list[Test]:
    """Every two groups, at their best and at the end, over the seeds that both have."""
    tests = []
    for first, second in combinations([row for row in rows if row.metric == metric], 2):
        for of in ("best", "final"):
            if getattr(first, of) is None:
                continue
            values = [dict(zip(row.seeds, getattr(row, of).values, strict=True)) for row in (first, second)]
            if found := paired(*values):
                tests.append(Test(metric, of, first.better, (first.group, second.group), found))
    return tests
