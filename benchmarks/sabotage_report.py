"""What the diagnosis says of the runs of sabotage.py, in tables, and how far mended ones are from their data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

import gannet
from gannet.config import overridden, read_recipe
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.diagnosis import Finding, diagnose, open_log
from gannet.errors import UserError
from gannet.evaluation.efficientnet import EfficientNetLite0
from gannet.evaluation.frechet import Gaussian, frechet_distance
from gannet.files import write_with
from gannet.training.changes import changes
from gannet.training.pictures import read_stats

NEAR = 1.25  # times as far from the data as a healthy run


@dataclass(frozen=True)
class Job:
    """One run: its name and seed, what it is given, and where it lies."""

    name: str
    seed: int
    words: tuple[str, ...]
    wrapper: str
    run: Path

    @property
    def ended(self) -> Path:
        """What is there once the run has ended."""
        return self.run / "ended.json"


@dataclass(frozen=True)
class Seen:
    """What is said of a run: its findings once it has ended, and those that arose meanwhile."""

    findings: Sequence[Finding]
    live: Sequence[str]

    @classmethod
    def of(cls, run: Path) -> "Seen":
        lines = read_stats(run / "stats.jsonl")
        arose = [line["finding"] for line in lines if line["type"] == "finding" and line["status"] == "arises"]
        try:
            found = diagnose(open_log(run)).findings
        except UserError as error:
            print(f"{run}: {error}")
            found = []
        return cls(found, list(dict.fromkeys(arose)))

    @property
    def names(self) -> list[str]:
        """Of the findings, the leading one first."""
        return [finding.finding for finding in self.findings]

    def is_right(self, right: Sequence[str], setting: str) -> bool:
        """Whether the finding that leads is among those; of a setting only where it is this one."""
        if not self.findings or self.names[0] not in right:
            return False
        return self.names[0] != "settings" or self.findings[0].sign.evidence[0].statistic == setting


@dataclass(frozen=True)
class Expected:
    """A run made to fail: the findings that are right, the setting that was put wrong, whether its data were."""

    job: Job
    right: Sequence[str]
    setting: str
    of_data: bool


def faults_told(expected: Sequence[Expected], references: Mapping[int, Job]) -> list[str]:
    """A row of each fault, and the shares in which a right finding leads: of all, and of those that did fail.

    A run has failed where its data were at fault, or where it ended `NEAR` times as far from them as the healthy one.
    """
    judge = Judge()
    healthy = {seed: judge(job) for seed, job in references.items()}
    rows, hits = [], {True: [], False: []}
    for one in expected:
        job, right = one.job, one.right
        ratio = None if one.of_data else judge(job) / healthy[job.seed]
        seen = Seen.of(job.run)
        is_right = seen.is_right(right, one.setting)
        hits[ratio is None or ratio > NEAR].append(is_right)
        distance = "its data" if ratio is None else f"{ratio:.2f}"
        leading, *others = seen.names or ["none"]
        since = f"{seen.findings[0].sign.since:.3g}" if seen.findings else ""
        verdict = "yes" if is_right else "**no**"
        told = ", ".join(right), leading, since, verdict, ", ".join(others), ", ".join(seen.live)
        rows.append((job.name, job.seed, distance, *told))
    head = "fault | seed | distance / healthy | right | leads | since, kimg | right? | others | arose while it trained"
    failed, borne = hits[True], hits[False]
    share = f"A right finding leads in {sum(failed)} of the {len(failed)} runs that failed"
    return [*table(head, rows), "", f"{share}, and in {sum(borne)} of the {len(borne)} that bore their fault."]


def healthy_told(jobs: Sequence[Job]) -> list[str]:
    """A row of each healthy run, and how many have a finding."""
    rows, alarms = [], 0
    for job in jobs:
        seen = Seen.of(job.run)
        alarms += bool(seen.findings or seen.live)
        rows.append((job.name, job.seed, ", ".join(seen.names) or "none", ", ".join(seen.live) or "none"))
    head = "healthy | seed | findings | arose while it trained"
    share = f"{alarms} of {len(rows)}: {alarms / len(rows):.0%}"
    return [*table(head, rows), "", f"A finding, at the end or before, in {share}."]


def table(head: str, rows: Sequence[tuple[object, ...]]) -> list[str]:
    """Markdown."""
    lines = [f"| {head} |", "|---" * (head.count("|") + 1) + "|"]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


class Judge:
    """Feature distances of runs to the reals that they were trained on."""

    NUM = 2000

    def __init__(self) -> None:
        self.extract = EfficientNetLite0(resize="bilinear")
        self.known: dict[str, Gaussian] = {}

    def __call__(self, job: Job) -> float:
        recipe, facts = read_recipe(job.run / "recipe.toml")
        source = job.words[0]
        if source not in self.known:
            settings = overridden(recipe, {"data.source": source}).data
            images = prepare(open_source(source, cache_folder()), settings, facts["channels"]).images
            order = np.random.Generator(np.random.Philox(0)).permutation(len(images))
            self.known[source] = Gaussian.of(self.extract(images[np.sort(order[: self.NUM])]).double())
        G = gannet.load(job.run)
        fake = G.to_uint8(G.sample(self.known[source].num, seed=1))
        return frechet_distance(self.known[source], Gaussian.of(self.extract(fake).double()))


def autopilot_told(jobs: Sequence[Job], references: Mapping[int, Job]) -> list[str]:
    """A row of each mended run: what was changed, and how far it is from the data beside the healthy run."""
    judge = Judge()
    healthy = {seed: judge(job) for seed, job in references.items()}
    rows, ratios = [], []
    for job in jobs:
        made = [f"`{line['change']}` from {line['kimg']:g}" for line in changes(read_stats(job.run / "stats.jsonl"))]
        distance = judge(job)
        ratios.append(distance / healthy[job.seed])
        numbers = f"{distance:.1f}", f"{healthy[job.seed]:.1f}", f"{ratios[-1]:.2f}"
        rows.append((job.name, job.seed, "; ".join(made) or "none", *numbers))
    near = sum(ratio <= NEAR for ratio in ratios)
    said = f"Within {NEAR} of the healthy run in {near} of {len(rows)}: {near / len(rows):.0%}"
    head = "fault | seed | changes, from which kimg on | distance | healthy | ratio"
    return [*table(head, rows), "", f"{said}; median {median(ratios):.2f}."]


def picture(job: Job, out: Path) -> None:
    """The curves, and the last grid beside them, small."""
    curves = Image.open(job.run / "curves.png").convert("RGB")
    curves.thumbnail((480, 400))
    grid = Image.open(sorted((job.run / "samples").glob("kimg*.png"))[-1]).convert("RGB")
    side = curves.height
    both = Image.new("RGB", (curves.width + side, side), "white")
    both.paste(curves, (0, 0))
    both.paste(grid.resize((side, side), Image.Resampling.NEAREST), (curves.width, 0))
    target = out / "pictures" / f"{job.run.name}.png"
    write_with(target, lambda file: both.quantize(64).save(file, "PNG", optimize=True), sync=False)
