from typing import Any, cast

import numpy as np
import pytest
import torch
from exact import BATCH, DENSE, tiny
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gannet.training.loop import Training, iterate
from gannet.training.statistics import Means


def test_means_by_hand() -> None:
    means = Means()
    assert means.flush() == {}
    means.add("a", torch.tensor([1.0, 3.0]))
    means.add("b", torch.tensor(5.0))
    means.add("a", torch.tensor(6.0))
    assert means.flush() == {"a": 4.0, "b": 5.0}
    assert means.flush() == {}
    means.add("a", torch.tensor([8.0]), weight=0.25)
    means.add("a", torch.tensor([4.0]), weight=0.75)
    means.add("c", torch.tensor(float("nan")))
    flushed = means.flush()
    assert flushed["a"] == 5.0
    assert np.isnan(flushed["c"])


def constant(t: Training, real: list[float], fake: list[float]) -> None:
    """Iteration i's losses: `real[i]`, `fake[i]`, and 1 for G; gradients vanish."""
    objective = cast(Any, t.game.objective)
    objective.d_real = lambda logits: logits * 0 + real[t.iteration]
    objective.d_fake = lambda logits: logits * 0 + fake[t.iteration]
    objective.g = lambda logits: logits * 0 + 1


@pytest.mark.parametrize("micro", [0, 1])
def test_a_line_holds_the_means_over_its_iterations(micro: int) -> None:
    t = tiny({**DENSE, "train.micro_batch": micro})
    constant(t, [1, 2, 6], [10, 20, 30])
    for _ in range(3):
        iterate(t)
    line = t.means.flush()
    assert line["loss D"] == pytest.approx(23)
    assert (line["D real"], line["D fake"], line["loss G"]) == pytest.approx((3, 20, 1))
    assert (line["grad norm D"], line["grad norm G"]) == (0, 0)
    assert "G adversarial" not in line


def test_d_loss_of_halves_is_their_mean() -> None:
    t = tiny({**DENSE, "game": {"name": "gan-halves", "g_steps": 2}})
    constant(t, [1], [10])
    iterate(t)
    line = t.means.flush()
    assert (line["loss D"], line["loss G"]) == (5.5, 1)
    assert "D half" not in line


def test_ratings_and_gradient_norms_are_measured_where_they_stand() -> None:
    t = tiny(DENSE)
    D, G = t.networks["D"], t.networks["G"]
    x, c = t.loader.reals(0, BATCH)
    z = t.loader.noise(0, BATCH)
    real, fake = D(x, c), D(G(z, c).detach(), c)
    loss = bce(real, torch.ones(BATCH)) + bce(fake, torch.zeros(BATCH))
    gradients = torch.autograd.grad(loss, list(D.parameters()), allow_unused=True)
    norm = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
    iterate(t)
    line = t.means.flush()
    assert line["D(x)"] == pytest.approx(torch.sigmoid(real).mean().item(), rel=1e-5)
    assert line["D(G(z))"] == pytest.approx(torch.sigmoid(fake).mean().item(), rel=1e-5)
    assert line["accuracy real"] == (real > 0).float().mean().item()
    assert line["accuracy fake"] == (fake <= 0).float().mean().item()
    assert line["loss D"] == pytest.approx(loss.item(), rel=1e-5)
    assert line["grad norm D"] == pytest.approx(norm.item(), rel=1e-4)
    assert line["D(G(z)) after"] < line["D(G(z))"]
