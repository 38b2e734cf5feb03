"""Losses of games that nobody played: how D rates reals and fakes is made up, and the objective makes the losses."""

from collections.abc import Callable

import numpy as np

from gannet.diagnosis import Log, Series

LINES, BATCH = 1000, 64
Ratings = tuple[np.ndarray, np.ndarray]

OBJECTIVES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "hinge": lambda real, fake: (np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), -fake),
    "non-saturating": lambda real, fake: (np.logaddexp(0, -real) + np.logaddexp(0, fake), np.logaddexp(0, -fake)),
    "lsgan": lambda real, fake: ((real - 1) ** 2 / 2 + fake**2 / 2, (fake - 1) ** 2 / 2),
    "wasserstein": lambda real, fake: (fake - real, -fake),
    "relativistic": lambda real, fake: (np.logaddexp(0, fake - real), np.logaddexp(0, real - fake)),
}


def path(*points: float, lines: int = LINES) -> np.ndarray:
    """Straight lines between values that are evenly spaced in time."""
    return np.interp(np.linspace(0, 1, lines), np.linspace(0, 1, len(points)), points)


def jump(before: float, after: float, share: float, lines: int = LINES) -> np.ndarray:
    """One value up to a share of the time, another from there on."""
    return np.where(np.arange(lines) < share * lines, before, after)


def played(
    objective: str,
    real: np.ndarray,
    fake: np.ndarray,
    spread: float = 1.0,
    swing: np.ndarray | float = 0.2,
    drift: np.ndarray | float = 0.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """`loss D` and `loss G`, `[lines]`.

    Means of D's ratings over time, the spread within a batch, the swing from batch to batch of each, and a drift
    that reals and fakes share.
    """
    random = np.random.Generator(np.random.Philox(seed))
    lines = len(real)

    def ratings(means: np.ndarray) -> np.ndarray:
        centre = means + swing * random.normal(size=lines) + drift
        return centre[:, None] + spread * random.normal(size=(lines, BATCH))

    loss_d, loss_g = OBJECTIVES[objective](ratings(real), ratings(fake))
    return {"loss D": loss_d.mean(1), "loss G": loss_g.mean(1)}


def log_of(values: dict[str, np.ndarray], every: float = 100.0) -> Log:
    """A log with a line every so many steps."""
    return Log({name: Series.of(every * np.arange(1, len(v) + 1), v) for name, v in values.items()})


def until(log: Log, end: float) -> Log:
    """What was known at a time: how long the run was to be, but not what came later."""
    known = {name: series.until(end) for name, series in log.series.items()}
    return Log(known, log.unit, log.whole, log.settings)
