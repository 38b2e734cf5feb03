"""Path lengths of generators whose path lengths are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.path_length import path_length


def drawn(num: int, dim: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal((num, dim)))


def apart(one: Tensor, other: Tensor) -> Tensor:
    """Squared, as the perceptual distance is."""
    return (one - other).square().flatten(1).sum(1)


def same(x: Tensor) -> Tensor:
    return x


def test_a_linear_generator_has_the_mean_square_of_its_ways() -> None:
    """|A (2 z' - 2 z)|^2 of each of 1,000 pairs, of which the ninth lowest and the ninth highest are the last cut."""
    A = drawn(6, 3, 1)
    ends = drawn(1000, 3, 2), drawn(1000, 3, 3)
    lengths = (2 * (ends[1] - ends[0]) @ A.T).square().sum(1).sort().values
    expected = lengths[9:991].mean().item()
    batches = zip(ends[0].split(300), ends[1].split(300), strict=True)
    found = path_length(batches, lambda z: 2 * z, lambda w: (w @ A.T)[:, None, :, None], apart)
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.low < found.value < found.high


def test_on_average_it_is_twice_the_trace() -> None:
    """E |A (z' - z)|^2 = 2 tr(A A'), here with the tails cut, which take 1% off at this spread at most."""
    A = drawn(40, 40, 4)
    ends = drawn(4000, 40, 5), drawn(4000, 40, 6)
    found = path_length([ends], same, lambda w: w @ A.T, apart)
    assert found.value == pytest.approx(2 * A.square().sum().item(), rel=0.02)
    assert (found.high - found.low) / found.value < 0.03


def test_the_hundredths_at_both_ends_are_cut() -> None:
    ways = torch.ones(1000, 1, dtype=torch.float64)
    ways[:5], ways[5:10] = 1000, 0
    assert path_length([(torch.zeros_like(ways), ways)], same, same, apart).value == pytest.approx(1, rel=1e-6)


def test_the_interval_is_as_wide_as_fresh_paths_vary() -> None:
    """The upper tail is long: where it is cut varies as well."""
    ends = [(drawn(1000, 1, 100 + i), drawn(1000, 1, 500 + i)) for i in range(100)]
    found = [path_length([pair], same, lambda w: w**3, apart) for pair in ends]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([(estimate.high - estimate.low) / 3.92 for estimate in found]) == pytest.approx(spread, rel=0.1)


def test_in_z_the_way_is_an_arc() -> None:
    """Unit vectors at a right angle are pi / 2 apart, the chord being 2^(1/2)."""
    ends = torch.tensor([[1.0, 0.0]] * 20).double(), torch.tensor([[0.0, 1.0]] * 20).double()
    assert path_length([ends], same, same, apart, "z").value == pytest.approx((np.pi / 2) ** 2, rel=1e-6)
    assert path_length([ends], same, same, apart, "w").value == pytest.approx(2, rel=1e-6)


def test_at_the_end_only_the_first_end_counts() -> None:
    """x = w^2 from w = 1 on to 3: (2 w 2)^2 is 16 at the end, and 16 (1 + 2 + 4 / 3) = 16 * 13 / 3 over the way."""
    ends = torch.ones(20000, 1).double(), torch.full((20000, 1), 3.0).double()
    assert path_length([ends], same, torch.square, apart, sampling="end").value == pytest.approx(16, rel=1e-3)
    assert path_length([ends], same, torch.square, apart).value == pytest.approx(16 * 13 / 3, rel=0.02)


def test_images_that_are_no_numbers_are_refused() -> None:
    ends = drawn(20, 2, 7), drawn(20, 2, 8)
    with pytest.raises(UserError, match="not finite"):
        path_length([ends], same, lambda w: w / 0, apart)
