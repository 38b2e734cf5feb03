"""Labels that G ignores: what is asked for and what is drawn have nothing to do with each other."""

import numpy as np

from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log, lasting, looks, moments

SHARE = 0.5  # of what D reads in reals: in runs that work, fakes are the easier ones to read
READ = 1.5  # times its start: before D can read the reals, the fakes say nothing


def labels_ignored(log: Log) -> Sign | None:
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
