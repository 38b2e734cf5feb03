"""EfficientNet-Lite0's features: their shape, and what images of other channels are to it."""

import builtins
from typing import Any

import numpy as np
import pytest
import torch

from gannet.errors import UserError
from gannet.evaluation.features import EfficientNetLite0, colours


@pytest.fixture(scope="module")
def extract() -> EfficientNetLite0:
    return EfficientNetLite0()


def noise(num: int, channels: int, side: int = 8) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (num, channels, side, side), np.uint8)


def test_features_are_1280_of_each_image_whatever_its_companions(extract: EfficientNetLite0) -> None:
    images = noise(3, 3)
    features = extract(images)
    assert features.shape == (3, 1280) and features.dtype == torch.float64
    torch.testing.assert_close(extract(images[1:2]), features[1:2], rtol=1e-3, atol=1e-4)
    assert (features[0] - features[1]).abs().max() > 0.05


def test_grey_is_repeated(extract: EfficientNetLite0) -> None:
    grey = noise(2, 1)
    assert torch.equal(extract(grey), extract(grey.repeat(3, axis=1)))


def test_premultiplied_colour_lies_over_white() -> None:
    """Half of red, as 128, 0, 0 with alpha 128: over white 255, 127, 127."""
    pixel = torch.tensor([128, 0, 0, 128], dtype=torch.uint8).view(1, 4, 1, 1)
    assert ((colours(pixel).flatten() + 1) * 127.5).tolist() == pytest.approx([255, 127, 127])


def test_black_and_white_are_the_ends_of_the_range() -> None:
    ends = colours(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    assert ends[:, 0].flatten().tolist() == [-1, 1]


def test_the_protocol_names_extractor_resize_and_layer(extract: EfficientNetLite0) -> None:
    assert extract.protocol == {
        "extractor": "efficientnet-lite0",
        "layer": "last map, mean over places",
        "resize": "96x96 bicubic, antialiased",
    }


def test_without_its_packages_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("efficientnet"):
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[eval-offline\]"$'):
        EfficientNetLite0()
