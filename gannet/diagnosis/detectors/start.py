"""A start from which there is no way: weights so large that nothing they make can be moved."""

from gannet.diagnosis.detectors.looked import NEAR, known
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

SATURATED = 0.5  # of the pixels at the very start, when samples should be grey


def bad_start(log: Log) -> Sign | None:
    """Before the first step most pixels lay at an end of the range, where tanh has no slope, and samples stay there."""
    series = known(log, "sample saturated", 1)
    if series is None or series.at[0] > 0 or "run.init" in log.settings:
        return None
    share, distance = float(series.values[0]), known(log, "sample distance", 2)
    moved = distance is not None and distance.values[-1] < NEAR
    if share < SATURATED or moved:
        return None
    about = "of the pixels that an untrained G made, the part at an end of the range"
    return Sign(0.0, None, 0.9, [Evidence("sample saturated", share, SATURATED, about)])
