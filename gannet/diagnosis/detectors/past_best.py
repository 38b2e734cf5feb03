"""Quality past its best, by a measured distance to the data."""

import numpy as np

from gannet.diagnosis.columns import METRICS
from gannet.diagnosis.detectors.looked import DISTANCE, known, lasting_looks
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, Series

FAILED = 1.5  # times the best: what a person sees, and no evaluation's noise
SURE = 1.25  # times the best, of the middle of the last three: one bad value of a small distance is no failure,
BROKEN = 2.0  # unless it is as bad as that
NEARLY = 1.05  # times the time so far: a run that is to be no longer is at its end
GAIN = 0.9  # times the best so far: a step that evaluations of the same G do not differ by
LEARNT = 0.5  # times the first value: then a run has brought something
WORSE = 2.0  # times the best distance of samples by looks, which are of few samples,
SCATTER = 6.0  # times the middle step between looks
NEAR = 3.0  # times as far as other reals are: nearer than that, looks cannot tell good from better
HALVED = 0.5  # of the distance: such a gain since says that no harm was done
FLAT = 1 / 3  # of the evaluations without a gain: then a run has learnt what it can


def past_best(log: Log) -> Sign | None:
    """The last value is far worse than the best. Since the best one.

    At the end of a run it is enough alone of an FID, by which runs are judged. Until then, and of other distances,
    which are of fewer images and scatter, it must not be alone, or very far.
    """
    measured = metric(log)
    if measured is None:
        return by_looks(log)
    name, series = measured
    best, last = int(series.values.argmin()), float(series.values[-1])
    lowest = float(series.values[best])
    recent = float(np.median(series.values[-3:]))
    lasts = recent > SURE * lowest or last > BROKEN * lowest
    judged = name == "fid" and log.length <= NEARLY * log.end
    if lowest <= 0 or last <= FAILED * lowest or not (lasts or judged):
        return None
    at = float(series.at[best])
    told = [
        Evidence(name, last, FAILED * lowest, f"the last {name}"),
        Evidence(f"best {name}", lowest, lowest, f"the best {name}, at {at:g} {log.unit}"),
    ]
    return Sign(at, None, 0.95 if lasts else 0.7, told, hurts=True)


def by_looks(log: Log) -> Sign | None:
    """Without a metric: samples are twice as far from the data as they had been, beyond what looks scatter by."""
    series = known(log, "sample distance", 6)
    if series is None:
        return None
    smooth = np.array([np.median(series.values[max(0, i - 2) : i + 1]) for i in range(len(series))])
    best = np.minimum.accumulate(smooth)
    bound = np.maximum(np.maximum(WORSE * best, best + SCATTER * noise(series)), NEAR)
    if lasting_looks(log, series.at, series.values > bound) is None:
        return None
    place = int(smooth.argmin())
    told = [
        Evidence("sample distance", float(smooth[-1]), float(bound[-1]), DISTANCE),
        Evidence(
            "best sample distance", float(best[-1]), float(best[-1]), f"the best, at {series.at[place]:g} {log.unit}"
        ),
    ]
    return Sign(float(series.at[place]), None, 0.75, told, hurts=True)


def did_no_harm(log: Log, sign: Sign) -> bool:
    """Whether looks at samples say so of what the losses show: they have come far nearer to the data since.

    A recall that was measured is surer than they are.
    """
    series = known(log, "sample distance")
    if series is None or any(evidence.statistic == "recall" for evidence in sign.evidence):
        return False
    now, before = float(series.values[-1]), series.values[series.at <= sign.since]
    return now < NEAR or (len(before) > 0 and now < HALVED * float(before[-1]))


def metric(log: Log) -> tuple[str, Series] | None:
    """The surest distance that was measured three times or more."""
    return next(((name, s) for name in METRICS if (s := log.series.get(name)) and len(s) >= 3), None)


def contradicts(series: Series, sign: Sign) -> bool:
    """Whether the metric says that a sign did no harm: a better best since, or a run that has learnt and kept it."""
    before, after = series.values[series.at <= sign.since], series.values[series.at > sign.since]
    best, first = float(series.values.min()), float(series.values[0])
    gained = len(after) > 0 and len(before) > 0 and float(after.min()) < GAIN * float(before.min())
    kept = best < LEARNT * first and float(series.values[-3:].min()) <= SURE * best
    return gained or (sign.hurts and kept)


def has_stopped(series: Series) -> bool:
    """Whether the last third of the evaluations brought nothing more than noise."""
    count = max(2, round(len(series) * FLAT))
    if len(series) < 3 * count:
        return False
    return float(series.values[:-count].min() - series.values[-count:].min()) <= noise(series)


def noise(series: Series) -> float:
    """By how much two evaluations of the same G differ: the middle of the second half's steps."""
    return float(np.median(np.abs(np.diff(series.values[len(series) // 2 :]))))
