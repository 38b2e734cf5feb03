"""Labels that G ignores: what is asked for and what is drawn have nothing to do with each other."""

import numpy as np

from gannet.diagnosis.detectors.looked import FAR, SETTLED, known, lasting_looks, smoothed
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, lasting, looks, moments

SHARE = 0.5  # of what D reads in reals: in runs that work, fakes are the easier ones to read
READ = 1.5  # times its start: before D can read the reals, the fakes say nothing
FOLLOWED = 0.25  # of the agreement that reals have: samples that follow their labels have more than half of it
SURE = 2.0  # deviations of chance: a bound below them tells nothing


def labels_ignored(log: Log) -> Sign | None:
    """Samples are of any class, by the looks at them; or D reads the class of reals, and not that of fakes."""
    return of_any_class(log) or unread(log)


def of_any_class(log: Log) -> Sign | None:
    """Samples near enough to the data to be of a class, and hardly more often of the one asked for than by chance.

    Where the classes of reals are no more alike than that, nothing is said.
    """
    found = [known(log, name) for name in ("class agreement sample", "class agreement real", "class agreement noise")]
    drawn, real, noise = found
    distance = known(log, "sample distance")
    if drawn is None or real is None or noise is None or distance is None:
        return None
    bound = FOLLOWED * float(real.values[-1])
    if bound < SURE * float(np.median(noise.values[-3:])):
        return None
    near = np.interp(drawn.at, distance.at, distance.values) < FAR
    values = smoothed(drawn.values)
    since = lasting_looks(log, drawn.at, (values < bound) & near & (drawn.at >= SETTLED * log.whole))
    if since is None:
        return None
    about = "how much more often than by chance a sample is most like reals of its class, against a quarter of reals'"
    return Sign(since, None, 0.8, [Evidence("class agreement sample", float(values[-1]), bound, about)])


def unread(log: Log) -> Sign | None:
    """D reads the class of reals, and far more seldom that of fakes that were asked for by class."""
    known = log.get("class accuracy real", "class accuracy fake")
    if known is None:
        return None
    times = moments(log)
    real, fake = (np.array([one.middle if one else np.nan for one in looks(s, times)]) for s in known)
    start = float(np.median(known[0].values[:10]))
    held = lasting(times, (fake < SHARE * real) & (real > READ * start))
    if held is None:
        return None
    at = int(np.flatnonzero(times <= held[1])[-1])
    about = "of fakes, the share whose class D reads, against half of that of reals"
    evidence = Evidence("class accuracy fake", float(fake[at]), float(SHARE * real[at]), about)
    return Sign(held[0], held[2], 0.7, [evidence])
