"""SRGAN's discriminator: layer for layer, its values by hand, and what it cannot be."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import batch_norm, conv, leaky, randomised, values_of
from torch import nn

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS
from gannet.networks.folder import load_network, save_network
from gannet.networks.vgg import Discriminator

FEATURES = (64, 64, 128, 128, 256, 256, 512, 512)


def made(resolution: int = 16, channels: int = 3, **settings: Any) -> Any:
    torch.manual_seed(1)
    return Discriminator(resolution, channels, 0, **{"width": 2, "hidden": 5, **settings})


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("size", "side"), [(96, 6), (64, 4), (16, 1)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_parameters_layer_for_layer(size: int, side: int, channels: int) -> None:
    """A bias in the first convolution alone, a scale and a shift in the batch norms after the seven others."""
    with torch.device("meta"):
        D = Discriminator(size, channels, 0)
    convs = sum(9 * a * b for a, b in pairwise((channels, *FEATURES))) + 64
    norms = 2 * sum(FEATURES[1:])
    dense = (512 * side * side + 1) * 1024 + 1025
    assert count(D) == convs + norms + dense
    if (size, channels) == (96, 3):
        assert count(D) == 23_563_649  # for the paper's crops


def test_the_layers_are_those_of_figure_4() -> None:
    layers = list(made().blocks)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 7
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convs] == [1, 2] * 4
    assert [layer.out_channels for layer in convs] == [features // 32 for features in FEATURES]


def test_the_logit_by_hand() -> None:
    D = randomised(made())
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    logits, features = D.logits_and_features(x, torch.zeros(4, 0))
    values, y = values_of(D), x.numpy()
    y = leaky(conv(y, next(values), next(values), pad=1), 0.2)
    for i in range(1, 8):
        y = leaky(batch_norm(conv(y, next(values), stride=1 + i % 2, pad=1), next(values), next(values)), 0.2)
    assert y.shape == (4, 16, 1, 1)
    hidden = leaky(y[:, :, 0, 0] @ next(values).T + next(values), 0.2)
    expected = (hidden @ next(values).T + next(values))[:, 0]
    assert torch.allclose(features, torch.from_numpy(hidden), rtol=1e-9)
    assert torch.allclose(logits, torch.from_numpy(expected), rtol=1e-9)
    assert logits.shape == (4,) and D.num_features == 5


def test_a_saved_network_comes_back_the_same(tmp_path: Path) -> None:
    D, x, c = made(32), torch.randn(3, 3, 32, 32), torch.zeros(3, 0)
    D(x, c)
    settings = {"width": 2, "hidden": 5}
    save_network(tmp_path, D, {"name": "vgg", "resolution": 32, "channels": 3, "classes": [], "settings": settings})
    assert torch.equal(load_network(tmp_path, DISCRIMINATORS)[0](x, c), D.eval()(x, c))


@pytest.mark.parametrize(
    ("resolution", "classes", "settings", "says"),
    [
        (64, 3, {}, "vgg knows no labels: set --data.no-labels"),
        (24, 0, {}, "a multiple of 16, not 24: set --data.resolution"),
        (64, 0, {"width": 0}, "D.width is 0"),
        (64, 0, {"hidden": 0}, "D.hidden is 0"),
    ],
)
def test_what_cannot_be_is_one_line(resolution: int, classes: int, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        Discriminator(resolution, 3, classes, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
