"""One player leaves the other behind: D tells all apart and G learns nothing from it, or G fools a D that is lost.

What the losses show of it depends little on their scale and on what is added to them. A player that has won
has its loss on the floor: most batches lie at the bottom and a few stand out (skew), the middle is nearer to
nothing than the loss is wide (level), and the other's loss swings many times as widely, since it still feels
what the winner's no longer does, beyond a margin or a cross-entropy of nothing (silence). D's ratings of
reals and fakes, where the log has them, must say the same. A critic's loss, which goes below zero, has no floor.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gannet.diagnosis.detectors.looked import DISTANCE, FAR, PAIRS, is_far, known, lasting_looks, stay_far
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import (
    WINDOW,
    Log,
    Look,
    Series,
    flattened,
    last_change,
    lasting,
    look,
    looks,
    moments,
    pairs,
    roughness,
)

SKEW = 0.3  # a bell has 0, an exponential 0.46
SILENCE = 8.0  # two that are a match have losses as wide within a factor of 4; where one has lost it is 20 and more
NEARLY = 2 / 3  # of a sign: less is what an even game shows too
PATIENCE = 0.2  # of the run: G often catches up with a D that leads from the start,
LATEST = 1 / 3  # and has learnt from it what there is to learn by then
APART = 5.0  # widths: a D that is merely held back, as by augmentation, gives way by two
TINY = 1e-100  # a loss may be exactly nothing
MOST = 1e6  # times as wide: as much as a person wants to know
DOUBT = 0.05  # how far from certain the ratings may be: what smoothed and flipped labels leave

TELLS = 0.95  # of pairs, in which D rates the real above the sample
FOOLED = 0.25  # the same: far below the half that chance gives

FOR_D = {"accuracy real": 1.0, "accuracy fake": 1.0, "accuracy": 1.0, "D(x)": 1.0, "D(G(z))": 0.0}
FOR_G = {"accuracy fake": 0.0, "D(G(z))": 1.0}


def d_wins(log: Log) -> Sign | None:
    """D is right on nearly all, and its loss has nothing more to tell it; or its lead leads nowhere."""
    return lead(log, "loss D", "loss G", FOR_D) or ahead(log, TELLS, 1)


def g_wins(log: Log) -> Sign | None:
    """D takes nearly all fakes for reals."""
    signs = lead(log, "loss G", "loss D", FOR_G), apart(log), ahead(log, FOOLED, -1)
    found = [sign for sign in signs if sign is not None]
    return min(found, key=lambda sign: sign.until is not None, default=None)


def lead(log: Log, winner: str, loser: str, certain: dict[str, float]) -> Sign | None:
    """Since when the loser's loss has changed while the winner's lay on the floor.

    A lead is no harm by itself: so it has to last, beyond the run's first part, and counts from where the
    loser's loss is another than before, in its level or in how far it swings from batch to batch; its level above
    the winner's, as both may have a class loss. The middle one of these three times is taken, so that one of them
    may be wrong, and a third of the run at most where the lead is as old.
    """
    known = log.get(winner, loser)
    if known is None:
        return None
    times = moments(log)
    rated = ratings(log, times, certain)
    seen = [(time, Signs(one, other, flat(time, *known))) for time, (one, other) in pairs(times, *known)]
    at = np.array([time for time, _ in seen])
    wins = np.array([signs.any if rated is not None else signs.enough for _, signs in seen], dtype=bool)
    if winner == "loss G":  # which lies low in healthy runs too: there D's must be loud as well
        wins &= np.array([signs.silence > SILENCE for _, signs in seen], dtype=bool)
    if rated is not None:
        wins &= rated[np.searchsorted(times, at)]
    held = lasting(at, wins)
    if held is None or held[1] < PATIENCE * log.whole:
        return None
    begin, end, until = held
    other = known[1].until(end)
    level = Series(other.at, other.values - np.interp(other.at, known[0].at, known[0].values))
    since = sorted([PATIENCE * log.whole, last_change(level), last_change(roughness(other))])[1]
    last = [signs for time, signs in seen if time <= end][-1]
    told = [*last.told(winner, loser), *told_ratings(log, end, certain)]
    confidence = 0.6 + 0.1 * sum(s > 1 for s in last.strengths) if rated is None else 0.95
    return Sign(max(min(since, LATEST * log.whole), begin), until, confidence, told, hurts=True)


def ahead(log: Log, bound: float, side: int) -> Sign | None:
    """D rates nearly all reals above samples, or (`side` -1) below them, while samples stay far from the data."""
    series = known(log, "real above sample")
    far, since = is_far(log), stay_far(log)
    if series is None or far is None or since is None:
        return None
    begin = lasting_looks(log, series.at, side * series.values > side * bound)
    if begin is None:
        return None
    rated = Evidence("real above sample", float(series.values[-1]), bound, PAIRS)
    return Sign(max(begin, since), None, 0.8, [rated, Evidence("sample distance", far, FAR, DISTANCE)])


def apart(log: Log) -> Sign | None:
    """Where G's loss has no floor, or lies still on it: D's has risen and G's fallen, both by many first widths."""
    known = log.get("loss D", "loss G")
    if known is None or ratings(log, moments(log), FOR_G) is not None:
        return None
    times = moments(log)
    seen = list(pairs(times, *known))
    if not seen:
        return None
    first_d, first_g = seen[0][1]
    widths = np.array([np.sqrt(max(0.0, rise(first_d, d)) * max(0.0, -rise(first_g, g))) for _, (d, g) in seen])
    at = np.array([time for time, _ in seen])
    held = lasting(at, widths > APART)
    if held is None:
        return None
    begin, end, until = held
    far = Evidence("loss D, loss G", float(widths[at <= end][-1]), APART, "widths that D's loss rose and G's fell")
    return Sign(begin, until, 0.7, [far], hurts=True)


