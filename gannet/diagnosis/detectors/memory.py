"""A D that knows its images by heart: it tells those that it learns from, from others of the same kind."""

from gannet.diagnosis.detectors.looked import known, lasting_looks
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

APART = 0.75  # of pairs: chance is a half, and 128 images of each scatter by 0.036


def d_memorises(log: Log) -> Sign | None:
    """D rates reals that it trains on above held-out ones."""
    series = known(log, "real above held-out")
    if series is None:
        return None
    since = lasting_looks(log, series.at, series.values > APART)
    if since is None:
        return None
    about = "of pairs, the part in which D rates an image that it trains on above one held out"
    evidence = [Evidence("real above held-out", float(series.values[-1]), APART, about)]
    return Sign(since, None, 0.85, evidence)
