"""A run as numbers over time, and the looks that detectors take at it.

Time is counted in the log's own unit (kimg or steps), and windows are parts of the time so far, so that a
verdict changes neither with the unit, nor with how often somebody has logged, nor with the scale of a loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

GROWTH = 1.05  # from one look to the next, in time
EARLIEST = 0.03  # of the run: the first look
WINDOW = 0.6  # a look goes back to this part of the time so far
FEWEST = 12  # values that say anything about a spread
MOST = 4000  # values that a look sorts; more make it no better
BRIDGED = 3  # looks: noise breaks a span so long
LEAST = GROWTH**6  # in time, a third: what holds for less may be chance, as windows overlap
PASSED = 2.0  # times as late
PIECES = 6  # of a window, by which a slow fall is told from a jump
AT_ONCE = 0.6  # of a fall in one step: a straight line has a fifth in each
HUGE = 1e100  # more than any float32 holds: its square would be no number
SHORT = 30  # lines; less is too short for any verdict


@dataclass(frozen=True)
class Series:
    """One statistic: finite values `[T]` at times `[T]` that grow, and the times at which it was not finite."""

    at: np.ndarray
    values: np.ndarray
    broken: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, at: np.ndarray, values: np.ndarray) -> "Series":
        """Sorts out what is not finite, or as good as that."""
        finite = np.abs(values) < HUGE
        return cls(at[finite], values[finite], at[~finite])

    def __len__(self) -> int:
        return len(self.values)

    def between(self, begin: float, end: float) -> np.ndarray:
        """The values after `begin`, up to `end`."""
        first, last = np.searchsorted(self.at, [begin, end], side="right")
        return self.values[first : last : max(1, (last - first) // MOST)]

    def until(self, end: float) -> "Series":
        """What was known at a time."""
        last = int(np.searchsorted(self.at, end, side="right"))
        return Series(self.at[:last], self.values[:last], self.broken[self.broken <= end])


@dataclass(frozen=True)
class Log:
    """What is known of a run: its statistics by Gannet's names, some or none of them.

    `length` is how long the run is to be, its last line where that is not known; `settings` are those of the
    recipe by their dotted names, where there is one; `weights` the places in the run's folder where weights are kept,
    and from when these are.
    """

    series: Mapping[str, Series]
    unit: str = "step"
    length: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """The time of the last line."""
        return max((float(at[-1]) for s in self.series.values() for at in (s.at, s.broken) if len(at)), default=0.0)

    @property
    def begin(self) -> float:
        """The time of the first line."""
        return min((float(at[0]) for s in self.series.values() for at in (s.at, s.broken) if len(at)), default=0.0)

    @property
    def whole(self) -> float:
        """How long the run is to be."""
        return max(self.length, self.end)

    def next_line(self, time: float) -> float:
        """The time of the first line that is not before a time; the time itself where there is none."""
        found = [
            at[i] for s in self.series.values() for at in (s.at, s.broken) if (i := at.searchsorted(time)) < len(at)
        ]
        return float(min(found, default=time))

    def get(self, *names: str) -> tuple[Series, ...] | None:
        """The series of these names; None unless all are there and long enough to say anything."""
        found = [self.series[name] for name in names if name in self.series]
        return tuple(found) if len(found) == len(names) and all(len(s) >= SHORT for s in found) else None


@dataclass(frozen=True)
class Look:
    """Where values lie: nine in ten of them above `low`, half above `middle`, one in ten above `high`."""

    low: float
    middle: float
    high: float

    @property
    def spread(self) -> float:
        """The width in which eight values of ten lie."""
        return self.high - self.low

    @property
    def skew(self) -> float:
        """From -1 to 1: 0 where the middle is half way, 1 where it touches `low` (Bowley's coefficient, of deciles)."""
        return (self.high + self.low - 2 * self.middle) / self.spread if self.spread > 0 else 0.0


def look(values: np.ndarray) -> Look | None:
    """None where there are too few values."""
    if len(values) < FEWEST:
        return None
    ordered, last = np.sort(values).tolist(), len(values) - 1
    return Look(*(between(ordered, last * share) for share in (0.1, 0.5, 0.9)))


def between(ordered: Sequence[float], place: float) -> float:
    """The value at a place that may lie between two of them: a tenth of the time that numpy's quantiles take."""
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (place - below)


def flattened(values: np.ndarray) -> np.ndarray:
    """Values without the slow fall that they have, at the level where it ends; others as they are.

    A class loss that is learnt falls so, and what is added to a loss says nothing of the game. The medians of
    `PIECES` parts must all fall, and none of the steps be most of it: a jump is no such fall. The fall is the parabola
    that fits these medians best.
    """
    if len(values) < PIECES * FEWEST:
        return values
    pieces = np.array_split(values, PIECES)
    middles = np.array([np.median(piece) for piece in pieces])
    steps, fall = np.diff(middles), middles[0] - middles[-1]
    if (steps > 0).any() or not -steps.min() <= AT_ONCE * fall or fall <= 0:
        return values
    numbers = np.arange(len(values))
    centres = [piece.mean() for piece in np.array_split(numbers, PIECES)]
    line = np.polyval(np.polyfit(centres, middles, 2), numbers)
    return values - line + line[-1]


def moments(log: Log) -> np.ndarray:
    """When detectors look, each time a twentieth later than the last: the end of the log is the last."""
    end = log.end
    if end <= 0:
        return np.zeros(0)
    count = int(np.log(1 / EARLIEST) / np.log(GROWTH)) + 1
    return end * GROWTH ** -np.arange(count - 1, -1, -1.0)


def looks(series: Series, times: np.ndarray) -> list[Look | None]:
    """A look at each time, back to `WINDOW` of it."""
    return [look(series.between(WINDOW * time, time)) for time in times]


def spans(times: np.ndarray, holds: np.ndarray) -> list[tuple[float, float]]:
    """When something held: from, to. Gaps up to `BRIDGED` looks are bridged, spans below a factor `LEAST` left out."""
    found: list[tuple[float, float]] = []
    for time in times[holds]:
        if found and time < found[-1][1] * GROWTH ** (BRIDGED + 0.5):
            found[-1] = (found[-1][0], float(time))
        else:
            found.append((float(time), float(time)))
    return [(begin, end) for begin, end in found if end >= begin * LEAST]


def lasting(times: np.ndarray, holds: np.ndarray) -> tuple[float, float, float | None] | None:
    """The last time for which something held: from, to, and to again, or None where that is the end of the log.

    What has passed counts only where it lasted until `PASSED` times as late.
    """
    for begin, end in spans(times, holds)[-1:]:
        if end >= times[-1] / GROWTH**1.5:
            return begin, end, None
        if end >= PASSED * begin:
            return begin, end, end
    return None


def last_change(series: Series) -> float:
    """The time before and after which the values differ most in rank (Page 1954's cumulative sums, on ranks)."""
    order = np.argsort(series.values, kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order)) - (len(order) - 1) / 2
    return float(series.at[np.abs(np.cumsum(ranks)).argmax()])


def roughness(series: Series, width: int = 41) -> Series:
    """How far each value is from the median of its neighbours."""
    thin = series if len(series) <= MOST else Series(*(x[:: len(series) // MOST] for x in (series.at, series.values)))
    padded = np.pad(thin.values, width // 2, mode="edge")
    return Series(thin.at, np.abs(thin.values - np.median(sliding_window_view(padded, width), axis=1)))


def pairs(times: np.ndarray, *series: Series) -> Iterator[tuple[float, tuple[Look, ...]]]:
    """The times at which there is a look at each of the series, and those looks."""
    for time, *found in zip(times, *(looks(s, times) for s in series), strict=True):
        known = tuple(one for one in found if one is not None)
        if len(known) == len(series):
            yield float(time), known
