"""Pix2pix against a plain loop, and what the games of images refuse."""

from typing import Any

import pytest
import torch
from exact import BATCH, SMALL, exact, learn, tiny, weights
from torch.nn.functional import softplus
from translation import CYCLEGAN, PIX2PIX, QUIET, SRGAN

from gannet.augment.ada import ADA
from gannet.data.batch import Batch
from gannet.errors import UserError
from gannet.losses import content
from gannet.training.engine import Engine
from gannet.training.loop import Training, iterate

PLAIN = {**PIX2PIX, "G": {**PIX2PIX["G"], "dropout": 0.0}}
NONE = torch.empty(BATCH, 0)


def play_plainly(t: Training, num: int, gamma: float) -> None:
    """Equation 4 with the non-saturating G, and a term gamma / 2 times D's squared slope at the reals."""
    G, D = t.networks["G"], t.networks["D"]
    for i in range(num):
        pair, _ = t.loader.reals(i * BATCH, BATCH)
        a, target = pair[:, :3], pair[:, 3:]
        made = G(a)
        fake = torch.cat([a, made], 1)
        d_loss = softplus(-D(pair, NONE)).mean() + softplus(D(fake.detach(), NONE)).mean()
        if gamma:
            pair = pair.clone().requires_grad_()
            (slope,) = torch.autograd.grad(D(pair, NONE).mean(1).sum(), pair, create_graph=True)
            d_loss = d_loss + gamma / 2 * slope.square().sum((1, 2, 3)).mean()
        learn(t, "D", d_loss)
        learn(t, "G", softplus(-D(fake, NONE)).mean() + 30 * (made - target).abs().mean())


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_six_iterations_equal_a_plain_loop(gamma: float) -> None:
    penalties = {"penalties.r1.gamma": gamma} if gamma else {}
    settings = {**PLAIN, "game": {"name": "pix2pix", "l1": 30.0}, **penalties}
    ours, plain = exact(tiny(settings)), exact(tiny(settings))
    before = weights(plain.networks["G"])
    for _ in range(6):
        iterate(ours)
    play_plainly(plain, 6, gamma)
    for name in ("G", "D"):
        for key, value in plain.networks[name].state_dict().items():
            torch.testing.assert_close(ours.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-11)
    assert not torch.equal(before["to_colours.weight"], plain.networks["G"].state_dict()["to_colours.weight"])
    assert {"G l1", "G adversarial", "D real", "D fake", "D(x)", "accuracy fake"} <= ours.means.flush().keys()


@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_equal_the_whole_batch(micro: int) -> None:
    settings = {**PIX2PIX, **QUIET}
    whole, cut = exact(tiny(settings)), exact(tiny({**settings, "train.micro_batch": micro}))
    lines = []
    for t in (whole, cut):
        for _ in range(4):
            iterate(t)
        lines.append(t.means.flush())
    for name in ("G", "D"):
        for key, value in whole.networks[name].state_dict().items():
            torch.testing.assert_close(cut.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-12)
    assert lines[0] == pytest.approx(lines[1], rel=1e-6)


def test_dropout_is_the_noise_of_g() -> None:
    t = exact(tiny(PIX2PIX))
    a = t.loader.reals(0, BATCH)[0][:, :3]
    G = t.networks["G"]
    assert not torch.equal(G(a), G(a))


def test_a_pair_shares_its_augmentation() -> None:
    """a is its own target here: D sees the two halves alike after every change, and it does see a change."""
    t = tiny({**PIX2PIX, "augment": {"name": "ada", "p": 1.0, "target": 0.0}})
    game: Any = t.game
    assert isinstance(game.augment, ADA)
    a = t.loader.reals(0, BATCH)[0][:, :3]
    seen = game.augmented(torch.cat([a, a], 1))
    assert torch.equal(seen[:, :3], seen[:, 3:])
    assert not torch.equal(seen[:, :3], a)


def test_the_given_image_is_the_same_in_reals_and_fakes_beside_half_precision() -> None:
    """Else D could tell fakes by their rounding."""
    t = tiny(PIX2PIX)
    game: Any = t.game
    a = t.loader.reals(0, BATCH)[0][:, :3]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(game.G(a, NONE)[:, :3], a)


def test_a_grid_shows_what_was_given_and_the_target() -> None:
    t = tiny(PIX2PIX)
    a, x = t.loader.fixed(2)
    shown = t.game.show({"G": t.networks["G"].eval()}, Batch(z=a, c=a[:, :0, 0, 0], x=x, a=a))
    assert list(shown) == ["input", "output", "target"]
    assert torch.equal(shown["input"], a) and torch.equal(shown["target"], x)
    assert torch.equal(shown["output"], t.networks["G"](a))


def test_content_is_that_of_the_target_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(content.NETWORKS, "vgg19", lambda activated: lambda x: 2 * x)
    t = tiny({**PIX2PIX, "penalties.content.weight": 0.5})
    game: Any = t.game
    pair = t.loader.reals(0, BATCH)[0]
    fake = torch.cat([pair[:, :3], pair[:, 3:].flip(3)], 1)
    batch = Batch(z=pair[:, :3], c=NONE, x=pair, a=pair[:, :3])
    loss = game.g_loss(fake, batch, batch)
    expected = 0.5 * (pair[:, 3:].flip(3) - pair[:, 3:]).square().flatten(1).mean(1)  # 2 x in [0, 1] is x in [-1, 1]
    assert torch.allclose(loss.terms["content"], expected)


