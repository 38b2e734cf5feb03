import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.losses.distances import LSGAN, Hinge, Wasserstein

Loss = Callable[[Tensor], Tensor]
PEARSON = LSGAN(a=-1, b=1, c=0)
CASES: list[tuple[Loss, list[float], list[float]]] = [  # values and slopes at -2, -0.5, 0.5 and 3
    (LSGAN().d_real, [4.5, 1.125, 0.125, 2], [-3, -1.5, -0.5, 2]),
    (LSGAN().d_fake, [2, 0.125, 0.125, 4.5], [-2, -0.5, 0.5, 3]),
    (LSGAN().g, [4.5, 1.125, 0.125, 2], [-3, -1.5, -0.5, 2]),
    (PEARSON.d_real, [4.5, 1.125, 0.125, 2], [-3, -1.5, -0.5, 2]),
    (PEARSON.d_fake, [0.5, 0.125, 1.125, 8], [-1, 0.5, 1.5, 4]),
    (PEARSON.g, [2, 0.125, 0.125, 4.5], [-2, -0.5, 0.5, 3]),
    (Hinge().d_real, [3, 1.5, 0.5, 0], [-1, -1, -1, 0]),
    (Hinge().d_fake, [0, 0.5, 1.5, 4], [0, 1, 1, 1]),
    (Hinge().g, [2, 0.5, -0.5, -3], [-1, -1, -1, -1]),
    (Wasserstein().d_real, [2, 0.5, -0.5, -3], [-1, -1, -1, -1]),
    (Wasserstein().d_fake, [-2, -0.5, 0.5, 3], [1, 1, 1, 1]),
    (Wasserstein().g, [2, 0.5, -0.5, -3], [-1, -1, -1, -1]),
]


def logits() -> Tensor:
    return torch.tensor([-2, -0.5, 0.5, 3], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(("loss", "values", "slopes"), CASES)
def test_values_and_gradients_by_hand(loss: Loss, values: list[float], slopes: list[float]) -> None:
    x = logits()
    value = loss(x)
    assert value.tolist() == values
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert gradient.tolist() == slopes
    assert torch.autograd.gradcheck(loss, x)


@pytest.mark.parametrize("objective", [LSGAN(), Hinge(), Wasserstein()])
def test_one_value_a_sample_and_no_probability(objective: LSGAN | Wasserstein) -> None:
    assert objective.classifier is False and objective.needs_real is False
    for loss in (objective.d_real, objective.d_fake, objective.g):
        assert loss(torch.randn(7)).shape == (7,) and loss(torch.randn(7)).dtype == torch.float32


def test_where_d_takes_an_image_for_real() -> None:
    """Halfway between its targets, at 0, or nowhere: a critic has no zero of its own."""
    assert (LSGAN().boundary, PEARSON.boundary, LSGAN(a=1, b=4).boundary) == (0.5, 0, 2.5)
    assert Hinge().boundary == 0 and Wasserstein().boundary is None


def test_the_best_d_of_least_squares() -> None:
    """D* = (b p_data + a p_g) / (p_data + p_g) (Mao et al. 2017, equation 5): here p_data is 3 times p_g."""
    values = torch.linspace(-2, 2, 401, dtype=torch.float64)
    for objective, expected in ((LSGAN(), 0.75), (PEARSON, 0.5)):
        total = 3 * objective.d_real(values) + objective.d_fake(values)
        assert values[total.argmin()].item() == pytest.approx(expected, abs=1e-9)


def test_the_critic_measures_how_far_fakes_are() -> None:
    """Points at 0 and at 3 are 3 apart (Arjovsky et al. 2017, example 1): the critic D(x) = -x says so."""
    real, fake = torch.zeros(5), torch.full((5,), 3.0)
    critic = Wasserstein()
    assert -(critic.d_real(-real) + critic.d_fake(-fake)).mean() == 3


@pytest.mark.parametrize("settings", [{"a": 1.0}, {"b": 0.0}, {"c": math.nan}, {"a": math.inf}])
def test_targets_that_cannot_be_are_one_line(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"^objective\.a, b and c are [^\n]*$"):
        LSGAN(**settings)
