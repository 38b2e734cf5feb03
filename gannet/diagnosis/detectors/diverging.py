"""Losses or gradients that are no numbers any more, or are on their way there."""

import numpy as np

from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import GROWTH, Log, Series, look, moments

NUMBERS = ("loss D", "loss G", "grad norm D", "grad norm G")
RARE = 0.002  # of the lines: loss scaling in float16 skips as many steps, and they are none the worse for it
EXPLODED = 100.0  # times what it had been: a run that merely changes its pace stays within a few


def diverging(log: Log) -> Sign | None:
    """Not finite, or gradients a hundred times as large as they had been."""
    return not_finite(log) or exploding(log)


def not_finite(log: Log) -> Sign | None:
    """Since the first loss or gradient norm that was not finite; over where later ones are, for long enough.

    One alone in many is no sign: a step that is not finite is left out, and those after it are sound.
    """
    found = [
        (float(s.broken[0]), name, s)
        for name in NUMBERS
        if (s := log.series.get(name)) is not None and len(s.broken) > alone(s)
    ]
    if not found:
        return None
    since, name, series = min(found, key=lambda one: one[0])
    last = max(float(s.broken[-1]) for _, _, s in found)
    over = last <= log.end / GROWTH**3
    evidence = Evidence(name, len(series.broken), 1, f"lines in which {name} is not a finite number")
    return Sign(since, last if over else None, 1.0, [evidence], hurts=not over)


def alone(series: Series) -> int:
    """How many lines that are not finite count for nothing: some in a thousand, where sound ones follow them."""
    if not len(series) or not len(series.broken) or series.broken[-1] >= series.at[-1]:
        return 0
    return max(1, round(RARE * len(series)))


def exploding(log: Log) -> Sign | None:
    """A gradient norm whose middle is far above that of the first half of the time before."""
    times = moments(log)
    for name in ("grad norm D", "grad norm G"):
        for series in log.get(name) or ():
            halves = [(look(series.between(t / GROWTH**3, t)), look(series.between(0, t / 2))) for t in times]
            ratios = np.array([a.middle / b.middle if a and b and b.middle > 0 else 0.0 for a, b in halves])
            calm = np.flatnonzero(ratios <= EXPLODED)
            if len(calm) and calm[-1] < len(times) - 1:
                since = float(times[calm[-1] + 1])
                evidence = Evidence(name, float(ratios[-1]), EXPLODED, f"{name}, in times of what it had been")
                return Sign(since, None, 0.9, [evidence], hurts=True)
    return None
