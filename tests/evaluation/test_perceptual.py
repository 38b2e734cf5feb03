"""LPIPS: what it looks at, and what it says where something is missing. Its VGG-16 is one that has learned nothing."""

import builtins
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg

from gannet.errors import UserError
from gannet.evaluation.perceptual import Lpips, seen


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    features = vgg.make_layers(vgg.cfgs["D"])
    monkeypatch.setattr("torchvision.models.vgg16", lambda **how: SimpleNamespace(features=features))


def noise(num: int, channels: int, side: int = 32) -> Tensor:
    return torch.rand(num, channels, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_equal_images_are_at_0_and_others_further_the_more_they_differ(untrained: None) -> None:
    distance, one, other = Lpips(), noise(3, 3), noise(6, 3)[3:]
    found = [distance(one, one + (other - one) * part) for part in (0.0, 0.1, 1.0)]
    assert found[0].tolist() == [0, 0, 0]
    assert (found[0] < found[1]).all() and (found[1] < found[2]).all()
    torch.testing.assert_close(distance(other, one), found[2])


def test_grey_is_repeated_and_premultiplied_colour_lies_over_white() -> None:
    """Half of red in [-1, 1]: 0, -1, -1 with alpha 0, over white 1, 0, 0."""
    assert seen(noise(2, 1)).shape == (2, 3, 32, 32)
    pixel = torch.tensor([0.0, -1.0, -1.0, 0.0]).view(1, 4, 1, 1)
    assert seen(pixel).flatten().tolist() == [1, 0, 0]


def test_large_images_are_reduced() -> None:
    assert seen(noise(1, 3, 512)).shape[-1] == 256
    assert seen(noise(1, 3, 256)).shape[-1] == 256


def test_without_weights_one_line_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**how: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models.vgg16", unreachable)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "hub")
    with pytest.raises(UserError, match=r"put https://\S+/vgg16-397923af.pth into hub.checkpoints$"):
        Lpips()


def test_without_its_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "lpips":
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[ppl\]"$'):
        Lpips()
