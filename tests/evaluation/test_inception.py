"""FID's network against torch-fidelity's, both with the same random weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pixels import protocol_with
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from gannet.evaluation import inception
from gannet.evaluation.extractors import open_extractor
from gannet.evaluation.inception import Inception, tf1_resized
from gannet.evaluation.weights import Weights, sha256_of


def noise(num: int, side: int, channels: int = 3) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (num, channels, side, side), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ones, under which features neither vanish nor explode."""
    torch.manual_seed(0)
    network = inception.inception()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def ours(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inception]:
    file = Weights("inception", weights.as_uri(), weights.stat().st_size, sha256_of(weights))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "WEIGHTS", file)
        extract = open_extractor("inception", "cpu", tmp_path_factory.mktemp("cache"))
    assert isinstance(extract, Inception)
    yield extract


@pytest.fixture(scope="module")
def theirs(weights: Path) -> FeatureExtractorInceptionV3:
    return FeatureExtractorInceptionV3("theirs", ["2048", "logits_unbiased"], feature_extractor_weights_path=weights)


@pytest.mark.parametrize(("num", "side"), [(2, 32), (1, 299), (1, 400)])
def test_features_and_logits_are_torch_fidelitys(
    num: int, side: int, ours: Inception, theirs: FeatureExtractorInceptionV3
) -> None:
    images = noise(num, side)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images))
    found = ours.both(images)
    for one, other, width in zip(found, expected, (2048, 1008), strict=True):
        assert one is not None and one.shape == (num, width)
        assert one.std() > 0.01
        assert (one - other).norm() / other.norm() < 1e-5
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


@pytest.mark.parametrize("part", ["inner_mean", "max_pool2d"])
def test_each_change_to_torchvisions_blocks_is_seen(
    part: str, ours: Inception, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ours(noise(1, 32))
    monkeypatch.setattr(inception, part, lambda x, *_, **__: nn.functional.avg_pool2d(x, 3, stride=1, padding=1))
    assert (ours(noise(1, 32)) - before).norm() / before.norm() > 1e-3


@pytest.mark.parametrize("size", [(32, 32), (299, 299), (400, 400), (28, 513), (1, 2)])
def test_the_resize_is_torch_fidelitys(size: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.Generator(np.random.Philox(2)).integers(0, 256, (2, 3, *size), np.uint8)).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(tf1_resized(x, 299), expected, rtol=1e-6, atol=1e-6)


def test_the_resize_by_hand() -> None:
    """Four pixels of two: at places 0, 1/2, 1 and, beyond the last, 1."""
    x = torch.tensor([[0.0, 100.0], [40.0, 100.0]]).view(1, 1, 2, 2)
    rows = [[0, 50, 100, 100], [20, 60, 100, 100], [40, 70, 100, 100], [40, 70, 100, 100]]
    assert tf1_resized(x, 4)[0, 0].tolist() == rows


def test_grey_and_alpha(ours: Inception) -> None:
    grey = noise(1, 16, channels=1)
    opaque = np.concatenate([grey, grey, grey, np.full_like(grey, 255)], axis=1)
    assert torch.equal(ours(grey), ours(opaque))


def test_the_protocol(ours: Inception, weights: Path) -> None:
    facts = {"extractor": "inception", "layer": "2048 of the last pool", "resize": "299x299 bilinear of TensorFlow 1"}
    assert ours.protocol == protocol_with(weights, **facts)
