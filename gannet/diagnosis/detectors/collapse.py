"""A collapse from one moment to the next, as the losses show it.

What jumps the other way, D's loss up and G's down, is a G that has caught up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, Series, lasting, look, moments

WARM_UP = 0.1  # of the run: losses jump while both players find their level
LEFT = 1.0  # widths, of each loss: a learning run drifts, and leaves the width of its noise only slowly
BACK = 0.5  # widths: what counts as back where it was


def mode_collapse(log: Log) -> Sign | None:
    """D's loss falls and G's rises out of the width and the trend that they had, in a sixth of the time, and stays.

    So G's samples became others at once. That they became fewer is likely, and the losses cannot say it.
    """
    known = log.get("loss D", "loss G")
    if known is None:
        return None
    times = moments(log)
    for time in times[times > WARM_UP * log.whole]:
        before = [one for series in known if (one := Before.of(series, time)) is not None]
        if len(before) < len(known):
            continue
        moved = away(known, before, time)
        if moved <= LEFT:
            continue
        later = times[times >= time]
        held = lasting(later, np.array([away(known, before, t) > BACK for t in later]))
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


def away(known: Sequence[Series], before: Sequence[Before], time: float) -> float:
    """How many widths D's loss has fallen and G's has risen: the geometric mean of the two."""
    now = [look(series.between(0.85 * time, time)) for series in known]
    moved = [then.above(one.middle) for then, one in zip(before, now, strict=True) if one]
    return float(np.sqrt(max(0.0, -moved[0]) * max(0.0, moved[1]))) if len(moved) == 2 else 0.0
