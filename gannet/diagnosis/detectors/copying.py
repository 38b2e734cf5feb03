"""A G that draws its training images again."""

from gannet.diagnosis.detectors.looked import stays_above
from gannet.diagnosis.finding import Sign
from gannet.diagnosis.series import Log

MOST = 0.5  # of the samples: of reals nobody trained on, a twentieth lie so near
ABOUT = "of samples, the part nearer to a training image than nineteen in twenty of these are to each other"


def copying(log: Log) -> Sign | None:
    """Most samples lie nearer to an image of the data than other images of the data do."""
    return stays_above(log, "copies", MOST, ABOUT)
