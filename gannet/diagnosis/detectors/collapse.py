"""Samples that become few: as the looks at them show it, or, where there are none, the losses.

What jumps the other way, D's loss up and G's down, is a G that has caught up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gannet.diagnosis.detectors.looked import FEWEST, SETTLED, known, lasting_looks, smoothed
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, Series, lasting, look, moments

WARM_UP = 0.1  # of the run: losses jump while both players find their level
LEFT = 1.0  # widths, of each loss: a learning run drifts, and leaves the width of its noise only slowly
FEW = 0.1  # of the diversity of reals,
ALIKE = 0.5  # of the samples nearer to another one than reals ever are: the two together are a collapse
GROWN = 1.2  # times the diversity of a third of the time ago: a run that is under way
FALLEN = 0.5  # of the best diversity that the run had
HAD = 0.1  # of the diversity of reals: less is that of a G that has just begun
BACK = 0.5  # widths: what counts as back where it was


KINDS = "how many different samples there are, in times of as many reals"


def mode_collapse(log: Log) -> Sign | None:
    """Few different samples, or fewer than there were; without looks at them, what the losses show of it."""
    found = few_kinds(log) or fewer(log) if known(log, "diversity") is not None else jumped(log)
    return found or forgotten(log)


def forgotten(log: Log) -> Sign | None:
    """The recall has been below half of its best at the last three evaluations, which are rare and of many samples."""
    recall = known(log, "recall", 2 * FEWEST)
    if recall is None:
        return None
    best = np.maximum.accumulate(recall.values)
    low = (best > HAD) & (recall.values < FALLEN * best)
    if not low[-FEWEST:].all():
        return None
    since = float(recall.at[int(np.flatnonzero(~low).max(initial=-1)) + 1])
    about = "the part of reals that lie among samples (recall)"
    evidence = Evidence("recall", float(recall.values[-1]), FALLEN * float(best[-1]), about)
    return Sign(since, None, 0.85, [evidence], hurts=True)


def few_kinds(log: Log) -> Sign | None:
    """Samples are alike, many of them more so than any two reals, and grow no more diverse."""
    diversity, duplicates = known(log, "diversity"), known(log, "duplicates")
    if diversity is None or duplicates is None or len(diversity) != len(duplicates):
        return None
    at, values = diversity.at, diversity.values
    grown = values > GROWN * np.interp(at * 2 / 3, at, values)
    alike = (values < FEW) & (duplicates.values > ALIKE) & (at >= SETTLED * log.whole)
    since = lasting_looks(log, at, alike & ~grown)
    if since is None:
        return None
    kinds = Evidence("diversity", float(values[-1]), FEW, KINDS)
    about = "of the samples, the part nearer to another one than any two reals are"
    return Sign(since, None, 0.85, [kinds, Evidence("duplicates", float(duplicates.values[-1]), ALIKE, about)])


def fewer(log: Log) -> Sign | None:
    """Samples are half as diverse as they were, and stay so."""
    series = known(log, "diversity")
    if series is None:
        return None
    smooth = smoothed(series.values, 3)
    best = np.maximum.accumulate(np.where(np.arange(len(smooth)) < 2, 0.0, smooth))
    since = lasting_looks(log, series.at, (best > HAD) & (series.values < FALLEN * best))
    if since is None:
        return None
    return Sign(
        since, None, 0.8, [Evidence("diversity", float(series.values[-1]), FALLEN * best[-1], KINDS)], hurts=True
    )


def jumped(log: Log) -> Sign | None:
    """D's loss falls and G's rises out of the width and the trend that they had, in a sixth of the time, and stays.

    So G's samples became others at once. That they became fewer is likely, and the losses cannot say it.
    """
    losses = log.get("loss D", "loss G")
    if losses is None:
        return None
    times = moments(log)
    for time in times[times > WARM_UP * log.whole]:
        before = [one for series in losses if (one := Before.of(series, time)) is not None]
        if len(before) < len(losses):
            continue
        moved = away(losses, before, time)
        if moved <= LEFT:
            continue
        later = times[times >= time]
        held = lasting(later, np.array([away(losses, before, t) > BACK for t in later]))
        if held is not None:
            evidence = Evidence("loss D, loss G", moved, LEFT, "widths that both losses have moved at once")
            return Sign(float(time), held[2], 0.6, [evidence], hurts=True)
    return None


@dataclass(frozen=True)
class Before:
    """Where a loss was from the half to four fifths of a time, where it is expected from its trend, and its width."""

    level: float
    expected: float
    width: float

    @classmethod
    def of(cls, series: Series, time: float) -> "Before | None":
        whole, first, second = (
            look(series.between(a * time, b * time)) for a, b in ((0.5, 0.8), (0.5, 0.65), (0.65, 0.8))
        )
        if whole is None or first is None or second is None or whole.spread <= 0:
            return None
        trend = (second.middle - first.middle) / 0.15  # each window by its centre: 0.575, 0.725, and now 0.925
        return cls(second.middle, second.middle + 0.2 * trend, whole.spread)

    def above(self, value: float) -> float:
        """How many widths a value is above both; negative where it is below both, and 0 between them."""
        low, high = sorted((self.level, self.expected))
        return (max(0.0, value - high) + min(0.0, value - low)) / self.width


def away(losses: Sequence[Series], before: Sequence[Before], time: float) -> float:
    """How many widths D's loss has fallen and G's has risen: the geometric mean of the two."""
    now = [look(series.between(0.85 * time, time)) for series in losses]
    moved = [then.above(one.middle) for then, one in zip(before, now, strict=True) if one]
    return float(np.sqrt(max(0.0, -moved[0]) * max(0.0, moved[1]))) if len(moved) == 2 else 0.0
