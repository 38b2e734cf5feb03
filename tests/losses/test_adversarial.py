import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from gannet.errors import UserError
from gannet.losses import OBJECTIVES
from gannet.losses.adversarial import Minimax, NonSaturating, bce

LN2 = 0.6931471805599453
SOFTPLUS_2 = 2.1269280110429727  # log(1 + e^2)
LOGITS = torch.tensor([-100.0, -12.0, -3.0, -0.5, 0.0, 0.25, 2.0, 9.0, 100.0], dtype=torch.float64)
OBJECTIVE = NonSaturating(real_label=0.9, fake_label=0.1)


def x(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_losses_by_hand() -> None:
    objective = NonSaturating()
    logits = x(0, 2, -2)
    near, far = SOFTPLUS_2 - 2, SOFTPLUS_2
    assert objective.d_real(logits).tolist() == pytest.approx([LN2, near, far], rel=1e-12)
    assert objective.d_fake(logits).tolist() == pytest.approx([LN2, far, near], rel=1e-12)
    assert objective.g(logits).tolist() == pytest.approx([LN2, near, far], rel=1e-12)
    assert Minimax().g(logits).tolist() == pytest.approx([-LN2, -far, -near], rel=1e-12)


def test_smoothed_losses_by_hand() -> None:
    one_sided = NonSaturating(real_label=0.9)
    assert one_sided.d_real(x(2)).item() == pytest.approx(SOFTPLUS_2 - 1.8, rel=1e-12)
    assert one_sided.d_fake(x(2)).item() == pytest.approx(SOFTPLUS_2, rel=1e-12)
    two_sided = NonSaturating(real_label=0.9, fake_label=0.1)
    assert two_sided.d_fake(x(2)).item() == pytest.approx(SOFTPLUS_2 - 0.2, rel=1e-12)
    assert two_sided.d_fake(x(-2)).item() == pytest.approx(SOFTPLUS_2 - 2 + 0.2, rel=1e-12)
    assert two_sided.g(x(2)).item() == pytest.approx(SOFTPLUS_2 - 2, rel=1e-12)


def test_a_smoothed_loss_is_least_at_its_label() -> None:
    logits = torch.linspace(-6, 6, 2401, dtype=torch.float64)
    best = logits[NonSaturating(real_label=0.9).d_real(logits).argmin()]
    assert torch.sigmoid(best).item() == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("label", [0.0, 0.1, 0.9, 1.0])
def test_cross_entropy_is_torchs_on_the_sigmoid(label: float) -> None:
    logits = torch.linspace(-15, 15, 301, dtype=torch.float64)
    expected = binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, label), reduction="none")
    assert torch.allclose(bce(logits, label), expected, rtol=1e-9, atol=1e-9)


def test_minimax_is_the_value_that_d_maximises() -> None:
    logits = torch.linspace(-15, 15, 301, dtype=torch.float64)
    assert torch.allclose(Minimax().g(logits), torch.log(1 - torch.sigmoid(logits)), rtol=1e-7, atol=1e-9)


GRADIENTS: list[tuple[Callable[[Tensor], Tensor], Callable[[float], float]]] = [
    (NonSaturating().d_real, lambda s: s - 1),
    (NonSaturating().d_fake, lambda s: s),
    (NonSaturating().g, lambda s: s - 1),
    (Minimax().g, lambda s: -s),
    (OBJECTIVE.d_real, lambda s: s - 0.9),
    (OBJECTIVE.d_fake, lambda s: s - 0.1),
    (OBJECTIVE.g, lambda s: s - 1),
]


@pytest.mark.parametrize(("loss", "gradient"), GRADIENTS)
def test_gradients_by_hand(loss: Callable[[Tensor], Tensor], gradient: Callable[[float], float]) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss(logits).sum().backward()
    assert logits.grad is not None
    expected = [gradient(sigmoid(value)) for value in LOGITS.tolist()]
    assert logits.grad.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", [row[0] for row in GRADIENTS])
def test_gradients_equal_finite_differences(loss: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(loss, LOGITS.clone().requires_grad_())


@pytest.mark.parametrize("loss", [row[0] for row in GRADIENTS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_sure_logits_are_finite_and_still_teach(loss: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    logits = torch.tensor([-100.0, 100.0], dtype=dtype, requires_grad=True)
    value = loss(logits)
    value.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() >= 0.8


def test_the_saturating_game_gives_no_gradient_where_d_is_sure() -> None:
    gradients = []
    for objective in (NonSaturating(), Minimax()):
        logits = x(-12).requires_grad_()
        objective.g(logits).sum().backward()
        assert logits.grad is not None
        gradients.append(logits.grad.item())
    assert gradients == pytest.approx([-1, 0], abs=1e-5)


@pytest.mark.parametrize("real", [True, False])
def test_labels_are_flipped_as_often_as_asked(real: bool) -> None:
    objective = NonSaturating(real_label=0.9, fake_label=0.2, label_noise=0.1)
    torch.manual_seed(4)
    logits = torch.full((40_000,), 3.0, dtype=torch.float64)
    losses = objective.d_real(logits) if real else objective.d_fake(logits)
    as_real, as_fake = (bce(logits[:1], label) for label in (0.9, 0.2))
    is_real, is_fake = torch.isclose(losses, as_real), torch.isclose(losses, as_fake)
    assert (is_real ^ is_fake).all()
    flipped = is_fake if real else is_real
    assert flipped.double().mean().item() == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / 40_000))


def test_flips_follow_torchs_seed_and_spare_g() -> None:
    objective = NonSaturating(label_noise=0.3)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(objective.d_real(torch.ones(50)))
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert len(objective.g(torch.ones(50)).unique()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"real_label": 1.1},
        {"fake_label": -0.1},
        {"real_label": 0.1, "fake_label": 0.9},
        {"real_label": 0.5, "fake_label": 0.5},
        {"real_label": math.nan},
        {"label_noise": 0.5},
        {"label_noise": -0.1},
        {"label_noise": math.nan},
    ],
)
def test_labels_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError) as caught:
        NonSaturating(**settings)
    assert "label" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OBJECTIVES.rows)
def test_every_objective_gives_one_value_a_sample(name: str) -> None:
    objective = OBJECTIVES.find(name)()
    real, fake = torch.randn(2, 7)
    losses = [*objective.d(real, fake).values(), objective.g(fake, *[real] * objective.needs_real)]
    for loss in losses:
        assert loss.shape == (7,) and loss.dtype == torch.float32
    assert objective.classifier is (name in ("non-saturating", "minimax"))
