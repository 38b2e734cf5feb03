"""One run in the words of the page: its state, how far it is, what was found, where its pictures are."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from gannet.studio.findings import Findings, leading
from gannet.studio.jobs import Jobs
from gannet.studio.runs import RECIPE, SAMPLES, Runs, Settings, best_metric, file_url, is_at_end

JUST_BEGUN = 20.0  # seconds in which a run may be writing its first line


@dataclass(frozen=True)
class Summaries:
    """What the pages show of runs."""

    runs: Runs
    jobs: Jobs
    findings: Findings

    def all(self) -> list[dict[str, Any]]:
        """A row for each run, and for each training that has not begun one yet."""
        folders = self.runs.folders()
        rows = [self.row(name, run) for name, run in folders.items()]
        waiting = [name for name, job in self.jobs.known.items() if name not in folders]
        return [*rows, *(row for name in waiting if (row := self.not_begun(name)) is not None)]

    def row(self, name: str, run: Path) -> dict[str, Any]:
        """A run in short, from little of its files."""
        settings, glance = self.runs.settings(run), self.runs.glance(run)
        found = self.findings.at_hand(run)
        grids = self.runs.grids(run)
        return {
            "name": name,
            **self.standing(name, run, settings, glance, found),
            "recipe": settings.values.get("name"),
            "data": settings.values.get("data.source"),
            "resolution": settings.values.get("data.resolution"),
            "metric": best_metric(self.runs, run),
            "finding": leading(found),
            "grid": file_url(name, SAMPLES, grids[-1][1]) if grids else None,
            "spark": glance["spark"],
        }

    def standing(
        self, name: str, run: Path, settings: Settings, glance: Mapping[str, Any], found: Mapping[str, Any]
    ) -> dict[str, Any]:
        """State, kimg, seconds gone and left, and what is wrong."""
        last, total = glance["last"], self.runs.total_kimg(run)
        kimg = last.get("kimg", 0.0)
        job = self.jobs.known.get(name)
        live, at_end = self.jobs.is_busy(name, run), is_at_end(kimg, total)
        if live:
            state = "running" if last else "starting"
        elif at_end:
            state = "finished"
        else:
            state = "starting" if not last and began_lately(run) else "stopped"
        problem = settings.problem or (job.problem() if job and not live else None)
        if problem is None and state == "stopped" and not last:
            problem = "no line of statistics was written"
        if state == "running" and found["verdict"] in ("failing", "failed"):  # one that has ended is no crash by that
            state = "failing"
        going, speed = state in ("running", "failing"), glance["speed"]
        left = (total - kimg) / speed if going and total is not None and speed and kimg < total else None
        return {
            "state": state,
            "live": live,
            "at_end": at_end,
            "kimg": kimg,
            "total_kimg": total,
            "seconds": last.get("seconds"),
            "seconds_left": None if left is None else round(left, 1),
            "problem": problem,
        }

    def not_begun(self, name: str) -> dict[str, Any] | None:
        """A training that has written nothing: it starts, or said why it did not."""
        job = self.jobs.known[name]
        problem = job.problem()
        if not job.goes_on and problem is None:
            return None
        empty = dict.fromkeys(
            ("recipe", "data", "resolution", "total_kimg", "seconds", "seconds_left", "metric", "finding", "grid")
        )
        state = "starting" if job.goes_on else "failed"
        return {
            "name": name,
            "state": state,
            "live": job.goes_on,
            "at_end": False,
            "kimg": 0.0,
            **empty,
            "spark": [],
            "problem": problem,
        }

    def whole(self, name: str) -> dict[str, Any]:
        """A run in full. Raises `Refused` where there is none.

        `again` is the command that begins it anew, where the studio shows one run and so cannot start another.
        """
        if name in self.jobs.known and name not in self.runs.folders() and (row := self.not_begun(name)):
            return {**row, **NOTHING_YET}
        run = self.runs.find(name)
        settings, tail = self.runs.settings(run), self.runs.tail(run)
        tail.open()
        found = self.findings.of(run)
        others = [line for _, line in tail.others]
        pictures = [(kimg, file_url(name, SAMPLES, file)) for kimg, file in self.runs.grids(run)]
        has_real = self.runs.has(run, SAMPLES, "real.png")
        return {
            "name": name,
            **self.standing(name, run, settings, self.runs.glance(run), found),
            "recipe": {**settings.values},
            "facts": {**settings.facts},
            "recipe_toml": settings.text,
            "history": [line for line in others if line["type"] == "event"],
            "grids": [{"kimg": kimg, "url": url} for kimg, url in pictures],
            "real": file_url(name, SAMPLES, "real.png") if has_real else None,
            "statistics": tail.names,
            "metrics": [line for line in others if line["type"] == "metric"],
            "diagnosis": found,
            "again": f"gannet train --recipe {quote(str(run / RECIPE))}" if self.runs.is_one else None,
            "classes": settings.facts.get("classes", []),
            "has_generator": self.runs.has(run, "generator", "config.json"),
            "has_discriminator": self.runs.has(run, "discriminator", "config.json"),
            "tail": tail.end,
        }


NOTHING_YET: Mapping[str, Any] = {
    "recipe": {},
    "facts": {},
    "recipe_toml": "",
    "history": [],
    "grids": [],
    "real": None,
    "statistics": [],
    "metrics": [],
    "diagnosis": {"verdict": None, "findings": []},
    "again": None,
    "classes": [],
    "tail": 0,
    "has_generator": False,
    "has_discriminator": False,
}


def began_lately(run: Path) -> bool:
    with suppress(OSError):
        return time.time() - (run / RECIPE).stat().st_mtime < JUST_BEGUN
    return False
