"""The class head of ACGAN, against a plain loop as the paper writes it."""

import math
from typing import Any

import pytest
import torch
from exact import BATCH, DENSE, SMALL, exact, learn, same, tiny, weights
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

from gannet.errors import UserError
from gannet.games.acgan import hits
from gannet.training.build import build_networks
from gannet.training.loop import Training, iterate

CLASSES = ("a", "b", "c")
GAME = {"game": {"name": "acgan", "weight": 0.5}, "data.labels": True}
PLAIN = {**DENSE, **GAME, "optim.G.lr": 1e-3, "optim.D.lr": 1e-3}


def play_plainly(t: Training, num: int) -> None:
    """Odena et al. 2017, section 3: D maximises L_S + L_C, G maximises L_C - L_S; its non-saturating form."""
    G, loader = t.networks["G"], t.loader
    D: Any = t.networks["D"]

    def rate(x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = D.logits_and_features(x, torch.empty(BATCH, 0))
        return logits, -(log_softmax(t.networks["head"](features), 1) * c).sum(1)

    for i in range(num):
        x, c = loader.reals(i * BATCH, BATCH)
        fake = G(loader.noise(i * BATCH, BATCH), c)
        (real, real_class), (fakes, fake_class) = rate(x, c), rate(fake.detach(), c)
        learn(t, "D", (softplus(-real) + softplus(fakes) + 0.5 * (real_class + fake_class)).mean())
        logits, classes = rate(fake, c)
        learn(t, "G", (softplus(-logits) + 0.5 * classes).mean())


def agree(one: Training, other: Training) -> None:
    for name in ("G", "D", "head"):
        for key, value in one.networks[name].state_dict().items():
            torch.testing.assert_close(other.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-11)


def test_it_equals_a_plain_loop() -> None:
    ours, plain = exact(tiny(PLAIN, CLASSES)), exact(tiny(PLAIN, CLASSES))
    before = weights(plain.networks["head"])
    play_plainly(plain, 6)
    for _ in range(6):
        iterate(ours)
    agree(plain, ours)
    assert not same(weights(plain.networks["head"]), before)


def test_micro_batches_equal_one() -> None:
    whole, cut = exact(tiny(PLAIN, CLASSES)), exact(tiny({**PLAIN, "train.micro_batch": 2}, CLASSES))
    for t in (whole, cut):
        for _ in range(3):
            iterate(t)
    agree(whole, cut)
    lines = [t.means.flush() for t in (whole, cut)]
    assert lines[0] == pytest.approx(lines[1], rel=1e-9)


def test_what_is_reported() -> None:
    """A head of zeros costs ln 3 a class; its guess is always the first, which is right for one label of three."""
    t = tiny({**PLAIN, "train.batch": 12}, CLASSES)
    for parameter in t.networks["head"].parameters():
        parameter.data.zero_()
    t.optimizers["D"].param_groups[0]["lr"] = t.optimizers["D"].param_groups[0]["initial_lr"] = 1e-12
    iterate(t)
    line = t.means.flush()
    for name in ("D class real", "D class fake", "G class"):
        assert line[name] == pytest.approx(0.5 * math.log(3), rel=1e-4)
    labels = t.loader.reals(0, 12)[1].argmax(1)
    assert line["class accuracy real"] == line["class accuracy fake"] == pytest.approx((labels == 0).float().mean())


def test_hits_by_hand() -> None:
    logits = torch.tensor([[1.0, 2, 0], [5, 2, 0], [0, 0, 1]])
    assert hits(logits, torch.eye(3)[[1, 1, 2]]).tolist() == [1, 0, 1]


FEW: list[dict[str, Any]] = [{"name": "mlp", "hidden": [8]}, {"name": "dcgan", "width": 2}]
LABELLED = [{**D, "label": label} for D in FEW for label in ("channel", "concatenation", "projection")]
OTHERS: list[dict[str, Any]] = [
    {"name": "resnet", "width": 2, "max_width": 4},
    {"name": "biggan", "width": 2},
    {"name": "fastgan", "width": 2},
    {"name": "r3gan", "widths": [8, 4, 4, 4], "group_size": 4, "blocks": 1},
    {"name": "stylegan2", "channel_base": 32, "channel_max": 4},
]


@pytest.mark.parametrize("D", [*LABELLED, *OTHERS])
def test_no_d_is_told_the_label(D: dict[str, Any]) -> None:
    """Whatever the settings of D: it is built for no classes, G for all."""
    t = tiny({**SMALL, **GAME, "data.resolution": 32, "D": D}, CLASSES)
    seen, x = t.networks["D"].eval(), torch.rand(3, 3, 32, 32)
    assert torch.equal(*(seen(x, torch.eye(3)[rows]) for rows in ([0, 1, 2], [2, 0, 1])))
    assert set(build_networks(t.recipe, 3, 0)["D"].state_dict()) == set(seen.state_dict())
    assert weights(t.networks["head"])["weight"].shape[0] == 3


def test_classes_are_learned() -> None:
    """Images whose brightness is their class: the head tells them apart after a few steps."""
    t = tiny({**DENSE, **GAME, "optim.D.lr": 5e-3, "train.batch": 16}, CLASSES)
    t.loader.dataset.images[:] = t.loader.dataset.labels[:, None, None, None] * 100
    for _ in range(60):
        t.means.flush()
        iterate(t)
    assert t.means.flush()["class accuracy real"] == 1


def test_data_without_classes_is_one_line() -> None:
    with pytest.raises(UserError, match=r"add --data\.labels") as caught:
        tiny({**DENSE, "game": {"name": "acgan"}})
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"game\.weight is -1"):
        tiny({**DENSE, "game": {"name": "acgan", "weight": -1.0}, "data.labels": True}, CLASSES)
