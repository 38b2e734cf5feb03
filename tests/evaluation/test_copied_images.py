"""Copies of images, in EfficientNet-Lite0's features: drawn shapes, and real images where they are there."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from gannet.data.shapes import draw
from gannet.data.sources import open_source
from gannet.evaluation.copying import Copying, copying
from gannet.evaluation.efficientnet import EfficientNetLite0

REAL = Path(__file__).parents[3] / "shared" / "data"
NUM = {"train": 240, "held out": 100, "other": 120}
COPIED = 80

Fault = Callable[[np.ndarray], np.ndarray]


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@cache
def extractor() -> EfficientNetLite0:
    return EfficientNetLite0()


def drawn() -> np.ndarray:
    """Circles, squares and triangles in turn, uint8 `[N, 3, 32, 32]`."""
    kinds = ("circle", "square", "triangle")
    return np.stack([draw(kinds[i % 3], i).transpose(2, 0, 1) for i in range(sum(NUM.values()))])


def real(name: str) -> np.ndarray:
    """As many images of a zip, of no order, uint8 `[N, C, 32, 32]`."""
    if not (REAL / f"{name}.zip").exists():
        pytest.skip("shared/data is not on this machine")
    source = open_source(str(REAL / f"{name}.zip"), Path())
    some = random(1).permutation(len(source))[: sum(NUM.values())]
    pictures = [np.asarray(source.open(i).convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)) for i in some]
    return np.stack(pictures).transpose(0, 3, 1, 2)


class Split:
    """Images and their features: trained on, held out, and others that nobody has seen; and what is little noise."""

    def __init__(self, images: np.ndarray, noise: float):
        self.noise = noise
        self.images = dict(zip(NUM, parts_of(images), strict=True))
        self.features = {name: extractor()(part) for name, part in self.images.items()}

    def copying(self, samples: Tensor) -> Copying:
        return copying(samples, self.features["train"], self.features["held out"], grouped=False)


def parts_of(items: np.ndarray) -> list[np.ndarray]:
    return np.split(items, np.cumsum(list(NUM.values()))[:-1])


@pytest.fixture(scope="module", params=["drawn", "emoji_google", "mnist5k"])
def split(request: pytest.FixtureRequest) -> Split:
    """On even grounds EfficientNet-Lite0 sees any noise first."""
    return Split(drawn(), noise=1) if request.param == "drawn" else Split(real(request.param), noise=4)


def as_they_are(images: np.ndarray) -> np.ndarray:
    return images


def noisy(levels: float) -> Fault:
    def fault(images: np.ndarray) -> np.ndarray:
        noise = random(2).normal(0, levels, images.shape)
        return np.clip(images + noise, 0, 255).round().astype(np.uint8)

    return fault


def shifted(images: np.ndarray) -> np.ndarray:
    """By a pixel."""
    return np.roll(images, 1, axis=3)


def blurred(images: np.ndarray) -> np.ndarray:
    pictures = [Image.fromarray(image.transpose(1, 2, 0)).filter(ImageFilter.GaussianBlur(2)) for image in images]
    return np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2)


def mixed(images: np.ndarray) -> np.ndarray:
    """Half of each and half of the next one."""
    return ((images.astype(int) + np.roll(images, 1, axis=0)) // 2).astype(np.uint8)


@pytest.mark.parametrize("fault", ["as they are", "shifted", "noisy"])
def test_copies_are_caught(split: Split, fault: str) -> None:
    faults = {"as they are": as_they_are, "shifted": shifted, "noisy": noisy(split.noise)}
    result = split.copying(extractor()(faults[fault](split.images["train"][:COPIED])))
    assert result.verdict == "copies", result.sentence


def test_copies_now_and_then_are_caught(split: Split) -> None:
    """24 of 240, the others being what nobody has seen, half of it shifted."""
    others = torch.cat([split.features["other"], extractor()(shifted(split.images["other"][:96]))])
    result = split.copying(torch.cat([others, split.features["train"][:24]]))
    assert result.verdict == "copies" and result.p_sides > 0.005, result.sentence
    assert all(pair.sample - 216 == pair.training for pair in result.pairs)


@pytest.mark.parametrize(
    "fault", [as_they_are, noisy(48), blurred, mixed], ids=["as they are", "noisy", "blurred", "mixed"]
)
def test_what_nobody_has_seen_is_no_copy_however_bad(split: Split, fault: Fault) -> None:
    result = split.copying(extractor()(fault(split.images["other"])))
    assert result.verdict != "copies" and result.p > 0.05, result.sentence


def test_real_images_are_seldom_called_copies(split: Split) -> None:
    """20 splits of all: at p < 0.05 one is expected, at the verdict's p < 0.01 hardly one."""
    features = torch.cat(list(split.features.values()))
    results = []
    for seed in range(20):
        train, held_out, other = (features[part] for part in parts_of(random(seed).permutation(len(features))))
        results.append(copying(other, train, held_out, grouped=False))
    assert sum(result.p < 0.05 for result in results) <= 3
    assert sum(result.verdict == "copies" for result in results) <= 1