@pytest.mark.parametrize(
    "penalties",
    [
        {"r1": {"every": 2}, "r2": {}, "gradient-penalty": {}},
        {"dragan": {}, "lecam": {}, "consistency": {}},
        {"orthogonal": {}, "feature-matching": {}},
    ],
)
def test_penalties_work_on_pairs(penalties: dict[str, Any]) -> None:
    t = tiny({**PIX2PIX, **QUIET, "penalties": penalties})
    t.engine = Engine(torch.device("cpu"), "bfloat16")
    for _ in range(2):
        iterate(t)
    assert not t.num_skipped
    said = {name.split(" ")[-1] for name in t.means.flush()}
    assert penalties.keys() <= said


def test_path_length_is_refused() -> None:
    t = tiny({**PIX2PIX, "penalties.path-length.weight": 1.0})
    with pytest.raises(UserError, match="for a G that has w"):
        iterate(t)


SRRESNET: dict[str, Any] = SRGAN["G"]
UNET: dict[str, Any] = PIX2PIX["G"]
DCGAN: dict[str, Any] = {"name": "dcgan", "width": 4, "z_dim": 5}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({**PIX2PIX, "G": DCGAN}, "G makes images of images, and this one does not: set --G.name unet"),
        ({**CYCLEGAN, "G": DCGAN}, "G makes images of images"),
        ({**SRGAN, "G": DCGAN}, "G makes images of smaller images, and this one does not: set --G.name srresnet"),
        ({**SRGAN, "G": UNET}, "G makes images of smaller images"),
        ({**PIX2PIX, "G": SRRESNET}, "set --G.name unet"),
        ({**CYCLEGAN, "G": SRRESNET}, "set --G.name unet"),
        ({**PIX2PIX, "game": {"name": "gan"}, "data.kind": "images"}, r"G makes images of noise.*set --G.name dcgan"),
        ({**PIX2PIX, "data.kind": "images"}, "'pix2pix' plays with pairs, and data.kind is 'images': set --data.kind"),
        ({**PIX2PIX, "data.kind": "unpaired"}, "'pix2pix' plays with pairs, and data.kind is 'unpaired'"),
        ({**CYCLEGAN, "data.kind": "pairs"}, "'cyclegan' plays with unpaired, and data.kind is 'pairs'"),
        ({**SRGAN, "data.kind": "clips"}, "'srgan' plays with images, and data.kind is 'clips'"),
        ({**SMALL, "data.kind": "pairs"}, "'gan' plays with images or clips, and data.kind is 'pairs'"),
        ({**PIX2PIX, "game.l1": -1.0}, "game.l1 is -1.0, and must be at least 0"),
        ({**CYCLEGAN, "game.pool": -1}, "game.pool must be at least 0"),
        ({**CYCLEGAN, "penalties.r1.gamma": 1.0}, "no relativistic objective and no penalty"),
        ({**CYCLEGAN, "objective": {"name": "relativistic"}}, "no relativistic objective and no penalty"),
        ({**SRGAN, "game.pixel": -1.0}, "game.pixel must be at least 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        tiny(settings)
    assert "\n" not in str(caught.value) and "schedules" not in str(caught.value)


@pytest.mark.parametrize("game", ["gan", "gan-halves", "acgan"])
def test_content_is_for_games_that_know_what_an_image_should_be(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(content.NETWORKS, "vgg19", lambda activated: lambda x: x)
    with pytest.raises(UserError, match="content compares each image with the one that it should be"):
        tiny({**SMALL, "game": {"name": game}, "data.labels": True, "penalties.content.weight": 1.0}, ("a", "b"))


def batch_of_one(**settings: Any) -> Training:
    return tiny({**settings, "train.batch": 1})


def test_batches_of_one_are_refused_where_batch_norm_has_one_value_to_go_by() -> None:
    """Elsewhere batch norm of one image is instance norm, as in pix2pix."""
    for settings in (PIX2PIX, CYCLEGAN, SRGAN | {"D": {**SRGAN["D"]}, "data.resolution": 32}, SMALL):
        iterate(batch_of_one(**settings))
    dense = {"name": "mlp", "z_dim": 5, "hidden": [8, 8]}
    for settings in (SRGAN, {**SMALL, "G": dense}):
        with pytest.raises(UserError, match=r"batch norm has one value a feature.*set --batch") as caught:
            iterate(batch_of_one(**settings))
        assert "\n" not in str(caught.value)


def test_batch_norm_of_one_image_is_instance_norm() -> None:
    batch, instance = (exact(tiny({**PLAIN, "G": {**PLAIN["G"], "norm": norm}})) for norm in ("batch", "instance"))
    own = batch.networks["G"].state_dict()
    instance.networks["G"].load_state_dict({name: own[name] for name in instance.networks["G"].state_dict()})
    a = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    assert torch.allclose(batch.networks["G"](a), instance.networks["G"](a), atol=1e-9)
