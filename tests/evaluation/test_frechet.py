"""The Frechet distance against Gaussians whose distance is known, and sums that keep no feature."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.frechet import Gaussian, frechet_distance


def drawn(num: int, dim: int, seed: int) -> Tensor:
    """Features of unequal spread, correlated, away from 0."""
    random = np.random.Generator(np.random.Philox(seed))
    return torch.from_numpy(random.standard_normal((num, dim)) @ random.standard_normal((dim, dim)) + 5)


def known(mean: list[float], covariance: list[list[float]]) -> Gaussian:
    """The Gaussian itself, as if of two images."""
    gaussian = Gaussian()
    gaussian.num, gaussian.mean = 2, torch.tensor(mean).double()
    gaussian.scatter = torch.tensor(covariance).double()
    return gaussian


@pytest.mark.parametrize("sizes", [[40], [1, 39], [7, 7, 26], [39, 1]])
def test_batches_add_up_to_the_mean_and_covariance_of_all(sizes: list[int]) -> None:
    features, gaussian = drawn(40, 3, 1), Gaussian()
    for part in features.split(sizes):
        gaussian.add(part.clone())
    assert gaussian.num == 40
    torch.testing.assert_close(gaussian.mean, features.mean(0))
    torch.testing.assert_close(gaussian.covariance, torch.cov(features.T))


def test_a_large_offset_costs_no_precision() -> None:
    """Where sums of squares would have lost all digits."""
    features = drawn(1000, 2, 2)
    torch.testing.assert_close(Gaussian.of(features + 1e7).covariance, torch.cov(features.T), rtol=1e-6, atol=0)


def test_apart_in_one_dimension_by_hand() -> None:
    """(3 - 1)^2 + (4 + 9 - 2 * 2 * 3) = 5."""
    assert frechet_distance(known([1], [[4]]), known([3], [[9]])) == pytest.approx(5)


def test_apart_in_two_dimensions_by_hand() -> None:
    """Of 2x2 matrices tr (M^(1/2)) = sqrt(tr M + 2 sqrt(det M)); here M = S S' = [[11, 5], [7, 7]]."""
    one, other = known([0, 0], [[2, 1], [1, 2]]), known([1, 2], [[5, 1], [1, 3]])
    traces = (18 + 2 * 42**0.5) ** 0.5
    assert frechet_distance(one, other) == pytest.approx(5 + 4 + 8 - 2 * traces)


def test_the_distance_is_symmetric_and_0_to_oneself() -> None:
    one, other = Gaussian.of(drawn(50, 6, 3)), Gaussian.of(drawn(60, 6, 4))
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_fewer_images_than_features_are_no_obstacle() -> None:
    """Singular covariances: the distance is that within the space of both, by singular values of the features."""
    a, b = drawn(5, 20, 5), drawn(7, 20, 6)
    traces = torch.linalg.matrix_norm((a - a.mean(0)) @ (b - b.mean(0)).T, "nuc") / (4 * 6) ** 0.5
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * traces
    assert frechet_distance(Gaussian.of(a), Gaussian.of(b)) == pytest.approx(expected.item(), rel=1e-6)


def test_one_image_is_refused() -> None:
    with pytest.raises(UserError, match="1 image has no spread"):
        frechet_distance(Gaussian.of(drawn(1, 2, 7)), Gaussian.of(drawn(9, 2, 7)))
