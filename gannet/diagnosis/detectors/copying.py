"""A G that draws its training images again."""

from gannet.diagnosis.detectors.looked import known, lasting_looks
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

MOST = 0.5  # of the samples: of reals nobody trained on, a twentieth lie so near
ABOUT = "of samples, the part nearer to a training image than nineteen in twenty of these are to each other"


def copying(log: Log) -> Sign | None:
    """Most samples lie nearer to an image of the data than other images of the data do."""
    series = known(log, "copies")
    if series is None:
        return None
    since = lasting_looks(log, series.at, series.values > MOST)
    if since is None:
        return None
    return Sign(since, None, 0.85, [Evidence("copies", float(series.values[-1]), MOST, ABOUT)])
