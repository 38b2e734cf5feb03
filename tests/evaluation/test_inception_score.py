"""The Inception Score at its ends, by its definition, and as sure as it says."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.inception_score import inception_score


def drawn(num: int, classes: int, seed: int, sure: float = 3.0) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal((num, classes)) * sure)


def test_images_that_are_all_alike_score_1() -> None:
    alike = drawn(1, 7, 1).expand(40, 7)
    assert inception_score(alike).value == pytest.approx(1)
    assert inception_score(torch.zeros(40, 7)).value == pytest.approx(1)


def test_sure_and_even_in_each_split_scores_the_number_of_classes() -> None:
    """Each split has one image of each of 5 classes; of those never seen nothing is added."""
    order = np.random.RandomState(2020).permutation(50)
    logits = torch.full((50, 8), -1000.0)
    logits[torch.from_numpy(order), torch.arange(50) % 5] = 1000.0
    assert inception_score(logits).value == pytest.approx(5)


def test_it_is_the_mean_of_the_splits() -> None:
    """Of 53 images, in splits of 5 and 6."""
    logits = drawn(53, 6, 2).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = p[np.random.RandomState(2020).permutation(53)]
    scores = []
    for k in range(10):
        part = p[k * 53 // 10 : (k + 1) * 53 // 10]
        scores.append(math.exp((part * np.log(part / part.mean(0))).sum(1).mean()))
    assert inception_score(torch.from_numpy(logits)).value == pytest.approx(np.mean(scores), rel=1e-9)


def test_the_interval_is_as_wide_as_fresh_images_vary() -> None:
    found = [inception_score(drawn(300, 5, 100 + i)) for i in range(60)]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([(estimate.high - estimate.low) / 3.92 for estimate in found]) == pytest.approx(spread, rel=0.25)


def test_fewer_images_than_splits_are_refused() -> None:
    with pytest.raises(UserError, match="10 splits, and there are 9 images"):
        inception_score(drawn(9, 3, 3))
