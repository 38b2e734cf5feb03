"""The distance in features: its formula, what the networks are asked, and that nothing of them is moved or kept."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.losses import content
from gannet.losses.content import CONV5_4, Content, colours
from gannet.losses.regularisers import Judged


class Doubling(nn.Module):
    """Stands in for EfficientNet: its head doubles, and a ReLU follows."""

    def __init__(self) -> None:
        super().__init__()
        self._bn1 = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.constant_(self._bn1.weight, 2.0)
        self.eval().requires_grad_(False)
        self.sizes: list[tuple[int, ...]] = []

    def extract_features(self, x: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape))
        return self._bn1(x).relu()


def negated(*_: Any, **__: Any) -> SimpleNamespace:
    """Stands in for VGG-19: layer by layer nothing, but that its 16th convolution negates and its ReLU follows."""
    last = nn.Conv2d(3, 3, 1, groups=3, bias=False)
    nn.init.constant_(last.weight, -1.0)
    layers = [nn.Identity() for _ in range(CONV5_4 - 1)]
    return SimpleNamespace(features=nn.Sequential(*layers, last, nn.ReLU(inplace=True), nn.MaxPool2d(2)))


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Doubling]:
    network = Doubling()
    monkeypatch.setattr(content, "efficientnet_lite0", lambda: network)
    monkeypatch.setattr(torchvision.models, "vgg19", negated)
    for load in (content.vgg19, content.lite0):
        load.cache_clear()
    yield network
    for load in (content.vgg19, content.lite0):
        load.cache_clear()


def judged(x: Tensor, fake: Tensor, **more: Any) -> Judged:
    none = torch.empty(len(x), 0)
    return Judged(nn.Identity(), nn.Identity(), x, none, fake, none, none, nn.Identity(), **more)


def flat(*values: float, side: int = 4) -> Tensor:
    """Images `[N, 3, side, side]`, each of one value."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, side, side).clone()


def test_the_layers_of_vgg19_are_those_up_to_its_16th_convolution() -> None:
    with torch.device("meta"):
        features: Any = torchvision.models.vgg.vgg19().features
    assert isinstance(features[CONV5_4 - 1], nn.Conv2d) and isinstance(features[CONV5_4], nn.ReLU)
    assert isinstance(features[CONV5_4 + 1], nn.MaxPool2d) and len(features) == CONV5_4 + 2
    kinds = [type(layer) for layer in features[:CONV5_4]]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.MaxPool2d)) == (16, 4)


@pytest.mark.parametrize(("activated", "distance"), [(False, 0.8), (True, 0.0)])
def test_the_distance_in_vgg_by_hand(activated: bool, distance: float) -> None:
    """From 1 to -0.6 it is 0.8 in [0, 1]. The features are negative, those of a ReLU 0, where the image is bright."""
    x, fake = flat(1.0), flat(-0.6)
    term = Content(weight=3.0, activated=activated)(judged(x, fake))
    std = torch.tensor(content.STD)
    found = torch.stack([(torch.tensor(1.0) - m) / s for m, s in zip(content.MEAN, content.STD, strict=True)])
    made = torch.stack([(torch.tensor(0.2) - m) / s for m, s in zip(content.MEAN, content.STD, strict=True)])
    assert (found > 0).all() and (made < 0).all()
    squares = (found - made if not activated else made).square().mean() / 12.75**2
    assert term.shape == (1,)
    assert term.item() == pytest.approx(3 * squares.item(), rel=1e-5)
    if not activated:
        assert term.item() == pytest.approx(3 * (distance / std).square().mean().item() / 12.75**2, rel=1e-5)


@pytest.mark.parametrize(("activated", "expected"), [(True, [4.0, 0.0]), (False, [16.0, 4.0])])
def test_the_distance_in_the_smaller_network_by_hand(activated: bool, expected: list[float]) -> None:
    """The features are twice the values: 2 and -2, -2 and -1 before their ReLU, 2 and 0, 0 and 0 after it."""
    term = Content(network="efficientnet-lite0", activated=activated)(judged(flat(1.0, -1.0), flat(-1.0, 0.0)))
    assert term.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("side", "shown"), [(16, 96), (96, 96), (128, 128)])
def test_the_smaller_network_is_shown_no_less_than_96_pixels(stand_ins: Doubling, side: int, shown: int) -> None:
    Content(network="efficientnet-lite0")(judged(flat(0.5, side=side), flat(0.5, side=side)))
    assert stand_ins.sizes == [(1, 3, shown, shown)] * 2


def test_the_gradient_reaches_g_alone() -> None:
    penalty = Content(activated=False)
    x, fake = flat(0.5).requires_grad_(), flat(0.1).requires_grad_()
    penalty(judged(x, fake)).sum().backward()
    step = 1e-3
    up, down = (penalty(judged(x.double(), fake.detach().double() + sign * step)).sum().item() for sign in (1, -1))
    assert fake.grad is not None
    assert fake.grad.sum().item() == pytest.approx((up - down) / (2 * step), rel=1e-5)
    assert x.grad is None


@pytest.mark.parametrize("network", ["vgg19", "efficientnet-lite0"])
def test_the_network_is_frozen_and_no_part_of_the_penalty(network: Any, stand_ins: Doubling) -> None:
    """What comes from a file is loaded once, and neither learns nor fills checkpoints."""
    penalty = Content(network=network).train()
    assert penalty.state_dict() == {} and not list(penalty.parameters()) and not list(penalty.buffers())
    assert Content(network=network).features is penalty.features
    assert Content(network=network, activated=False).features is not penalty.features
    assert not stand_ins.training


def test_it_computes_in_float32_beside_half_precision_and_in_float64_where_asked() -> None:
    penalty = Content(activated=False)
    expected = penalty(judged(flat(0.5), flat(0.25)))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(penalty(judged(flat(0.5), flat(0.25).bfloat16())), expected)
    assert penalty(judged(flat(0.5).double(), flat(0.25).double())).dtype == torch.float64


def test_of_a_pair_the_last_picture_is_compared() -> None:
    given = flat(0.9)
    pair, made = torch.cat([given, flat(0.5)], 1), torch.cat([given, flat(0.1)], 1)
    penalty = Content(activated=False)
    assert torch.equal(penalty(judged(pair, made, channels=3)), penalty(judged(flat(0.5), flat(0.1), channels=3)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_is_repeated_and_alpha_left_out(channels: int) -> None:
    x = torch.linspace(-1, 1, channels).view(1, channels, 1, 1)
    expected = [[0.0] * 3, [0.0, 0.5, 1.0], [0.0, 1 / 3, 2 / 3]][(1, 3, 4).index(channels)]
    assert colours(x).flatten().tolist() == pytest.approx(expected)


def test_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def fail(**_: Any) -> None:
        raise OSError("no\nconnection")

    monkeypatch.setattr(torchvision.models, "vgg19", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError) as caught:
        Content()
    line = str(caught.value)
    assert "\n" not in line and "no connection" in line and "--penalties.content.network efficientnet-lite0" in line
    assert f"{tmp_path}/checkpoints/vgg19-" in line


def test_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    content.lite0.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match="eval-offline") as caught:
        Content(network="efficientnet-lite0")
    assert "\n" not in str(caught.value)
