"""Which runs failed, and when: `gannet diagnose` on logs of known outcome.

    uv run python benchmarks/diagnosis_logs.py FOLDER [--perturb] [--vary]

FOLDER holds CSV files with the columns `step, d_loss, g_loss, fid`, the last one on evaluation steps only. A run
failed where its last FID is over 1.5 times its best; one whose best is over 150 never worked and counts for neither
side. Each log is diagnosed twice: from its two losses alone, and with the FID. Of the losses alone an alarm on a run
that failed counts only in time: from the step of the best FID to twice the step where FID first passed 1.5 times its
best, the last step at most. `--perturb` repeats it with the losses changed in ways that change no outcome, and with the
first part of each log, `--vary` with every threshold a quarter lower and higher.
"""

import argparse
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gannet.diagnosis import Log, Series, diagnose, open_log

FAILED, NEVER = 1.5, 150.0
LOSSES = ("loss D", "loss G")
SHARES = (0.3, 0.5, 0.7, 0.85)  # of each log, after which it is judged by what was known then
THRESHOLDS = [
    *(("lead", name) for name in ("SKEW", "SILENCE", "PATIENCE")),
    *(("oscillation", name) for name in ("GROWN", "PEAK")),
    *(("collapse", name) for name in ("LEFT", "BACK")),
    ("asleep", "STILL"),
]


@dataclass(frozen=True)
class Outcome:
    """What became of a run, by its FID: the step of the best, and for a failed one the last step for an alarm."""

    best: float
    spacing: float
    failed: bool
    counts: bool
    latest: float

    @classmethod
    def of(cls, fid: Series) -> "Outcome":
        place = int(fid.values.argmin())
        lowest, best = float(fid.values[place]), float(fid.at[place])
        passed = fid.at[(fid.at > best) & (fid.values > FAILED * lowest)]
        latest = min(2 * float(passed[0]), float(fid.at[-1])) if len(passed) else best
        spacing = float(np.median(np.diff(fid.at)))
        return cls(best, spacing, float(fid.values[-1]) > FAILED * lowest, lowest <= NEVER, latest)


@dataclass
class Score:
    """Runs that failed and were found in time, that failed otherwise, and that were fine with an alarm."""

    found: int = 0
    missed: int = 0
    false: int = 0

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)

    def __str__(self) -> str:
        return f"{self.found} found in time, {self.missed} not, {self.false} false alarms: F1 {self.f1:.3f}"


def logs_in(folder: Path) -> dict[str, Log]:
    """Those with an FID, by the names of their files."""
    logs = {path.stem: open_log(path) for path in sorted(folder.glob("*.csv"))}
    return {name: log for name, log in logs.items() if "fid" in log.series}


def alarm(log: Log) -> tuple[float, str] | None:
    """Since when something is wrong, and what: the leading finding of a run that is failing or failed."""
    diagnosis = diagnose(log)
    if diagnosis.verdict not in ("failing", "failed"):
        return None
    return diagnosis.findings[0].sign.since, diagnosis.findings[0].finding


def judged(score: Score, outcome: Outcome, raised: tuple[float, str] | None) -> str:
    """Counts one run, and says how it was."""
    if not outcome.counts:
        return "never worked"
    if outcome.failed:
        in_time = raised is not None and outcome.best <= raised[0] <= outcome.latest
        score.found, score.missed = score.found + in_time, score.missed + (not in_time)
        return "found in time" if in_time else "MISSED" if raised is None else "NOT IN TIME"
    score.false += raised is not None
    return "fine" if raised is None else "FALSE ALARM"


def from_losses(logs: dict[str, Log], change: Callable[[Log], Log] = lambda log: log, tell: bool = False) -> Score:
    """Of the two losses alone."""
    score = Score()
    for name, log in logs.items():
        outcome = Outcome.of(log.series["fid"])
        raised = alarm(change(Log({loss: log.series[loss] for loss in LOSSES}, log.unit)))
        said = judged(score, outcome, raised)
        if tell:
            window = f"{outcome.best:.0f} to {outcome.latest:.0f}" if outcome.failed else ""
            print(f"| {name} | {window} | {'' if raised is None else f'{raised[1]}, {raised[0]:.0f}'} | {said} |")
    return score


