"""Games with a D that rates an image at two sizes: every term is a mean over both logits."""

import math
from typing import Any

import pytest
import torch
from exact import BATCH, SMALL, exact, learn, tiny, weights
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softplus

from gannet.training.loop import Training, iterate

TWO = {**SMALL, "D.norm": "none", "D.stem": 3, "D.scales": 2, "optim.G.lr": 1e-3, "optim.D.lr": 1e-3}
CLASSES = ("a", "b", "c")
ACGAN = {"game": {"name": "acgan", "weight": 0.5}, "data.labels": True}


def slope(D: nn.Module, x: Tensor) -> Tensor:
    """Of the mean of both logits."""
    x = x.detach().requires_grad_()
    large, small = D(x, x.new_empty(len(x), 0)).unbind(1)
    (gradient,) = torch.autograd.grad((large.sum() + small.sum()) / 2, x, create_graph=True)
    return gradient.flatten(1)


def agree(ours: Training, plain: Training) -> None:
    assert any(name.startswith("smaller.") for name in plain.networks["D"].state_dict())
    for name, network in plain.networks.items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(ours.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-11)


def test_two_logits_with_r1_equal_a_plain_loop() -> None:
    settings = {**TWO, "penalties.r1.gamma": 0.3}
    ours, plain = exact(tiny(settings)), exact(tiny(settings))
    G, D, loader, none = plain.networks["G"], plain.networks["D"], plain.loader, torch.empty(BATCH, 0)
    for i in range(4):
        x, _ = loader.reals(i * BATCH, BATCH)
        fake = G(loader.noise(i * BATCH, BATCH), none)
        (real_large, real_small), (large, small) = (D(image, none).unbind(1) for image in (x, fake.detach()))
        losses = (softplus(-real_large) + softplus(-real_small) + softplus(large) + softplus(small)) / 2
        learn(plain, "D", (losses + 0.3 / 2 * slope(D, x).square().sum(1)).mean())
        large, small = D(fake, none).unbind(1)
        learn(plain, "G", ((softplus(-large) + softplus(-small)) / 2).mean())
        iterate(ours)
    agree(ours, plain)


def test_relativistic_average_compares_each_logit_with_the_mean_of_its_own_d() -> None:
    settings = {**TWO, "objective": {"name": "relativistic-average"}}
    ours, plain = exact(tiny(settings)), exact(tiny(settings))
    G, D, loader, none = plain.networks["G"], plain.networks["D"], plain.loader, torch.empty(BATCH, 0)

    def apart(high: Tensor, low: Tensor) -> Tensor:
        """Of the mean of `high` over `low`, and of `high` over the mean of `low`, each D by itself."""
        each = [
            softplus(b.mean() - a).mean() + softplus(b - a.mean()).mean() for a, b in zip(high.T, low.T, strict=True)
        ]
        return (each[0] + each[1]) / 2

    for i in range(4):
        x, _ = loader.reals(i * BATCH, BATCH)
        fake = G(loader.noise(i * BATCH, BATCH), none)
        learn(plain, "D", apart(D(x, none), D(fake.detach(), none)))
        learn(plain, "G", apart(D(fake, none), D(x, none).detach()))
        iterate(ours)
    agree(ours, plain)


def test_the_class_head_is_on_the_large_d_and_labels_come_into_neither() -> None:
    settings = {**TWO, **ACGAN}
    ours, plain = exact(tiny(settings, CLASSES)), exact(tiny(settings, CLASSES))
    G, loader, none = plain.networks["G"], plain.loader, torch.empty(BATCH, 0)
    D: Any = plain.networks["D"]

    def rate(x: Tensor, c: Tensor, sign: int) -> Tensor:
        logits, features = D.logits_and_features(x, none)
        assert features.shape == (BATCH, D.num_features)
        classes = -(log_softmax(plain.networks["head"](features), 1) * c).sum(1)
        return (softplus(sign * logits).mean(1) + 0.5 * classes).mean()

    for i in range(4):
        x, c = loader.reals(i * BATCH, BATCH)
        fake = G(loader.noise(i * BATCH, BATCH), c)
        learn(plain, "D", rate(x, c, -1) + rate(fake.detach(), c, 1))
        learn(plain, "G", rate(fake, c, -1))
        iterate(ours)
    agree(ours, plain)


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
@pytest.mark.parametrize(
    "settings",
    [
        {"penalties": {"lecam": {"weight": 0.1}, "consistency": {"real_weight": 1.0}}},
        {"penalties": {"gradient-penalty": {"weight": 10.0}}, "objective": {"name": "wasserstein"}},
        {"game.top_k": 0.5, "objective": {"name": "hinge"}},
        {"game": {"name": "infogan", "categories": 3}},
        {"augment": {"name": "ada", "p": 0.5}},
    ],
    ids=["lecam and consistency", "gradient penalty", "top-k", "infogan", "ada"],
)
def test_both_ds_learn(settings: dict[str, Any], norm: str) -> None:
    t = tiny({**TWO, "D.norm": norm, "D.bias": True, **settings})
    before = weights(t.networks["D"])
    for _ in range(2):
        iterate(t)
    assert all(math.isfinite(value) for value in t.means.flush().values())
    after = weights(t.networks["D"])
    learnt = {name for name, value in after.items() if not torch.equal(value, before[name])}
    for part in ("stem", "blocks", "to_logit", "smaller.blocks", "smaller.to_logit"):
        assert any(name.startswith(f"{part}.") for name in learnt), part
