"""What detectors share that read the looks at a run's samples: these are few, and come at moments of their own."""

import numpy as np

from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, Series

FEWEST = 3  # looks in a row: one may be chance
LASTS = 0.08  # of the run
SETTLED = 0.25  # of the run: until then all samples are far from the data
FAR = 12.0  # times as far from reals as other reals are: a grey blur has 60 to 300, a run that works comes below
NEAR = 2.5  # the same: runs that work come below it
FALLS = 0.7  # of what it was a third of the time ago: a distance that falls so is under way

DISTANCE = "how far samples are from the data, in times of what reals are from other reals"
PAIRS = "of pairs, the part in which D rates the real above the sample; chance is a half"


def known(log: Log, name: str, least: int = FEWEST) -> Series | None:
    """The series of a look, where there are so many values."""
    series = log.series.get(name)
    return series if series is not None and len(series) >= least else None


def lasting_looks(log: Log, at: np.ndarray, holds: np.ndarray) -> float | None:
    """Since when something has held at every look to the last, where that is long enough; else None."""
    fails = np.flatnonzero(~holds)
    first = int(fails[-1]) + 1 if len(fails) else 0
    held = len(at) - first
    if held < FEWEST or at[-1] - at[first] < LASTS * log.whole:
        return None
    return float(at[first])


def stays_above(log: Log, name: str, bound: float, about: str) -> Sign | None:
    """The sign that a statistic of the looks has been above a bound at each of them to the last; else None."""
    series = known(log, name)
    since = None if series is None else lasting_looks(log, series.at, series.values > bound)
    if series is None or since is None:
        return None
    return Sign(since, None, 0.85, [Evidence(name, float(series.values[-1]), bound, about)])


def far_since(log: Log, bound: float) -> float | None:
    """Since when samples have been so far from the data, after the run's first part; a distance may still fall."""
    series = known(log, "sample distance")
    if series is None:
        return None
    far = smoothed(series.values) > bound
    return lasting_looks(log, series.at, (series.at >= SETTLED * log.whole) & far)


def smoothed(values: np.ndarray, width: int = 5) -> np.ndarray:
    """The median of each value and of those before it, `width` in all."""
    return np.array([np.median(values[max(0, i - width + 1) : i + 1]) for i in range(len(values))])


def stay_far(log: Log) -> float | None:
    """Since when samples have been `FAR` from the data without coming nearer, after the run's first part."""
    series = known(log, "sample distance")
    if series is None:
        return None
    at, values = series.at, smoothed(series.values)
    before = np.interp(at * 2 / 3, at, values)
    return lasting_looks(log, at, (at >= SETTLED * log.whole) & (values > FAR) & (values > FALLS * before))


def is_far(log: Log, bound: float = FAR) -> float | None:
    """How far samples are now, where that is so far; None too where it is not known."""
    series = known(log, "sample distance")
    if series is None:
        return None
    now = float(np.median(series.values[-FEWEST:]))
    return now if now > bound else None