def rise(first: Look, now: Look) -> float:
    """How many widths a loss has risen."""
    return (now.middle - first.middle) / first.spread if first.spread > 0 else 0.0


def flat(time: float, winner: Series, loser: Series) -> tuple[Look, Look] | None:
    """Looks at both losses, each without its slow fall; None where there are too few values."""
    one, other = (look(flattened(series.between(WINDOW * time, time))) for series in (winner, loser))
    return (one, other) if one and other else None


@dataclass(frozen=True)
class Signs:
    """The three signs that one loss is on its floor while the other still swings, at one time.

    Skew and silence are those of the losses as they are, or without their slow falls, whichever is more.
    """

    winner: Look
    loser: Look
    flat: tuple[Look, Look] | None = None

    @property
    def both(self) -> tuple[tuple[Look, Look], ...]:
        """The winner's and the loser's look, as they are and without their slow falls."""
        plain = (self.winner, self.loser)
        return (plain, self.flat) if self.flat else (plain,)

    @property
    def silence(self) -> float:
        """How much wider the loser's loss is."""
        return max(loser.spread / max(winner.spread, TINY) for winner, loser in self.both)

    @property
    def skew(self) -> float:
        """How far the winner's loss lies at its floor."""
        return max(winner.skew for winner, _ in self.both)

    @property
    def strengths(self) -> tuple[float, float, float]:
        """Level, skew and silence, each in parts of what makes it a sign. What goes below zero has no floor there."""
        if self.winner.low < 0:
            return 0.0, 0.0, 0.0
        if self.winner.low == self.winner.high == 0:
            return 2.0, 2.0, 2.0  # a loss of nothing, without exception
        level = self.winner.spread / max(self.winner.middle, TINY)
        return level, self.skew / SKEW, self.silence / SILENCE

    @property
    def any(self) -> bool:
        return max(self.strengths) > 1

    @property
    def enough(self) -> bool:
        """Two of them, or one that is nearly there and as much more of another."""
        return any(a * b > 1 and min(a, b) > NEARLY for a, b in combinations(self.strengths, 2))

    def told(self, winner: str, loser: str) -> list[Evidence]:
        """Those that are there."""
        level = Evidence(winner, self.winner.middle, self.winner.spread, f"the middle of {winner}, beside its width")
        about = f"{winner} lies at its floor, but for a few batches"
        skew = Evidence(f"skew of {winner}", self.skew, SKEW, about)
        about = f"how far {loser} swings, in times of {winner}"
        silence = Evidence(f"width of {loser} / {winner}", min(self.silence, MOST), SILENCE, about)
        found = zip(self.strengths, (level, skew, silence), strict=True)
        return [evidence for strength, evidence in found if strength > NEARLY]


def ratings(log: Log, times: np.ndarray, certain: dict[str, float]) -> np.ndarray | None:
    """At which times all the ratings that the log has are certain; None where it has none."""
    known = [(series, goal) for name, goal in certain.items() for series in log.get(name) or ()]
    if not known:
        return None
    sure = [[one is not None and abs(one.middle - goal) <= DOUBT for one in looks(s, times)] for s, goal in known]
    return np.all(sure, axis=0)


def told_ratings(log: Log, end: float, certain: dict[str, float]) -> list[Evidence]:
    """The ratings that the log has, at the end of the lead."""
    found = []
    for name, goal in certain.items():
        for series in log.get(name) or ():
            for one in looks(series, np.array([end])):
                if one is not None:
                    found.append(Evidence(name, one.middle, abs(goal - DOUBT), f"the middle of {name}"))
    return found
