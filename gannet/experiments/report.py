"""A comparison in words and tables: Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gannet.experiments.records import said
from gannet.experiments.statistics import Summary
from gannet.plan import duration, short
from gannet.tables import table

if TYPE_CHECKING:
    from gannet.experiments.compare import Comparison, Row, Test


def value(number: float | None) -> str:
    """A number with four digits; a dash for none."""
    return "-" if number is None else f"{number:.4g}"


def spread(summary: Summary | None) -> list[str]:
    """Mean, standard deviation and interval, a cell each; dashes for none."""
    if summary is None:
        return ["-", "-", "-"]
    interval = "-" if summary.low is None else f"{value(summary.low)} to {value(summary.high)}"
    return [value(summary.mean), value(summary.std), interval]


def markdown(found: Comparison) -> str:
    """The whole report."""
    parts = ["# Comparison", runs(found)]
    if found.differences:
        rows = [[name, *(said(each) for each in values)] for name, values in found.differences.items()]
        parts += ["What differs:", table(["setting", *(group.label for group in found.groups)], rows)]
    elif len(found.groups) == 1:
        parts.append("All runs have the same settings, and differ in their seed alone.")
    for metric in dict.fromkeys(row.metric for row in found.rows):
        rows = [row for row in found.rows if row.metric == metric]
        parts += [f"## {metric} ({rows[0].better} is better)", measured(rows)]
        if rows[0].to_quality.quality is not None:
            parts.append(reached(rows))
        if tests := [test for test in found.tests if test.metric == metric]:
            parts += [tested(tests), caution(tests)]
    if found.rows and not found.has_seeds:
        parts.append("Each group is one run: how much of a difference is luck, several seeds tell (--seeds 3).")
    parts += found.notes
    if found.pictures:
        parts.append(f"Pictures: {', '.join(path.as_posix() for path in found.pictures)}")
    return "\n\n".join(parts)


def runs(found: Comparison) -> str:
    """Which runs are in which group, how long they are, and how long they took."""
    rows = []
    for group in found.groups:
        kimg = [record.kimg for record in group.records]
        seconds = Summary.of([record.seconds for record in group.records])
        measuring = Summary.of([record.evaluation_seconds for record in group.records])
        length = short(kimg[0]) if min(kimg) == max(kimg) else f"{short(min(kimg))} to {short(max(kimg))}"
        place = [record.path.as_posix() for record in group.records]
        seeds = ", ".join(map(str, group.seeds))
        times = [duration(seconds.mean), duration(measuring.mean) if measuring.mean else "-"]
        rows.append([group.label, seeds, length, *times, place[0] + (", ..." if place[1:] else "")])
    return table(["group", "seeds", "kimg", "training of a run", "and measuring it", "runs"], rows)


def measured(rows: Sequence[Row]) -> str:
    """Final and best value of each group."""
    header = ["group", "final, mean", "sd", "95% interval", "best, mean", "sd", "95% interval", "best at kimg"]
    cells = [
        [row.group, *spread(row.final), *spread(row.best), ", ".join(map(short, row.best_kimg)) or "-"] for row in rows
    ]
    return table(header, cells)


def reached(rows: Sequence[Row]) -> str:
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
    return table(["group", f"kimg to a mean of {quality}", f"time to a mean of {quality}", "runs that reach it"], cells)


def tested(tests: Sequence[Test]) -> str:
    """The paired tests."""
    cells = []
    for test in tests:
        found = test.paired
        seeds = ", ".join(map(str, found.seeds))
        names = f"{test.groups[0]} minus {test.groups[1]}"
        cells.append(
            [names, test.of, seeds, *spread(found.difference), f"{found.p:.3g} (at least {found.smallest_p:.3g})"]
        )
    return table(["paired over seeds", "at", "seeds", "mean", "sd", "95% t-interval", "p, sign flips"], cells)


def caution(tests: Sequence[Test]) -> str:
    """What these tests cannot say."""
    fewest = min((test.paired for test in tests), key=lambda each: len(each.seeds))
    num, least = len(fewest.seeds), fewest.smallest_p
    text = f"With {num} common seed{'s' if num > 1 else ''} the exact test cannot go under p = {least:.3g}"
    text += "; six can reach 0.05." if least > 0.05 else "."
    if len(tests) > 2:
        text += f" Of {len(tests)} tests one in twenty falls under 0.05 by chance alone."
    return text
