"""What is wrong with the images themselves, known from the first line of a run."""

from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

SMALLEST = 50  # images: fewer are learnt by heart whatever the settings
COPIES = 0.5  # of the images
RARE = 0.01  # images in the smallest class over those in the largest
MIDDLE = 0.05  # of the range from -1 to 1, around its middle
CHANCE = 3.0  # deviations


def data(log: Log) -> Sign | None:
    """The surest fault of the data: few images, copies, half of the range, classes that nothing tells apart."""
    for look in (few, copies, one_half, rare, alike):
        evidence = look(log)
        if evidence is not None:
            return Sign(log.begin, None, 0.7 if look is alike else 0.95, [evidence])
    return None


def first(log: Log, *names: str) -> list[float] | None:
    """The first values; None unless all are there."""
    found = [log.series[name].values for name in names if name in log.series]
    return [float(values[0]) for values in found if len(values)] if len(found) == len(names) else None


def few(log: Log) -> Evidence | None:
    found = first(log, "data images")
    return Evidence("data images", found[0], SMALLEST, "images to train on") if found and found[0] < SMALLEST else None


def copies(log: Log) -> Evidence | None:
    found = first(log, "data distinct")
    if not found or found[0] >= COPIES:
        return None
    return Evidence("data distinct", found[0], COPIES, "the part of the images that is no copy of another")


def one_half(log: Log) -> Evidence | None:
    """G can make all from -1 to 1, and every real pixel lies on one side of the middle."""
    found = first(log, "real low", "real high")
    if not found:
        return None
    if found[0] > -MIDDLE:
        return Evidence(
            "real low", found[0], -MIDDLE, "the darkest pixel of the data, where black is -1 and white is 1"
        )
    if found[1] < MIDDLE:
        return Evidence("real high", found[1], MIDDLE, "the brightest pixel of the data, where black is -1, white is 1")
    return None


def rare(log: Log) -> Evidence | None:
    found = first(log, "data smallest class", "data largest class")
    if not found or found[0] >= RARE * found[1]:
        return None
    return Evidence(
        "data smallest class", found[0], RARE * found[1], "images in the smallest class, where labels count"
    )


def alike(log: Log) -> Evidence | None:
    """Labels that have nothing to do with what an image is most like."""
    found = first(log, "data classes told", "data classes chance", "data classes noise")
    if not found or found[0] >= (least := found[1] + CHANCE * found[2]):
        return None
    return Evidence("data classes told", found[0], least, "how often the image most alike has the same label")
