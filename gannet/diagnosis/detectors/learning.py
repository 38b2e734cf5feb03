"""A player that does not learn: its weights stay where they are."""

from gannet.diagnosis.detectors.looked import known, lasting_looks
from gannet.diagnosis.finding import Evidence, Sign
from gannet.diagnosis.series import Log

STILL = 1e-7  # of the norm of the weights: less than float32 keeps of a step
FEWEST = 4  # values


def not_learning(log: Log) -> Sign | None:
    """Iterations move none of a player's weights."""
    for player in ("G", "D"):
        series = known(log, f"update {player}", FEWEST)
        if series is None:
            continue
        since = lasting_looks(log, series.at, series.values < STILL)
        if since is not None:
            about = f"how far an iteration moves the weights of {player}, in parts of their norm"
            return Sign(since, None, 0.95, [Evidence(f"update {player}", float(series.values[-1]), STILL, about)])
    return None
