"""What a detector finds, and what a person is told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """A statistic, its value, the value from which on it is a sign, and what it is in words."""

    statistic: str
    value: float
    threshold: float
    meaning: str


@dataclass(frozen=True)
class Sign:
    """What a detector saw: since when, until when (None: to the end of the log), how sure, and on what evidence.

    `hurts` says that the samples have become worse, or can only become so, which ends a run as "failed".
    """

    since: float
    until: float | None
    confidence: float
    evidence: Sequence[Evidence]
    hurts: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.confidence <= 1
        assert self.until is None or self.until >= self.since


@dataclass(frozen=True)
class Remedy:
    """One change, as a flag of `gannet train` or in words, why it should help, and who says so."""

    change: str
    why: str
    source: str


@dataclass(frozen=True)
class Finding:
    """A sign by its name, and its remedy. Times are in the log's unit."""

    finding: str
    sign: Sign
    remedy: Remedy

    @property
    def active(self) -> bool:
        """Whether it holds at the end of the log."""
        return self.sign.until is None

    def to_dict(self) -> dict[str, Any]:
        """As `gannet diagnose --json` prints it."""
        sign: Mapping[str, Any] = asdict(self.sign)
        kept = ("since", "until", "confidence", "evidence")
        return {"finding": self.finding, **{name: sign[name] for name in kept}, **asdict(self.remedy)}
