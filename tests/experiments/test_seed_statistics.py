"""Means, intervals and the sign-flip test, by hand and beside scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from gannet.experiments.statistics import Summary, paired, sign_flip


def test_three_values_by_hand() -> None:
    found = Summary.of([1.0, 2.0, 3.0])
    assert (found.mean, found.std) == (2.0, 1.0)
    half = 4.302652729749464 / math.sqrt(3)  # t of 0.975 with 2 degrees of freedom
    assert found.low == pytest.approx(2 - half, rel=1e-9) and found.high == pytest.approx(2 + half, rel=1e-9)


@pytest.mark.parametrize("num", [2, 5, 30])
def test_the_interval_is_scipys(num: int) -> None:
    values = np.random.Generator(np.random.Philox(num)).normal(3, 2, num)
    found = Summary.of(values.tolist())
    expected = stats.t.interval(0.95, num - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-8)


def test_one_value_has_no_interval() -> None:
    assert Summary.of([0.5]) == Summary((0.5,), 0.5, None, None, None)


def test_three_seeds_cannot_go_under_a_quarter() -> None:
    assert sign_flip(np.array([5.0, 7.0, 9.0])) == 0.25
    assert sign_flip(-np.array([5.0, 7.0, 9.0])) == 0.25
    assert sign_flip(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])) == 2 / 64


def test_the_sign_flips_by_hand() -> None:
    """1 + 2 - 0.5 is 2.5; of |1 + 2 - 0.5|, |1 - 2 - 0.5|, |-1 + 2 - 0.5|, |-1 - 2 - 0.5| two are as large."""
    assert sign_flip(np.array([1.0, 2.0, -0.5])) == 0.5
    assert sign_flip(np.zeros(3)) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_the_sign_flips_are_scipys(shift: float) -> None:
    differences = np.random.Generator(np.random.Philox(7)).normal(shift, 1, 8)
    expected = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(differences) == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_pairs_are_drawn_and_close_to_the_t_test() -> None:
    differences = np.random.Generator(np.random.Philox(1)).normal(0.4, 1, 40)
    found = sign_flip(differences)
    assert found == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert found == sign_flip(differences)


def test_equal_runs_are_told_apart_in_a_twentieth_of_all_cases() -> None:
    random = np.random.Generator(np.random.Philox(2))
    found = [sign_flip(random.normal(0, 1, 7)) <= 0.05 for _ in range(1000)]
    assert 0.02 < np.mean(found) < 0.065  # exact: 6 of 128 ways are 0.047


def test_pairs_are_of_the_seeds_that_both_have() -> None:
    found = paired({0: 1.0, 1: 4.0, 2: 9.0}, {1: 1.0, 2: 5.0, 3: 7.0})
    assert found is not None and found.seeds == (1, 2)
    assert (found.difference.values, found.p, found.smallest_p) == ((3.0, 4.0), 0.5, 0.5)
    assert paired({0: 1.0}, {1: 1.0}) is None
