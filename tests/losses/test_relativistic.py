import math

import pytest
import torch
from torch import Tensor

from gannet.losses.relativistic import RelativisticAverage, RelativisticPaired

REAL, FAKE = [2.0, -1.0, 0.5], [1.0, 0.0, -4.0]
Objective = RelativisticPaired | RelativisticAverage
objectives = pytest.mark.parametrize("objective", [RelativisticPaired(), RelativisticAverage()])


def x(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def d(objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """All of D's terms, which are paired here by their number."""
    return torch.stack(list(objective.d(real, fake).values())).sum(0)


def log_sigmoid(value: float) -> float:
    return math.log(1 / (1 + math.exp(-value)))


def test_paired_losses_one_sample_at_a_time() -> None:
    objective = RelativisticPaired()
    expected = [-log_sigmoid(r - f) for r, f in zip(REAL, FAKE, strict=True)]
    assert objective.d(x(REAL), x(FAKE))["paired"].tolist() == pytest.approx(expected, rel=1e-12)
    expected = [-log_sigmoid(f - r) for r, f in zip(REAL, FAKE, strict=True)]
    assert objective.g(x(FAKE), x(REAL)).tolist() == pytest.approx(expected, rel=1e-12)


def test_average_losses_one_sample_at_a_time() -> None:
    """The mean real is 0.5, the mean fake -1."""
    objective = RelativisticAverage()
    terms = [(1 / (1 + math.exp(-(r + 1))), 1 / (1 + math.exp(-(f - 0.5)))) for r, f in zip(REAL, FAKE, strict=True)]
    of_d = objective.d(x(REAL), x(FAKE))
    assert of_d["real"].tolist() == pytest.approx([-math.log(r) for r, _ in terms], rel=1e-12)
    assert of_d["fake"].tolist() == pytest.approx([-math.log(1 - f) for _, f in terms], rel=1e-12)
    of_g = [-math.log(f) - math.log(1 - r) for r, f in terms]
    assert objective.g(x(FAKE), x(REAL)).tolist() == pytest.approx(of_g, rel=1e-12)


@objectives
def test_only_differences_count(objective: Objective) -> None:
    assert (objective.needs_real, objective.classifier, objective.boundary) == (True, False, None)
    real, fake = x(REAL), x(FAKE)
    for term in [objective.g(fake, real), *objective.d(real, fake).values()]:
        assert term.shape == (3,)
    assert torch.allclose(objective.g(fake + 7, real + 7), objective.g(fake, real), rtol=1e-12)
    assert torch.allclose(d(objective, real + 7, fake + 7), d(objective, real, fake), rtol=1e-12)


@objectives
def test_the_game_is_the_same_with_the_places_changed(objective: Objective) -> None:
    assert torch.allclose(objective.g(x(FAKE), x(REAL)), d(objective, x(FAKE), x(REAL)), rtol=1e-12)


@objectives
def test_gradients(objective: Objective) -> None:
    for loss in (objective.g, lambda real, fake: d(objective, real, fake)):
        assert torch.autograd.gradcheck(loss, (x(REAL), x(FAKE)))
        assert torch.autograd.gradgradcheck(loss, (x(REAL), x(FAKE)))


def test_gs_step_moves_fakes_up_against_reals() -> None:
    for objective in (RelativisticPaired(), RelativisticAverage()):
        real, fake = x(REAL), x(FAKE)
        of_real, of_fake = torch.autograd.grad(objective.g(fake, real).mean(), (real, fake))
        assert (of_fake < 0).all() and (of_real > 0).all()
        assert of_fake.sum().item() == pytest.approx(-of_real.sum().item(), rel=1e-12)


@objectives
def test_sure_logits_stay_finite_and_teach(objective: Objective) -> None:
    real = torch.full((2,), 300.0, requires_grad=True)
    fake = torch.full((2,), -300.0, requires_grad=True)
    loss = objective.g(fake, real)
    (gradient,) = torch.autograd.grad(loss.mean(), fake)
    assert torch.isfinite(loss).all()
    assert gradient.sum().item() <= -0.99
    assert d(objective, real, fake).tolist() == [0, 0]


def test_pairs_need_as_many_reals_as_fakes() -> None:
    objective = RelativisticPaired()
    for loss in (objective.d, objective.g):
        with pytest.raises(AssertionError):
            loss(torch.zeros(4), torch.zeros(1))
