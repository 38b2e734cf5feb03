"""Intervals against those of textbooks, and how often they hold the truth."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.evaluation.estimate import Estimate, bootstrapped


def normal(num: int, seed: int, spread: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal(num) * spread)


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_the_interval_of_a_mean_is_that_of_textbooks() -> None:
    values = normal(400, 1, spread=3.0)
    found = bootstrapped(values.mean().item(), values)
    half = 1.96 * values.std().item() / 20
    assert found.value - found.low == pytest.approx(half, rel=0.1)
    assert found.high - found.value == pytest.approx(half, rel=0.1)


def test_it_holds_the_truth_in_about_95_of_100() -> None:
    """Means of 200 exponentials, whose truth is 1."""
    random = np.random.Generator(np.random.Philox(2))
    held = 0
    for _ in range(100):
        values = torch.from_numpy(random.exponential(size=200))
        found = bootstrapped(values.mean().item(), values)
        held += found.low <= 1 <= found.high
    assert 89 <= held <= 99


def test_two_sets_are_resampled_each_by_itself() -> None:
    """Their variances add: 3, 4 and 5."""
    one, other = normal(500, 3, 3.0), normal(500, 4, 4.0)
    assert width(bootstrapped(0.0, one, other)) == pytest.approx(5 / 3 * width(bootstrapped(0.0, one)), rel=0.1)


def test_some_images_stand_for_all() -> None:
    values = normal(4000, 5)
    assert width(bootstrapped(0.0, values[:1000], nums=[4000])) == pytest.approx(
        width(bootstrapped(0.0, values)), rel=0.1
    )


def test_a_constant_added_to_all_changes_nothing() -> None:
    values = normal(50, 6)
    one, other = bootstrapped(1.0, values), bootstrapped(1.0, values + 100)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_bounds_are_kept_and_the_value_lies_within() -> None:
    found = bootstrapped(0.99, normal(10, 7), lowest=0.0, highest=1.0)
    assert found.low >= 0 and found.high == 1
    assert bootstrapped(0.5, torch.ones(9)) == Estimate(0.5, 0.5, 0.5)
