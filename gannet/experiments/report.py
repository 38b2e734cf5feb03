"""A comparison in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gannet.display import duration
from gannet.experiments.records import Record, said
from gannet.experiments.statistics import Summary
from gannet.plan import short
from gannet.tables import Section

if TYPE_CHECKING:
    from gannet.experiments.compare import Comparison, Row, Test

STATES = {"running": "still running", "stopped": "stopped"}


def value(number: float | None) -> str:
    """A number with four digits; a dash for none."""
    return "-" if number is None else f"{number:.4g}"


def spread(summary: Summary | None) -> list[str]:
    """Mean, standard deviation and interval, a cell each; dashes for none."""
    if summary is None:
        return ["-", "-", "-"]
    interval = "-" if summary.low is None else f"{value(summary.low)} to {value(summary.high)}"
    return [value(summary.mean), value(summary.std), interval]


def sections(found: Comparison) -> Iterator[Section]:
    """The whole report."""
    yield runs(found)
    if found.differences:
        rows = [[name, *(said(each) for each in values)] for name, values in found.differences.items()]
        yield Section("What differs", ["setting", *(group.label for group in found.groups)], rows)
    elif len(found.groups) == 1 and len(found.groups[0].records) > 1:
        yield Section(lines=["All runs have the same settings, and differ in their seed alone."])
    for metric in dict.fromkeys(row.metric for row in found.rows):
        rows = [row for row in found.rows if row.metric == metric]
        yield measured(rows)
        if rows[0].to_quality.quality is not None:
            yield reached(rows)
        if tests := [test for test in found.tests if test.metric == metric]:
            yield tested(tests)
    lines = list(found.notes)
    if found.rows and not found.has_seeds:
        lines.append("Each group is one run: how much of a difference is luck, several seeds tell (--seeds 3).")
    if found.pictures:
        lines.append(f"Pictures: {', '.join(path.as_posix() for path in found.pictures)}")
    yield Section(lines=lines)


def runs(found: Comparison) -> Section:
    """Which runs are in which group, how long they are, and how long they took."""
    rows = []
    for group in found.groups:
        seconds = Summary.of([record.seconds for record in group.records])
        measuring = Summary.of([record.evaluation_seconds for record in group.records])
        lengths = dict.fromkeys(length(record) for record in group.records)
        place = [record.path.as_posix() for record in group.records]
        times = [duration(seconds.mean), duration(measuring.mean) if measuring.mean else "-"]
        rows.append(
            [group.label, listed(group.seeds), ", ".join(lengths), *times, place[0] + (", ..." if place[1:] else "")]
        )
    header = ["group", "which seeds", "kimg", "training of a run", "and measuring it", "runs"]
    return Section("Comparison", *without_dashes(header, rows))


def listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def without_dashes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns in which no row has anything."""
    kept = [i for i in range(len(header)) if any(row[i] != "-" for row in rows)]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def length(record: Record) -> str:
    """How long a run is, and of what, where it has not come to its end."""
    if record.state == "finished":
        return short(record.kimg)
    return f"{short(record.kimg)} of {short(record.total_kimg)}, {STATES[record.state]}"


def measured(rows: Sequence[Row]) -> Section:
    """Final and best value of each group."""
    mean = ", mean" if any(len(row.seeds) > 1 for row in rows) else ""
    header = ["group", f"final{mean}", "sd", "95% interval", f"best{mean}", "sd", "95% interval", "best at kimg"]
    cells = [
        [row.group, *spread(row.final), *spread(row.best), ", ".join(map(short, row.best_kimg)) or "-"] for row in rows
    ]
    return Section(f"{rows[0].metric} ({rows[0].better} is better)", *without_dashes(header, cells))


def reached(rows: Sequence[Row]) -> Section:
    """Time to the quality."""
    cells = []
    for row in rows:
        found = row.to_quality
        when = ["never", "never"]
        if found.kimg is not None and found.seconds is not None:
            when = [short(found.kimg), duration(found.seconds)]
        num = sum(kimg is not None for kimg in found.kimg_of_runs.values())
        cells.append([row.group, *when, f"{num} of {len(row.seeds)}"])
    quality = value(rows[0].to_quality.quality)
    header = ["group", f"kimg to a mean of {quality}", f"training to a mean of {quality}", "runs that reach it"]
    return Section("", header, cells)


def tested(tests: Sequence[Test]) -> Section:
    """The paired tests, and what they cannot say."""
    cells = []
    for test in tests:
        found = test.paired
        names = f"{test.groups[0]} minus {test.groups[1]}"
        cells.append(
            [
                names,
                test.of,
                listed(found.seeds),
                *spread(found.difference),
                f"{found.p:.3g} (at least {found.smallest_p:.3g})",
            ]
        )
    header = ["paired over seeds", "at", "which seeds", "mean", "sd", "95% t-interval", "p, sign flips"]
    return Section("", *without_dashes(header, cells), [caution(tests)])


def caution(tests: Sequence[Test]) -> str:
    """What these tests cannot say."""
    fewest = min((test.paired for test in tests), key=lambda each: len(each.seeds))
    num, least = len(fewest.seeds), fewest.smallest_p
    text = f"With {num} common seed{'s' if num > 1 else ''} the exact test cannot go under p = {least:.3g}"
    text += "; six can reach 0.05." if least > 0.05 else "."
    if len(tests) > 2:
        text += f" Of {len(tests)} tests one in twenty falls under 0.05 by chance alone."
    return text
