"""Numbers that were had in different ways are not compared."""

from typing import Any

import pytest

from gannet.errors import UserError
from gannet.evaluation.protocol import Score, refuse_unlike


def score(*, metric: str = "KID", **protocol: Any) -> Score:
    return Score(metric, 1.0, 0.5, 1.5, "lower", {"extractor": "inception", "real images": 50, **protocol})


def test_numbers_of_one_protocol_are_compared_whatever_the_versions() -> None:
    refuse_unlike([])
    scores = [score(gannet="0.1.0", torch="2.9"), score(gannet="0.2.0"), score(metric="recall", neighbours=3)]
    refuse_unlike(("a run", each) for each in scores)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (
            {"extractor": "dinov2"},
            {},
            "KID cannot be compared: of runs/a .* has extractor dinov2, of runs/b inception;",
        ),
        ({"real images": 50}, {"real images": 60}, "real images 50, of runs/b 60;"),
        ({"seed": 0}, {}, "seed 0, of runs/b not said;"),
        ({}, {"truncation": "0.7"}, "truncation not said, of runs/b 0.7;"),
        ({"real images": 1, "seed": 1}, {"real images": 2, "seed": 2}, "real images 1"),
    ],
)
def test_the_first_difference_is_named(one: dict[str, Any], other: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        refuse_unlike([("runs/a", score(**one)), ("it", score(metric="recall", k=5)), ("runs/b", score(**other))])
    assert "\n" not in str(error.value)
