"""Losses that swing: around in circles, or ever further."""

import numpy as np

from gannet.diagnosis.detectors.lead import SILENCE
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import WINDOW, Log, Series, lasting, looks, moments

GROWN = 3.0  # times the calmest that it was, both as it is and in parts of the loss, which may grow as a whole
WARM_UP = 0.1  # of the run: what is the calmest is known only after a while
FEW = 8  # values, enough for their middle
PEAK = 0.35  # of all power near one frequency; noise of this length has a tenth
POINTS = 256  # of a spectrum
FEWEST = 64  # of a spectrum: with less, noise has peaks as high
ROUND = 6  # the fewest times that a circle is gone round in a window


def oscillation(log: Log) -> Sign | None:
    """One frequency in both losses, or swings of G's loss that grow beyond it."""
    return circling(log) or swinging(log)


def swinging(log: Log) -> Sign | None:
    """From one value to the next, G's loss moves ever further, also in parts of its size, and D's does not.

    So a critic without a bound goes wrong (Wasserstein): D(x) and D(G(z)) are thrown about together.
    """
    known = log.get("loss D", "loss G")
    if known is None:
        return None
    times, (d, g) = moments(log), known
    steps = Series(g.at[1:], np.abs(np.diff(g.values)))
    rough, size = middles(steps, times), middles(g, times)
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = np.fmin(growth(rough), growth(rough / np.abs(size)))
    grown[times < WARM_UP * log.whole] = 0.0
    alone = [a and b and b.spread > SILENCE * a.spread for a, b in zip(looks(d, times), looks(g, times), strict=True)]
    held = lasting(times, (grown > GROWN) & np.array(alone, dtype=bool))
    if held is None:
        return None
    about = "how far loss G moves at once, in times of its calmest"
    evidence = Evidence("loss G", float(grown[times <= held[1]][-1]), GROWN, about)
    return Sign(held[0], held[2], 0.7, [evidence], hurts=True)


def growth(values: np.ndarray) -> np.ndarray:
    """In times of the smallest so far that is not nothing."""
    return values / np.fmin.accumulate(np.where(values > 0, values, np.inf))


def middles(series: Series, times: np.ndarray) -> np.ndarray:
    windows = [series.between(WINDOW * time, time) for time in times]
    return np.array([np.median(values) if len(values) >= FEW else np.nan for values in windows])


def circling(log: Log) -> Sign | None:
    """Most of what both losses do goes round at the same pace."""
    known = log.get("loss D", "loss G")
    if known is None:
        return None
    times = moments(log)
    found = [(peak(known[0], t), peak(known[1], t)) for t in times]
    power = np.array([min(a[0], b[0]) if abs(a[1] - b[1]) <= 1 else 0.0 for a, b in found])
    held = lasting(times, power > PEAK)
    if held is None:
        return None
    about = "the part of both losses' swings that goes round at one pace"
    evidence = Evidence("loss D, loss G", float(power[times <= held[1]][-1]), PEAK, about)
    return Sign(held[0], held[2], 0.7, [evidence])


def peak(series: Series, time: float) -> tuple[float, int]:
    """The share of power near the strongest frequency of the second half of the time so far, and which one it is."""
    values = series.between(time / 2, time)
    if len(values) < FEWEST:
        return 0.0, 0
    starts = np.linspace(0, len(values), min(POINTS, len(values)), endpoint=False).astype(int)
    values = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))
    numbers = np.arange(len(values))
    values = (values - np.polyval(np.polyfit(numbers, values, 1), numbers)) * np.hanning(len(values))
    power = np.abs(np.fft.rfft(values)) ** 2
    top = ROUND + int(power[ROUND:].argmax())
    total = float(power.sum())
    return (float(power[top - 1 : top + 2].sum()) / total if total > 0 else 0.0), top
