"""Class by class: who is compared with whom, and classes that have collapsed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.frechet import frechet
from gannet.evaluation.kid import kid
from gannet.evaluation.per_class import OfClass, by_class, diversity, mean_distance


def drawn(num: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal((num, 4)))


def test_each_class_is_compared_with_itself() -> None:
    real, fake = drawn(90, 1), drawn(60, 2)
    labels, made = np.arange(90) % 3, np.arange(60) % 2 * 2
    first, second = by_class(real, labels, fake, made)
    assert [(one.label, one.num_real, one.num_fake) for one in (first, second)] == [(0, 30, 30), (2, 30, 30)]
    assert second.distance == frechet(real[2::3], fake[1::2])
    assert by_class(real, labels, fake, made, kid)[0].distance == kid(real[::3], fake[::2])


def test_a_class_of_one_image_is_left_out_and_none_at_all_is_refused() -> None:
    real, fake = drawn(5, 3), drawn(5, 4)
    assert [one.label for one in by_class(real, np.array([0, 0, 1, 1, 1]), fake, np.array([0, 1, 1, 1, 1]))] == [1]
    with pytest.raises(UserError, match="no class has two real and two generated images"):
        by_class(real, np.zeros(5), fake, np.ones(5))


def test_the_mean_counts_classes_alike_and_adds_their_variances() -> None:
    classes = [OfClass(0, 9, 9, Estimate(2, 2 - 0.3, 2 + 0.6), 1, 1), OfClass(1, 99, 99, Estimate(4, 3.6, 4.8), 1, 1)]
    found = mean_distance(tuple(classes))
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - 0.25, 3 + 0.5))


def test_diversity_is_the_root_mean_square_over_pairs() -> None:
    features = drawn(20, 5)
    assert diversity(features) == pytest.approx(torch.pdist(features).square().mean().sqrt().item())


def test_a_class_that_has_collapsed_has_no_diversity() -> None:
    real, fake, labels = drawn(40, 6), drawn(40, 7), np.arange(40) % 2
    fake[1::2] = fake[1]
    well, collapsed = by_class(real, labels, fake, labels)
    assert well.diversity_fake > 0.7 * well.diversity_real
    assert collapsed.diversity_fake == 0 < collapsed.diversity_real
