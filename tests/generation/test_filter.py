"""Which images are kept: rejection sampling against distributions that are known, and quantiles by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gannet
from gannet.generation import filter as module
from gannet.generation.filter import Rejection, log_odds
from gannet.generation.latents import OfSeed
from gannet.generation.load import Discriminator, Generator, load

MEAN, STD = 0.4, 0.7  # of the data, in one dimension, where G makes N(0, 1)


class Optimal(nn.Module):
    """log(p_data / p_G) of each x, which no D can do better than."""

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        x = x.flatten()
        return -((x - MEAN) ** 2) / (2 * STD**2) + x**2 / 2 - np.log(STD)


class Line(OfSeed):
    """G is the identity."""

    def images(self, start: int, num: int) -> tuple[Any, Any]:
        return torch.from_numpy(self.z(start, num)), torch.zeros(num, 0)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(Generator, "discriminator", lambda self: Discriminator(Optimal(), True))
    facts: dict[str, Any] = {"classes": (), "z_dim": 1, "resolution": 1, "channels": 1}
    return Line(Generator(nn.Identity(), torch.device("cpu"), folder=tmp_path, **facts), 5)


def kept(line: Line, filter: Rejection, num: int, batch: int) -> np.ndarray:
    """Which of the first `num` images are kept."""
    parts = [filter.keeps(*line.images(first, batch), first) for first in range(0, num, batch)]
    return np.concatenate(parts)


def test_the_odds_without_gamma_are_those_of_rejection_sampling() -> None:
    """sigmoid(F) = exp(logit - M)."""
    logits = np.array([-3.0, -1.0, 0.5, 1.9])
    chance = 1 / (1 + np.exp(-log_odds(logits, np.full(4, 2.0))))
    assert np.allclose(chance, np.exp(logits - 2), rtol=1e-4)
    assert np.isfinite(log_odds(np.array([2.0]), np.array([2.0]))).all()


def test_what_is_kept_has_the_distribution_of_the_data(line: Line) -> None:
    filter = Rejection(line)
    assert filter.largest == pytest.approx(np.log(1 / STD) + MEAN**2 / (2 * (1 - STD**2)), abs=0.01), "by calculus"
    filter.gamma = 0.0
    x, is_kept = line.z(0, 40000)[:, 0], kept(line, filter, 40000, 400)
    assert is_kept.mean() == pytest.approx(np.exp(-filter.largest), rel=0.05), "1 / M of all"
    assert abs(x.mean()) < 0.02
    assert x[is_kept].mean() == pytest.approx(MEAN, abs=0.02)
    assert x[is_kept].std() == pytest.approx(STD, abs=0.02)


def test_gamma_trades_the_rate_for_the_distribution(line: Line) -> None:
    """Images at that percentile of F are kept half the time: fewer than of all, and nearer to where the ratio peaks."""
    x, is_kept = line.z(0, 8000)[:, 0], kept(line, Rejection(line), 8000, 64)
    assert 0.15 < is_kept.mean() < 0.45
    assert MEAN < x[is_kept].mean() < MEAN / (1 - STD**2) and x[is_kept].std() < STD


def test_the_fate_of_an_image_hangs_on_no_batch(line: Line) -> None:
    one, other = kept(line, Rejection(line), 640, 64), kept(line, Rejection(line), 640, 5)
    assert np.array_equal(one, other) and 0 < one.sum() < 640


def test_a_larger_logit_than_the_burn_in_found_counts_from_then_on(line: Line, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BURN_IN", module.BATCH)
    filter = Rejection(line)
    filter.largest = -5.0
    filter.keeps(*line.images(0, 64), 0)
    logits = Optimal()(*line.images(0, 64)).numpy()
    assert filter.largest == pytest.approx(float(logits.max()))


def test_rejection_keeps_the_numbers_of_the_seed(run: Any, tmp_path: Path) -> None:
    folder = run(("a", "b"))
    drawn = gannet.sample(folder, num=9, seed=3, rejection=True, out=tmp_path / "out")
    numbers = [int(path.name.split("_")[1]) for path in drawn.files]
    assert numbers == sorted(numbers) and drawn.num_drawn == numbers[-1] + 1 > 9
    plain = OfSeed(load(folder), 3)
    filter = Rejection(OfSeed(load(folder), 3, stream=module.Stream.BURN_IN))
    assert np.flatnonzero(filter.keeps(*plain.images(0, 64), 0))[: len(numbers)].tolist() == numbers[:64]


class Logits(nn.Module):
    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return x.flatten()


def test_where_d_is_no_classifier_realness_is_the_quantile_among_reals() -> None:
    D = Discriminator(Logits(), False, (0.0, 1.0, 2.0, 3.0, 4.0))
    rated = D.realness(torch.tensor([-1.0, 0.0, 1.0, 2.5, 4.0, 9.0]), torch.zeros(6, 0))
    assert rated.tolist() == [0, 0, 0.25, 0.625, 1, 1]
