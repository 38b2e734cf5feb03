"""D at chance: it tells nothing apart, or it no longer moves, and G has nobody to learn from."""

import numpy as np

from gannet.diagnosis.detectors.looked import DISTANCE, FAR, PAIRS, is_far, known, lasting_looks, stay_far
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, lasting, looks, moments

APART = 0.05  # between D(x) and D(G(z)), or above chance in both accuracies together: too little to learn from
FLOOR = 0.1  # of its widest: a loss that is as good as nothing
TELLS = 0.6  # of pairs, in which D rates the real above the sample: chance is a half
STILL = 300.0  # times narrower than it had been: no rate or average of a live D comes near this


def d_asleep(log: Log) -> Sign | None:
    """D's ratings of reals and fakes are the same, or its loss stands still.

    An equilibrium, at which G draws what the data holds, looks alike in these numbers: only the samples tell. So
    where these are known, and near to the data, it is none.
    """
    if known(log, "sample distance") is not None:
        return of_samples(log) if is_far(log) else None
    return at_chance(log) or still(log)


def of_samples(log: Log) -> Sign | None:
    """D rates samples about as high as reals, from which they stay far."""
    series, since = known(log, "real above sample"), stay_far(log)
    if series is None or since is None:
        return None
    begin = lasting_looks(log, series.at, np.abs(series.values - 0.5) < TELLS - 0.5)
    if begin is None:
        return None
    rated = Evidence("real above sample", float(np.median(series.values[-3:])), TELLS, PAIRS)
    return Sign(max(begin, since), None, 0.8, [rated, Evidence("sample distance", is_far(log) or FAR, FAR, DISTANCE)])


def at_chance(log: Log) -> Sign | None:
    """D rates fakes as high as reals."""
    times = moments(log)
    for real, fake, sign in (("accuracy real", "accuracy fake", 1), ("D(x)", "D(G(z))", -1)):
        known = log.get(real, fake)
        if known is None:
            continue
        both = zip(*(looks(series, times) for series in known), strict=True)
        gaps = np.array([a.middle + sign * b.middle - (sign > 0) if a and b else np.inf for a, b in both])
        held = lasting(times, gaps < APART)
        if held is None:
            return None
        about = f"{real} and {fake} together, above chance" if sign > 0 else f"{real} above {fake}"
        evidence = Evidence(f"{real}, {fake}", float(gaps[times <= held[1]][-1]), APART, about)
        return Sign(held[0], held[2], 0.6, [evidence])
    return None


def still(log: Log) -> Sign | None:
    """D's loss has all but stopped moving from batch to batch."""
    times = moments(log)
    for series in log.get("loss D") or ():
        found = looks(series, times)
        widths = np.array([one.spread if one else np.nan for one in found])
        widest = np.fmax.accumulate(widths)
        middles = np.array([one.middle if one else np.nan for one in found])
        won = (middles < FLOOR * widest) & (series.values.min() >= 0)  # still too, but with nothing left to learn
        held = lasting(times, (widths * STILL < widest) & ~won)
        if held is not None:
            last = int(np.flatnonzero(times <= held[1])[-1])
            part = float(widths[last] / widest[last])
            about = "how wide loss D still is from batch to batch, in parts of what it was"
            return Sign(held[0], held[2], 0.7, [Evidence("loss D", part, 1 / STILL, about)])
    return None