def with_fid(logs: dict[str, Log]) -> tuple[Score, float]:
    """Of all columns: failures found and false alarms, and how many evaluations the step of the best is off at most."""
    score, far = Score(), 0.0
    for log in logs.values():
        outcome, diagnosis = Outcome.of(log.series["fid"]), diagnose(log)
        worse = [finding for finding in diagnosis.findings if finding.finding == "past-best"]
        raised = diagnosis.verdict in ("failing", "failed")
        if outcome.counts:
            score.found += outcome.failed and diagnosis.verdict == "failed"
            score.missed += outcome.failed and diagnosis.verdict != "failed"
            score.false += raised and not outcome.failed
            far = max([far, *(abs(finding.sign.since - outcome.best) / outcome.spacing for finding in worse)])
    return score, far


def thinned(log: Log) -> Log:
    return changed(log, lambda s: Series(s.at[9::10], s.values[9::10]))


def changed(log: Log, change: Callable[[Series], Series]) -> Log:
    return Log({name: change(series) for name, series in log.series.items()}, log.unit)


def noisy(log: Log) -> Log:
    """A class term in both losses: a constant of 5 that wavers by a tenth of each loss's own width."""
    random = np.random.Generator(np.random.Philox(0))

    def add(s: Series) -> Series:
        width = float(np.subtract(*np.quantile(s.values, (0.9, 0.1))))
        return Series(s.at, s.values + 5 + random.normal(0, 0.1 * width, len(s)))

    return changed(log, add)


def learnt(start: float) -> Callable[[Log], Log]:
    """With a class loss that is learnt meanwhile, without noise."""
    return lambda log: changed(log, lambda s: Series(s.at, s.values + start * np.exp(-3 * s.at / s.at[-1])))


def cut(log: Log, share: float) -> Log:
    """What was known after a share of the run, of the metric too."""
    return Log({name: series.until(share * log.end) for name, series in log.series.items()}, log.unit)


PERTURBATIONS: dict[str, Callable[[Log], Log]] = {
    "both losses times 1000": lambda log: changed(log, lambda s: Series(s.at, 1000 * s.values)),
    "both losses times 0.001": lambda log: changed(log, lambda s: Series(s.at, 0.001 * s.values)),
    "5 added to both losses": lambda log: changed(log, lambda s: Series(s.at, s.values + 5)),
    "a class term of 5 that wavers": noisy,
    "a class term that falls from 2.3 to 0.1": learnt(2.3),
    "a class term that falls from 10 to 0.5": learnt(10.0),
    "every second line": lambda log: changed(log, lambda s: Series(s.at[1::2], s.values[1::2])),
    "every fourth line": lambda log: changed(log, lambda s: Series(s.at[3::4], s.values[3::4])),
    "every tenth line": thinned,
    "means of ten lines": lambda log: changed(log, means),
    "the first 5% missing": lambda log: changed(log, lambda s: Series(*(v[len(s) // 20 :] for v in (s.at, s.values)))),
    "G's loss times 10": lambda log: Log(
        {"loss D": log.series["loss D"], "loss G": Series(log.series["loss G"].at, 10 * log.series["loss G"].values)}
    ),
}


def means(s: Series) -> Series:
    count = len(s) // 10
    return Series(s.at[9 : 10 * count : 10], s.values[: 10 * count].reshape(-1, 10).mean(1))


def varied(logs: dict[str, Log]) -> Iterator[tuple[str, Score]]:
    """The scores with each threshold a quarter lower and higher."""
    for place, name in THRESHOLDS:
        module = importlib.import_module(f"gannet.diagnosis.detectors.{place}")
        before = getattr(module, name)
        for factor in (0.75, 1.25):
            setattr(module, name, before * factor)
            yield f"{name} {before * factor:.3g}", from_losses(logs)
        setattr(module, name, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--perturb", action="store_true")
    parser.add_argument("--vary", action="store_true")
    asked = parser.parse_args()
    logs = logs_in(asked.folder)
    print("| log | in time | alarm | |\n|---|---|---|---|")
    print(f"\nfrom the losses alone: {from_losses(logs, tell=True)}")
    score, far = with_fid(logs)
    print(f"with the FID: {score}; the step of the best is {far:g} evaluations off at most")
    if asked.perturb:
        for name, change in PERTURBATIONS.items():
            print(f"{name}: {from_losses(logs, change)}")
        for share in SHARES:
            known = {name: cut(log, share) for name, log in logs.items()}
            print(f"the first {share:.0%}: {from_losses(known)}")
    if asked.vary:
        for name, score in varied(logs):
            print(f"{name}: {score}")


if __name__ == "__main__":
    main()
