"""How often people take a generated picture for the real one of two: their choices, a line each, and the rate."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

RATINGS = "ratings.jsonl"
FIELDS = ("time", "pair", "rater", "choice", "correct", "ms", "seconds", "kimg", "label")
MOST_LINES = 100_000

Choice = Mapping[str, Any]


def read_choices(path: Path) -> list[Choice]:
    """All choices in a file; what is no whole line is left out. Raises `OSError`."""
    found = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for text, _ in zip(file, range(MOST_LINES), strict=False):
            with suppress(ValueError, RecursionError, OverflowError):
                line = json.loads(text)
                if is_choice(line):
                    found.append(line)
    return found


def is_choice(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and set(FIELDS) <= set(line)
        and isinstance(line["correct"], bool)
        and isinstance(line["pair"], int)
        and isinstance(line["kimg"], (int, float))
        and math.isfinite(line["kimg"])
        and isinstance(line["rater"], str)
        and isinstance(line["label"], (str, type(None)))
    )


def deception(choices: Sequence[Choice]) -> dict[str, Any]:
    """The share of choices that took the fake for real, and its 95% interval; no rate without a choice."""
    num, fooled = len(choices), sum(not line["correct"] for line in choices)
    low, high = clopper_pearson(fooled, num) if num else (0.0, 1.0)
    return {"rate": fooled / num if num else None, "low": low, "high": high, "num": num}


def by(choices: Sequence[Choice], key: str) -> list[dict[str, Any]]:
    """The rate for each value of a field; choices without a value are left out."""
    own: dict[Any, list[Choice]] = {}
    for line in choices:
        if line[key] is not None:
            own.setdefault(line[key], []).append(line)
    return [{key: value, **deception(own[value])} for value in sorted(own)]


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a probability of which `k` of `n` trials came out (Clopper and Pearson 1934).

    Below it, `k` or more would come out with less than half of what `level` leaves; above it, `k` or fewer.
    """
    tail = (1 - level) / 2
    i = np.arange(k + 1)
    ways = math.lgamma(n + 1) - np.array([math.lgamma(a + 1) + math.lgamma(n - a + 1) for a in i.tolist()])

    def below(num: int, p: float) -> float:
        """The probability that `num` or fewer come out, each with probability p > 0."""
        if p >= 1:
            return float(num >= n)
        return min(1.0, float(np.exp(ways + i * math.log(p) + (n - i) * math.log1p(-p))[: num + 1].sum()))

    low = 0.0 if k == 0 else solved(lambda p: 1 - below(k - 1, p) < tail)
    high = 1.0 if k == n else solved(lambda p: below(k, p) > tail)
    return low, high


def solved(is_under: Callable[[float], bool]) -> float:
    """Where a condition that holds for small p ends, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if is_under(p) else (low, p)
    return (low + high) / 2
