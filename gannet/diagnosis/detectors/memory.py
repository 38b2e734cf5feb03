"""A D that knows its images by heart: it tells those that it learns from, from others of the same kind."""

from gannet.diagnosis.detectors.looked import stays_above
from gannet.diagnosis.finding import Sign
from gannet.diagnosis.series import Log

APART = 0.75  # of pairs: chance is a half, and 128 images of each scatter by 0.036
ABOUT = "of pairs, the part in which D rates an image that it trains on above one held out"


def d_memorises(log: Log) -> Sign | None:
    """D rates reals that it trains on above held-out ones."""
    return stays_above(log, "real above held-out", APART, ABOUT)
