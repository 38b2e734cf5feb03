"""The Frechet distance against Gaussians whose distance is known, and sums that keep no feature."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import places
from gannet.evaluation.frechet import (
    Gaussian,
    Space,
    frechet,
    frechet_between,
    frechet_distance,
    frechet_of,
    influences,
)


def drawn(num: int, dim: int, seed: int, mix: int | None = None) -> Tensor:
    """Features of unequal spread, correlated, away from 0; of one `mix` and several seeds from one distribution."""
    random = np.random.Generator(np.random.Philox(seed))
    values = random.standard_normal((num, dim))
    mixing = random if mix is None else np.random.Generator(np.random.Philox(mix))
    return torch.from_numpy(values @ mixing.standard_normal((dim, dim)) + 5)


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


def test_the_distance_is_that_of_the_formula_with_scipys_square_root() -> None:
    a, b = drawn(100, 12, 9), drawn(80, 12, 10) * 0.5 + 1
    s, t = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0).numpy() - b.mean(0).numpy()).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(Gaussian.of(a), Gaussian.of(b)) == pytest.approx(float(expected), rel=1e-9)
    assert frechet(a, b).value == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("num", "other"), [(100, 80), (5, 7), (5, 80), (80, 5)])
def test_with_an_interval_the_distance_is_the_same(num: int, other: int) -> None:
    """Of 20 features: of more images, and of fewer, which are turned into the space that they span."""
    a, b = drawn(num, 20, 11), drawn(other, 20, 12)
    found = frechet(a, b)
    assert found.value == pytest.approx(frechet_distance(Gaussian.of(a), Gaussian.of(b)), rel=1e-6)
    assert 0 <= found.low < found.value < found.high


def test_features_that_never_change_are_no_obstacle() -> None:
    """As of a ReLU that is always 0: the covariance is singular, whatever the number."""
    a, b = drawn(50, 6, 13), drawn(60, 6, 14)
    a[:, 2], b[:, 2] = 7, 7
    a[:, 4] = 0
    expected = frechet_distance(Gaussian.of(b), Gaussian.of(a))
    assert frechet(a, b).value == pytest.approx(expected, rel=1e-7)
    rest = [0, 1, 3, 4, 5]
    assert frechet(a[:, rest], b[:, rest]).value == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("num", [30, 5])
def test_an_images_influence_is_how_the_distance_grows_with_its_weight(num: int) -> None:
    """By central differences, of reals and of fakes; of 30 images and of fewer than features."""
    sets, step = (drawn(num, 8, 15), drawn(num, 8, 16) + 1), 1e-4

    def weighted(features: Tensor, image: int, extra: float) -> Gaussian:
        weights = torch.full((num,), (1 - extra) / num, dtype=torch.float64)
        weights[image] += extra
        gaussian = Gaussian()
        gaussian.num, gaussian.mean = num, weights @ features
        away = features - gaussian.mean
        gaussian.scatter = (num - 1) * (away.T * weights) @ away
        return gaussian

    for side in (0, 1):
        plain = [weighted(features, 0, 0.0) for features in sets]
        ways = []
        for image in range(num):
            distances = []
            for extra in (step, -step):
                both = list(plain)
                both[side] = weighted(sets[side], image, extra)
                distances.append(frechet_distance(*both))
            ways.append((distances[0] - distances[1]) / (2 * step))
        found = influences(plain[0], plain[1], *sets)[1:][side]
        torch.testing.assert_close(found - found.mean(), torch.tensor(ways).double(), rtol=1e-3, atol=1e-2)


def test_the_interval_is_as_wide_as_fresh_images_vary() -> None:
    """60 draws of 300 and 400 images with 6 features, each with an interval of its own."""
    found = [frechet(drawn(300, 6, 1000 + i, 17), drawn(400, 6, 2000 + i, 18)) for i in range(60)]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([(estimate.high - estimate.low) / 3.92 for estimate in found]) == pytest.approx(spread, rel=0.25)


def test_some_features_do_for_the_interval() -> None:
    a, b = drawn(2000, 6, 19), drawn(2000, 6, 20)
    whole, some = frechet(a, b), frechet_between(Gaussian.of(a), Gaussian.of(b), a[::4], b[::4])
    assert some.value == whole.value
    assert some.high - some.low == pytest.approx(whole.high - whole.low, rel=0.2)


def space(features: Tensor, num: int, **how: int) -> Space:
    found = Space(num, **how)
    for part in features.split(7):
        found.add(part)
    return found


@pytest.mark.parametrize(("num", "dim"), [(80, 3), (20, 60)])
def test_what_comes_batch_by_batch_is_as_far_apart(num: int, dim: int) -> None:
    one, other = drawn(num, dim, 11, mix=1), drawn(num + 5, dim, 12, mix=2)
    expected = frechet(one, other)
    found = frechet_of(space(one, num), space(other, num + 5))
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_some_items_are_kept_whole() -> None:
    features = drawn(60, 3, 13)
    some = space(features, 20, most=4, rows=3)
    torch.testing.assert_close(some.some, features.view(20, 3, 3)[places(20, 4)].flatten(0, 1))
    torch.testing.assert_close(some.gaussian.covariance, torch.cov(features.T))
    assert not some.is_whole and space(features, 20, rows=3).is_whole


def test_pairs_are_resampled_together() -> None:
    """What differs from its target by a little is as far from it in every choice of pairs."""
    target = drawn(200, 3, 14)
    made = space(target + 0.2, 200)
    apart, together = (frechet_of(made, space(target, 200), are_pairs) for are_pairs in (False, True))
    assert apart.value == together.value == pytest.approx(3 * 0.2**2)
    assert together.high - together.low < 0.01 * (apart.high - apart.low)


def test_rows_of_an_item_are_resampled_together() -> None:
    """Of 40 items, each of 9 rows that are the same, an interval is as wide as of 40 rows, and not of 360."""
    one, other = drawn(40, 3, 15, mix=1), drawn(40, 3, 16, mix=2)
    ones, others = (space(each.repeat_interleave(9, 0), 40, rows=9) for each in (one, other))
    known, found = frechet_of(space(one, 40), space(other, 40)), frechet_of(ones, others)
    assert found.high - found.low == pytest.approx(known.high - known.low, rel=0.05)
