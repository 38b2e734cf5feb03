"""Precision, recall, density and coverage of samples with known faults, and of ties that rounding would decide."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.prdc import density_coverage, precision_recall

CLUSTERS = 10


def drawn(num: int, dim: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal((num, dim), np.float32))


def clusters(num: int, seed: int, kinds: int = CLUSTERS) -> Tensor:
    """As many of each kind; the kinds lie far apart, and the images of one vary in two ways."""
    features = torch.zeros(num, 16)
    features[:, -2:] = drawn(num, 2, seed)
    features[torch.arange(num), torch.arange(num) % kinds] += 100
    return features


def values(real: Tensor, fake: Tensor) -> list[float]:
    """Precision, recall, density, coverage."""
    return [found.value for found in (*precision_recall(real, fake), *density_coverage(real, fake))]


def by_definition(real: np.ndarray, fake: np.ndarray) -> list[float]:
    """In float64, from all differences at once."""

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.square(a[:, None].astype(float) - b[None].astype(float)).sum(2)

    def around(a: np.ndarray, k: int) -> np.ndarray:
        return np.sort(apart(a, a), 1)[:, k]

    between = apart(fake, real)
    precise = (between <= around(real, 3)[None]).any(1).mean()
    recalled = (between <= around(fake, 3)[:, None]).any(0).mean()
    inside = between <= around(real, 5)[None]
    return [precise, recalled, inside.sum() / (5 * len(fake)), inside.any(0).mean()]


def test_they_are_those_of_the_definitions() -> None:
    real, fake = drawn(120, 6, 1), drawn(90, 6, 2) * 1.2
    found = values(real, fake)
    assert found == pytest.approx(by_definition(real.numpy(), fake.numpy()), rel=1e-12)
    assert min(found) > 0.2 and max(found[:2]) < 1


def test_four_reals_by_hand() -> None:
    """On a line at 0, 1, 2, 10: the third nearest are 10, 9, 8, 10 away. Fakes at 5, 6, 7 and 40: 35 and less."""
    real, fake = torch.tensor([[0.0], [1], [2], [10]]), torch.tensor([[5.0], [6], [7], [40]])
    precision, recall = precision_recall(real, fake)
    assert (precision.value, recall.value) == (0.75, 1.0)
    assert precision_recall(real, torch.tensor([[30.0], [31], [32], [33]]))[1].value == 0


def test_dropped_modes_are_missed_by_recall_and_coverage() -> None:
    precision, recall, density, coverage = values(clusters(500, 3), clusters(500, 4, kinds=5))
    assert precision > 0.9 and recall == pytest.approx(0.5, abs=0.05)
    assert density == pytest.approx(1, abs=0.1) and coverage == pytest.approx(0.5, abs=0.05)


def test_poor_samples_are_missed_by_precision_and_density() -> None:
    """Half of the samples lie where no real is."""
    fake = clusters(500, 5)
    fake[:250, CLUSTERS] += 50
    precision, recall, density, _ = values(clusters(500, 6), fake)
    assert precision == pytest.approx(0.5, abs=0.05) and recall > 0.85
    assert density == pytest.approx(0.5, abs=0.1)


def test_samples_of_one_image_have_no_recall() -> None:
    real = clusters(300, 7)
    precision, recall, _, coverage = values(real, real[:1].repeat(300, 1))
    assert precision == 1 and recall == pytest.approx(1 / 300) and coverage < 0.1


def test_one_far_real_lets_precision_count_anything_but_not_density() -> None:
    """The outlier's neighbourhood holds all; density, which counts neighbourhoods, is near 0."""
    real = torch.cat([drawn(200, 4, 8), torch.full((1, 4), 100.0)])
    precision, _, density, _ = values(real, drawn(200, 4, 9) + 30)
    assert precision == 1 and density < 0.3


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_ties_are_decided_as_in_float64(offset: float) -> None:
    """Copies, and whole numbers, of which many are at the same distance; far from 0 their squares lose all digits."""
    random = np.random.Generator(np.random.Philox(10))
    real, fake = (random.integers(0, 3, (80, 5)).astype(np.float32) + offset for _ in range(2))
    fake[:20] = real[:20]
    expected = by_definition(real, fake)
    assert values(torch.from_numpy(real), torch.from_numpy(fake)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("num_real", "num_fake"), [(300, 300), (300, 1000)])
def test_the_intervals_hold_what_fresh_images_give_on_average(num_real: int, num_fake: int) -> None:
    """40 draws of both sets, each with its intervals: neighbourhoods vary with the images whose they are."""
    draws: list[list[Estimate]] = []
    for i in range(40):
        real, fake = drawn(num_real, 16, 100 + i), drawn(num_fake, 16, 200 + i) * 0.9
        draws.append([*precision_recall(real, fake), *density_coverage(real, fake)])
    for found in zip(*draws, strict=True):
        values = np.array([estimate.value for estimate in found])
        held = [estimate.low <= values.mean() <= estimate.high for estimate in found]
        assert np.mean(held) >= 0.85
        if values.mean() < 0.99 or values.mean() > 1:  # cut off at 1 the interval is half
            width = np.mean([(estimate.high - estimate.low) / 3.92 for estimate in found])
            assert 0.85 < width / values.std() < 1.35


def test_where_all_images_count_alike_the_interval_is_by_the_rule_of_three() -> None:
    """None of n with another verdict leaves a share of 3 / n of them possible."""
    real = drawn(500, 2, 11)
    precision, _ = precision_recall(real, real[:50] * 0.1)
    assert (precision.value, precision.high) == (1, 1) and 0.5 < precision.low <= 0.94
    precision, recall = precision_recall(real, real[:50] + 100)
    assert (precision.low, precision.value, precision.high) == (0, 0, pytest.approx(3 / 50))
    assert (recall.low, recall.value, recall.high) == (0, 0, pytest.approx(3 / 500))
    density, coverage = density_coverage(real, real[:50] + 100)
    assert (density.value, density.high) == (0, pytest.approx(3 / 50))
    assert (coverage.value, coverage.high) == (0, pytest.approx(3 / 500))


def test_the_fewest_images_have_intervals() -> None:
    four, six = (drawn(4, 2, 17), drawn(4, 2, 18)), (drawn(6, 2, 17), drawn(6, 2, 18))
    for found in (*precision_recall(*four), *density_coverage(*six)):
        assert found.low <= found.value <= found.high and found.low < found.high


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UserError, match="3 images have no 3 neighbours each: 4 are needed"):
        precision_recall(drawn(9, 2, 13), drawn(3, 2, 14))
    with pytest.raises(UserError, match="5 images have no 5 neighbours each"):
        density_coverage(drawn(5, 2, 15), drawn(9, 2, 16))
