"""Quantiles of Student's t against scipy."""

import pytest
from scipy import stats

from gannet.evaluation.student import t_quantile


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 4, 9, 37.5, 99, 101, 1000, 9999, 10_001, 1e7])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.975, 0.995])
def test_quantiles_are_those_of_scipy(p: float, freedom: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-6, abs=1e-9)
    assert t_quantile(1 - p, freedom) == pytest.approx(stats.t.ppf(1 - p, freedom), rel=1e-6, abs=1e-9)
