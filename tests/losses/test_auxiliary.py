import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gaussian_nll_loss

from gannet.losses.auxiliary import class_cross_entropy, gaussian_cross_entropy, l1


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_cross_entropy_by_hand() -> None:
    """Logits of log 1, log 2 and log 5 are probabilities of 1/8, 2/8 and 5/8."""
    logits = torch.tensor([[0, math.log(2), math.log(5)]] * 3, dtype=torch.float64)
    c = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0.5, 0.5, 0]])
    expected = [-math.log(5 / 8), math.log(8), (math.log(8) + math.log(4)) / 2]
    assert class_cross_entropy(logits, c).tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(class_cross_entropy, (drawn(4, 3), torch.eye(3)[[0, 2, 1, 1]].double()))


def test_the_bound_for_a_categorical_code() -> None:
    """H(c) + log Q (Chen et al. 2016, equation 5): 0 for a Q that guesses, log K for one that knows."""
    code = torch.eye(10, dtype=torch.float64)
    entropy = math.log(10)
    assert entropy - class_cross_entropy(torch.zeros_like(code), code).mean().item() == pytest.approx(0, abs=1e-12)
    assert entropy - class_cross_entropy(100 * code, code).mean().item() == pytest.approx(entropy, rel=1e-12)
    assert entropy - class_cross_entropy(100 * code.roll(1, 1), code).mean().item() < 0


def test_gaussian_cross_entropy_by_hand() -> None:
    """log sqrt(2 pi) = 0.9189385...; a spread of e^1, one of its spreads away, costs 1 + 1/2 more."""
    constant = 0.9189385332046727
    mean = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    log_std = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    code = torch.tensor([[0.0], [math.e], [-1.0]], dtype=torch.float64)
    value = gaussian_cross_entropy(mean, log_std, code)
    assert value.tolist() == pytest.approx([constant, constant + 1.5, constant + 2], rel=1e-12)


def test_gaussian_cross_entropy_is_torchs_summed_over_the_codes() -> None:
    mean, log_std, code = drawn(6, 3), drawn(6, 3), drawn(6, 3).detach()
    expected = gaussian_nll_loss(mean, code, (2 * log_std).exp(), full=True, reduction="none").sum(1)
    assert torch.allclose(gaussian_cross_entropy(mean, log_std, code), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(gaussian_cross_entropy, (mean, log_std, code))


def test_the_bound_for_a_continuous_code() -> None:
    """c = x + noise of spread 0.1: I(c; x) is reached by the Q that knows the noise, and by no other."""
    torch.manual_seed(0)
    x = 0.3 * torch.randn(200_000, 1, dtype=torch.float64)
    c = x + 0.1 * torch.randn_like(x)
    entropy = math.log(2 * math.pi * math.e * (0.09 + 0.01)) / 2
    truth = math.log(0.1 / 0.01) / 2
    bounds = {
        std: entropy - gaussian_cross_entropy(x, torch.full_like(x, math.log(std)), c).mean().item()
        for std in (0.05, 0.1, 0.3)
    }
    assert bounds[0.1] == pytest.approx(truth, abs=0.01)
    assert max(bounds[0.05], bounds[0.3]) < truth - 0.2


def test_reconstruction_by_hand() -> None:
    x = torch.tensor([[[1.0, -1]], [[0, 0.5]]], dtype=torch.float64)
    target = torch.tensor([[[1.0, 1]], [[-1, 0]]], dtype=torch.float64)
    assert l1(x, target).tolist() == [1, 0.75]
    assert l1(x.repeat(1, 4, 4), target.repeat(1, 4, 4)).tolist() == [1, 0.75]


def test_reconstruction() -> None:
    torch.manual_seed(0)
    x, target = drawn(3, 2, 2, 2), drawn(3, 2, 2, 2)
    assert torch.autograd.gradcheck(l1, (x, target))
    for i in range(3):
        assert l1(x, target)[i].item() == pytest.approx(l1(x[i : i + 1], target[i : i + 1]).item(), rel=1e-12)
    with pytest.raises(AssertionError):
        l1(x, target[:1])


def test_the_median_is_what_l1_wants() -> None:
    """And not the mean, which blurs (Isola et al. 2017, section 3.1)."""
    values = torch.tensor([0.0, 0, 0, 1, 1])
    guesses = torch.linspace(0, 1, 101)
    costs = [l1(guess.expand(1, 5), values[None]).item() for guess in guesses]
    assert guesses[costs.index(min(costs))].item() == 0
