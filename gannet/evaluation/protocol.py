"""A number and how it was had, without which it cannot be compared with another."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gannet.errors import UserError
from gannet.evaluation.pairs import Better
from gannet.noted import NOTED

Protocol = Mapping[str, str | int]
"""What a number depends on besides the images, by name: extractor, weights, layer, resize, colours, numbers, ..."""


@dataclass(frozen=True)
class Score:
    """One measured number, its 95% interval, which way is better, and its protocol."""

    metric: str
    value: float
    low: float
    high: float
    better: Better
    protocol: Protocol

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON, and for a line of stats.jsonl."""
        return {**asdict(self), "protocol": dict(self.protocol)}


def refuse_unlike(scores: Iterable[tuple[str, Score]]) -> None:
    """Raises `UserError` where two scores of one metric were had in different ways, and names the first difference.

    Each score comes behind the name of what was measured. Versions are noted and no reason to refuse.
    """
    first: dict[str, tuple[str, Score]] = {}
    for what, score in scores:
        other, of_other = first.setdefault(score.metric, (what, score))
        known = of_other.protocol
        for name in [*known, *score.protocol]:
            before, now = known.get(name, "not said"), score.protocol.get(name, "not said")
            if before != now and name not in NOTED:
                raise UserError(
                    f"{score.metric} cannot be compared: of {other} the protocol has {name} {before}, of {what} "
                    f"{now}; train both with the same --train.metric, --train.extractor and --train.evaluate-num, or "
                    "take gannet evaluate's report of each"
                )
