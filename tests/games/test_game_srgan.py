"""SRGAN's two phases against a plain loop, and the images that it is given."""

from typing import Any

import numpy as np
import pytest
import torch
from exact import BATCH, exact, learn, same, tiny, weights
from PIL import Image
from torch import Tensor
from torch.nn.functional import softplus
from translation import SRGAN

from gannet.data.batch import Batch
from gannet.games.pix2pix import enlarged, reduced
from gannet.losses import content
from gannet.training.checkpoint import state_of
from gannet.training.loop import Training, iterate

NONE = torch.empty(BATCH, 0)
GAME = {"name": "srgan", "start_kimg": 0.008, "adversarial": 0.25, "pixel": 0.5}  # two iterations of pixels alone
SETTINGS: dict[str, Any] = {**SRGAN, "game": GAME, "penalties.content.weight": 2.0}
KINDS: dict[str, dict[str, Any]] = {
    "srgan": SETTINGS,
    "esrgan": {
        **SETTINGS,
        "game": {**GAME, "start_distance": "absolute"},
        "objective": {"name": "relativistic-average"},
        "G": {"name": "rrdb", "width": 4, "blocks": 1, "growth": 2, "scale": 2},
    },
}


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The squares of values in [0, 1] stand in for the features of a network."""
    monkeypatch.setitem(content.NETWORKS, "vgg19", lambda activated: torch.square)


def terms(kind: str, D: Any, x: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """D's loss, and G's adversarial one."""
    real, fake = D(x, NONE), D(made, NONE)
    if kind == "srgan":
        return (softplus(-real) + softplus(fake)).mean(), softplus(-fake).mean()
    apart, other = real - fake.mean(), fake - real.mean()
    return (softplus(-apart) + softplus(other)).mean(), (softplus(apart) + softplus(-other)).mean()


def play_plainly(kind: str, t: Training, num: int) -> None:
    G, D = t.networks["G"], t.networks["D"]
    for i in range(num):
        x, _ = t.loader.reals(i * BATCH, BATCH)
        made = G(reduced(x, 2))
        if i < 2:
            learn(t, "G", (made - x).square().mean() if kind == "srgan" else (made - x).abs().mean())
            continue
        learn(t, "D", terms(kind, D, x, made.detach())[0])
        distance = (((made + 1) / 2).square() - ((x + 1) / 2).square()).square().mean()
        learn(t, "G", 0.25 * terms(kind, D, x, made)[1] + 2 * distance + 0.5 * (made - x).abs().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_both_phases_equal_a_plain_loop(kind: str) -> None:
    ours, plain = exact(tiny(KINDS[kind])), exact(tiny(KINDS[kind]))
    start, lines = weights(ours.networks["D"]), []
    for i in range(6):
        iterate(ours)
        lines.append(ours.means.flush())
        assert same(start, weights(ours.networks["D"])) == (i < 2)
    play_plainly(kind, plain, 6)
    for name in ("G", "D"):
        for key, value in plain.networks[name].state_dict().items():
            if "running" not in key and "tracked" not in key:
                torch.testing.assert_close(ours.networks[name].state_dict()[key], value, rtol=1e-8, atol=1e-11)
    assert set(lines[1]) == {"loss G", "grad norm G"}
    assert {"loss D", "G adversarial", "G content", "G pixel"} <= set(lines[2])
    assert ours.cur_nimg == 6 * BATCH


def test_what_the_content_is_measured_with_is_in_no_checkpoint() -> None:
    assert state_of(tiny(SETTINGS))["networks"]["penalty content"] == {}


@pytest.mark.parametrize("scale", [2, 4])
def test_g_is_given_the_image_reduced_as_pillow_does_it(scale: int) -> None:
    """Bicubic and antialiased, in whole levels."""
    pixels = np.random.Generator(np.random.Philox(3)).integers(0, 256, (16, 16, 3), np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    small = (reduced(x, scale) + 1) * 127.5
    assert small.shape == (1, 3, 16 // scale, 16 // scale)
    assert torch.allclose(small, small.round(), atol=1e-3)
    expected = np.asarray(Image.fromarray(pixels).resize((16 // scale,) * 2, Image.Resampling.BICUBIC))
    assert (small[0].permute(1, 2, 0).round() - torch.from_numpy(expected.astype(np.float32))).abs().max() <= 1


@pytest.mark.parametrize("scale", [2, 4])
def test_g_enlarges_as_much_as_the_image_was_reduced(scale: int) -> None:
    t = tiny({**SRGAN, "G": {**SRGAN["G"], "scale": scale}})
    a, x = t.loader.fixed(2)
    shown = t.game.show({"G": t.networks["G"].eval()}, Batch(z=a, c=a[:, :0, 0, 0], x=x, a=a))
    assert list(shown) == ["input", "output", "target"]
    assert torch.equal(shown["input"], enlarged(reduced(x, scale), scale))
    assert torch.equal(shown["output"], t.networks["G"](reduced(x, scale)))
    assert torch.equal(shown["target"], x)
    assert {value.shape for value in shown.values()} == {(2, 3, 16, 16)}


def test_what_is_enlarged_stays_where_it_was() -> None:
    """A smooth image comes back but for rounding: shifted by half a pixel it would be 0.026 away."""
    ramp = torch.linspace(-0.8, 0.8, 32).expand(1, 1, 32, 32)
    back = enlarged(reduced(ramp, 4), 4)
    assert (back - ramp)[..., 8:24].abs().max() < 0.02
