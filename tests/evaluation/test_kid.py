"""KID by hand, by its definition, and as an estimate: without bias, and as sure as it says."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation import kid as module
from gannet.evaluation.kid import Kid, kid


def drawn(num: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    values = np.random.Generator(np.random.Philox(seed)).standard_normal((num, dim)) + shift
    return torch.from_numpy(values)


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Without bias, by its definition."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / len(a) + 1) ** 3

    within = [np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)]
    return float(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))


def test_two_images_of_one_feature_by_hand() -> None:
    """Reals 0 and 1, fakes 2 and 1: kernels 1 within the reals, 27 within the fakes, (1 + 1 + 27 + 8) / 4 across."""
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [1.0]])
    assert kid(real, fake).value == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_fewer_images_than_a_subset_make_subsets_of_the_smaller_set() -> None:
    """All 9 fakes in each subset, and 9 of 30 reals, the fakes drawn first."""
    real, fake = drawn(30, 4, 1), drawn(9, 4, 2, 0.5)
    random, values = np.random.RandomState(2020), []
    for _ in range(100):
        y = fake.numpy()[random.choice(9, 9, replace=False)]
        values.append(mmd(real.numpy()[random.choice(30, 9, replace=False)], y))
    assert kid(real, fake).value == pytest.approx(np.mean(values), rel=1e-9)


def test_blocks_of_the_kernel_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = drawn(50, 5, 3), drawn(40, 5, 4, 0.5)
    whole = kid(real, fake)
    monkeypatch.setattr(module, "ENTRIES", 7 * 50)
    parts = kid(real, fake)
    assert (parts.value, parts.low, parts.high) == pytest.approx((whole.value, whole.low, whole.high), rel=1e-9)


def test_single_precision_is_as_good() -> None:
    real, fake = drawn(300, 64, 5).abs(), drawn(300, 64, 6).abs() * 1.1
    assert kid(real.float(), fake.float()).value == pytest.approx(
        kid(real.float().double(), fake.float().double()).value, rel=1e-6
    )


def test_of_equal_distributions_the_expectation_is_0() -> None:
    values = [kid(drawn(40, 6, 100 + i), drawn(40, 6, 500 + i)).value for i in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5


def test_the_interval_is_as_wide_as_fresh_images_vary() -> None:
    found = [kid(drawn(100, 6, 1000 + i), drawn(80, 6, 2000 + i, 0.4)) for i in range(40)]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([(estimate.high - estimate.low) / 3.92 for estimate in found]) == pytest.approx(spread, rel=0.3)


def test_of_equal_distributions_the_interval_holds_0() -> None:
    found = [kid(drawn(60, 6, 3000 + i), drawn(60, 6, 4000 + i)) for i in range(40)]
    assert sum(estimate.low <= 0 <= estimate.high for estimate in found) >= 37


def test_one_image_is_refused() -> None:
    with pytest.raises(UserError, match="1 image has no pairs"):
        kid(drawn(1, 3, 7), drawn(9, 3, 8))


def test_reals_are_compared_among_themselves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fakes = drawn(50, 6, 1), [drawn(40, 6, seed) for seed in (2, 3)]
    expected = [kid(real, fake) for fake in fakes]
    of_reals, summed = [], module.summed

    def counted(x: torch.Tensor, y: torch.Tensor, *subsets: torch.Tensor) -> module.Sums:
        of_reals.append(x is y is real)
        return summed(x, y, *subsets)

    monkeypatch.setattr(module, "summed", counted)
    measure = Kid(real, 40)
    assert [measure(fake) for fake in fakes] == expected and sum(of_reals) == 1
