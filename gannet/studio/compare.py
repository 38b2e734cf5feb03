"""Runs side by side for the page: curves, images of the same noise, and the numbers of `gannet compare`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gannet.errors import UserError
from gannet.experiments.compare import Comparison, metrics_in_common, rows_of, tests_of
from gannet.experiments.pictures import CURVES, NUM_IMAGES, SEED
from gannet.experiments.records import Group, differences, grouped, read_run
from gannet.images import grid, png
from gannet.studio.play import Player, data_url
from gannet.studio.runs import STATS, best_metric
from gannet.studio.security import Refused

MOST_RUNS = 12
MOST_BYTES = 2**26  # of statistics that are read whole for the table
POINTS = 500
PRECISION = "train.precision"


@dataclass(frozen=True)
class Comparer:
    """Compares runs of the studio."""

    player: Player

    def compared(self, names: Sequence[str], statistics: Sequence[str]) -> dict[str, Any]:
        """Curves, grids and table of the runs `names`; of what one of them lacks a note says why."""
        if not 1 <= len(names) <= MOST_RUNS:
            raise UserError(f"{len(names)} runs were named, and 1 to {MOST_RUNS} can be compared")
        names = list(dict.fromkeys(names))
        notes: list[str] = []
        known = [self.run(name, statistics, notes) for name in names]
        table: dict[str, Any] | None = None
        try:
            table = self.table(names)
        except UserError as error:
            notes.append(f"no table: {self.by_name(str(error), names)}")
        return {"names": names, "runs": known, "table": table, "notes": notes}

    def run(self, name: str, statistics: Sequence[str], notes: list[str]) -> dict[str, Any]:
        """What is shown of one run; what is missing goes to the notes."""
        runs = self.player.runs
        run = runs.find(name)
        tail = runs.tail(run)
        tail.open()
        picture = None
        try:
            G = self.player.generator(run)
            picture = data_url(png(grid(G.to_uint8(G.sample(NUM_IMAGES, SEED)), NUM_IMAGES)))
        except UserError as error:
            notes.append(f"no images of {name}: {error}")
        wanted = [each for each in statistics or CURVES if each in tail.names]
        last = tail.last
        return {
            "name": name,
            "curves": tail.curves(wanted, points=POINTS).to_dict(),
            "grid": picture,
            "kimg": last.get("kimg"),
            "seconds": last.get("seconds"),
            "metric": best_metric(runs, run),
            "metrics": [line for _, line in tail.others if line["type"] == "metric"],
        }

    def table(self, names: Sequence[str]) -> dict[str, Any]:
        """As `gannet compare --json` prints it, without pictures. Raises `UserError` where runs cannot be compared."""
        runs = self.player.runs
        for name in names:
            if runs.file(runs.find(name), STATS).stat().st_size > MOST_BYTES:
                raise Refused(f"{name} is long: gannet compare reads it whole")
        try:
            groups = grouped([read_run(runs.find(name)) for name in names])
            metrics, notes = metrics_in_common(groups)
            rows = [row for metric in metrics for row in rows_of(groups, metric)]
            tests = [test for metric in metrics for test in tests_of(rows, metric)]
        except (KeyError, TypeError, ValueError) as error:  # lines that no run of ours has written
            raise UserError(f"the statistics of these runs cannot be understood: {error}") from error
        notes += notes_of_precision(groups)
        different = differences([group.records[0].settings for group in groups])
        found = Comparison(tuple(groups), different, tuple(rows), tuple(tests), tuple(notes), ()).to_dict()
        by_path = {runs.find(name).as_posix(): name for name in names}
        for group in found["groups"]:
            group["runs"] = [by_path[path] for path in group["runs"]]
        found["notes"] = [self.by_name(note, names) for note in found["notes"]]
        return json.loads(json.dumps(found, default=str))

    def by_name(self, line: str, names: Sequence[str]) -> str:
        """A line with the runs' names in the place of their paths."""
        for name in names:
            line = line.replace(self.player.runs.find(name).as_posix(), name)
        return line


def notes_of_precision(groups: Sequence[Group]) -> list[str]:
    """A line for groups that are one recipe but for the precision: `auto` measures it, and may choose otherwise."""
    together: dict[str, list[Group]] = {}
    for group in groups:
        settings = {name: value for name, value in group.records[0].settings.items() if name != PRECISION}
        together.setdefault(json.dumps(settings, sort_keys=True), []).append(group)
    return [
        " and ".join(
            f"{', '.join(record.path.as_posix() for record in group.records)} ({group.records[0].settings[PRECISION]})"
            for group in alike
        )
        + f" differ in {PRECISION} alone, which auto chooses by what is faster when a run starts: they count as one"
        f" recipe where it is given, as in --{PRECISION} float32"
        for alike in together.values()
        if len(alike) > 1
    ]
