"""A setting out of the range in which GANs are known to learn, in a run whose samples are told from the data by it.

A setting alone is no fault: there are runs that bear it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gannet.diagnosis.detectors.looked import DISTANCE, NEAR, far_since, is_far
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

BORNE = 1.5  # times as far as other reals are: as many reals drawn anew come to 1.2, one in a hundred above
FEWEST_IMAGES = 4  # of a batch
TRANSLATED = ("pairs", "unpaired")  # each image is rated patch by patch there, and papers take one at a time
MOMENTUM = 0.9  # of beta1, at most
FEWEST_NOISE = 4  # dimensions of z
NARROW = 8  # times narrower than G
RATES = 10.0  # times the other's: papers go to 4
FASTEST = 5e-3  # a learning rate
USUAL = 2e-4  # the rate that is advised: one that is lower is not the one to bring down to it


def settings(log: Log) -> Sign | None:
    """The first setting that is out of range, where samples are bad."""
    evidence = next(out_of_range(log.settings), None)
    since, far = far_since(log, BORNE), is_far(log, BORNE)
    if evidence is None or since is None or far is None:
        return None
    return Sign(since, None, 0.8 if far > NEAR else 0.6, [evidence, Evidence("sample distance", far, BORNE, DISTANCE)])


def out_of_range(values: Mapping[str, Any]) -> Iterator[Evidence]:
    """Each setting that is, by its dotted name."""
    z_dim, batch = values.get("G.z_dim", FEWEST_NOISE), values.get("train.batch", FEWEST_IMAGES)
    if z_dim < FEWEST_NOISE:
        yield Evidence("G.z_dim", z_dim, FEWEST_NOISE, "the dimensions of the noise")
    if batch < FEWEST_IMAGES and values.get("data.kind", "images") not in TRANSLATED:
        yield Evidence("train.batch", batch, FEWEST_IMAGES, "the images of a batch")
    for player in ("G", "D"):
        beta1 = values.get(f"optim.{player}.betas", (0.0,))[0]
        if beta1 > MOMENTUM:
            yield Evidence(f"optim.{player}.betas", beta1, MOMENTUM, f"beta1 of {player}, its momentum")
    rates = {player: values.get(f"optim.{player}.lr", 0.0) for player in ("G", "D")}
    for player, other in (("G", "D"), ("D", "G")):
        if rates[player] > max(USUAL, RATES * rates[other]) and rates[other] > 0:
            if rates[other] < USUAL / RATES:
                about = f"the rate of {other}, beside a tenth of that of {player}"
                yield Evidence(f"optim.{other}.lr", rates[other], rates[player] / RATES, about)
            about = f"the rate of {player}, beside {RATES:g} times that of {other}"
            yield Evidence(f"optim.{player}.lr", rates[player], RATES * rates[other], about)
        elif rates[player] > FASTEST:
            yield Evidence(f"optim.{player}.lr", rates[player], FASTEST, f"the rate of {player}")
    widths = {part: values.get(f"{part}.width", 0) for part in ("G", "D")}
    if 0 < NARROW * widths["D"] <= widths["G"]:
        yield Evidence("D.width", widths["D"], widths["G"] / NARROW, "the filters of D, beside an eighth of those of G")
