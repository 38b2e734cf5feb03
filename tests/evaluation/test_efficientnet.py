"""EfficientNet-Lite0's features: their shape, what they depend on, and the package that they need."""

import builtins
from typing import Any

import numpy as np
import pytest
import torch

from gannet.errors import UserError
from gannet.evaluation.efficientnet import EfficientNetLite0


@pytest.fixture(scope="module")
def extract() -> EfficientNetLite0:
    return EfficientNetLite0()


def noise(num: int, channels: int, side: int = 8) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (num, channels, side, side), np.uint8)


def test_features_are_1280_of_each_image_whatever_its_companions(extract: EfficientNetLite0) -> None:
    images = noise(3, 3)
    features = extract(images)
    assert features.shape == (3, 1280) and features.dtype == torch.float32
    torch.testing.assert_close(extract(images[1:2]), features[1:2], rtol=1e-3, atol=1e-4)
    assert (features[0] - features[1]).abs().max() > 0.05


def test_logits_are_the_classifiers_of_the_whole_network(extract: EfficientNetLite0) -> None:
    images = noise(2, 3, side=96)
    features, logits = extract.both(images)
    assert logits is not None and logits.shape == (2, 1000)
    expected = extract.network(torch.from_numpy(images).float() / 127.5 - 1)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(extract(images), features)


def test_grey_is_repeated(extract: EfficientNetLite0) -> None:
    grey = noise(2, 1)
    assert torch.equal(extract(grey), extract(grey.repeat(3, axis=1)))


def test_the_protocol_names_extractor_weights_resize_and_layer(extract: EfficientNetLite0) -> None:
    assert extract.protocol == {
        "extractor": "efficientnet-lite0",
        "weights": "579344248a93e230",
        "layer": "last map, mean over places",
        "resize": "96x96 bicubic, antialiased",
        "colours": "grey repeated; alpha over white",
    }


def test_another_resize_is_another_protocol(extract: EfficientNetLite0) -> None:
    other = EfficientNetLite0(resize="bilinear")
    assert other.protocol["resize"] == "96x96 bilinear, antialiased"
    assert (other(noise(1, 3)) - extract(noise(1, 3))).abs().max() > 0.01


def test_without_its_packages_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("efficientnet"):
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[eval-offline\]"$'):
        EfficientNetLite0()
