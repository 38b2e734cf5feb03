"""The same numbers as torch-fidelity 0.4 of the same images, in which the same small extractor is registered."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor

from gannet.evaluation.frechet import Gaussian, frechet, frechet_distance
from gannet.evaluation.inception_score import inception_score
from gannet.evaluation.kid import kid
from gannet.evaluation.prdc import precision_recall

NUM, SIDE, SUBSET = 300, 32, 100
FEATURES, CLASSES = 64, 10
LAYERS = ("features", "logits")


class Fixed(nn.Module):
    """Random convolutions that have learned nothing, uint8 `[N, 3, 32, 32]` to `[N, 64]` and `[N, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        shapes = (32, 3, 5, 5), (FEATURES, 32, 3, 3), (CLASSES, FEATURES)
        first, second, last = (torch.randn(shape, generator=random) / shape[1] ** 0.5 for shape in shapes)
        self.first, self.second, self.last = (nn.Parameter(weight) for weight in (first, second, last))

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.float() / 127.5 - 1
        x = nn.functional.conv2d(x, self.first, stride=2).relu()
        x = nn.functional.conv2d(x, self.second, stride=2).relu().mean((2, 3))
        return x, 3 * x @ self.last.T


class Registered(FeatureExtractorBase):
    """In float64, whose sums torch-fidelity then has in float64 too."""

    def __init__(self, name: str, features_list: list[str], **more: Any) -> None:
        super().__init__(name, features_list)
        self.fixed = Fixed()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return LAYERS

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        found = dict(zip(LAYERS, self.fixed(input), strict=True))
        return tuple(found[layer].double() for layer in self.features_list)


register_feature_extractor("fixed", Registered)


class Images(Dataset[Tensor]):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def blobs(num: int, seed: int, sharpness: float) -> Tensor:
    """Coloured discs on coloured grounds, uint8 `[N, 3, 32, 32]`."""
    random = np.random.Generator(np.random.Philox(seed))
    centre, radius = random.uniform(8, 24, (num, 2, 1, 1)), random.uniform(3, 12, (num, 1, 1))
    colours, grounds = random.uniform(0, 255, (2, num, 3, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(rows - centre[:, 0], columns - centre[:, 1])
    inside = 1 / (1 + np.exp(np.clip((away - radius) * sharpness, -50, 50)))[:, None]
    return torch.from_numpy((inside * colours + (1 - inside) * grounds).round().astype(np.uint8))


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    """Reals, and blurred fakes."""
    return blobs(NUM, 1, 4.0), blobs(NUM - 20, 2, 0.4)


@pytest.fixture(scope="module")
def theirs(images: tuple[Tensor, Tensor]) -> dict[str, float]:
    real, fake = images
    return calculate_metrics(
        input1=Images(fake),
        input2=Images(real),
        feature_extractor="fixed",
        feature_layer_isc="logits",
        **{f"feature_layer_{metric}": "features" for metric in ("fid", "kid", "prc")},
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=SUBSET,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )


@pytest.fixture(scope="module")
def seen(images: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Features and logits, float32, of reals and of fakes."""
    return [Fixed()(some) for some in images]


def test_fid(theirs: dict[str, float], seen: list[tuple[Tensor, Tensor]]) -> None:
    (real, _), (fake, _) = seen
    expected = pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert frechet_distance(Gaussian.of(real), Gaussian.of(fake)) == expected
    assert frechet(real, fake).value == expected


def test_kid_of_the_same_subsets(
    theirs: dict[str, float], seen: list[tuple[Tensor, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gannet.evaluation.kid.SUBSET", SUBSET)
    (real, _), (fake, _) = seen
    assert kid(real, fake).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_inception_score(theirs: dict[str, float], seen: list[tuple[Tensor, Tensor]]) -> None:
    found = inception_score(seen[1][1])
    assert found.value == pytest.approx(theirs["inception_score_mean"], rel=1e-6) and found.value > 1.1


def test_precision_and_recall(theirs: dict[str, float], seen: list[tuple[Tensor, Tensor]]) -> None:
    """Both differ, so that they cannot be mixed up."""
    precision, recall = precision_recall(seen[0][0], seen[1][0])
    assert precision.value == pytest.approx(theirs["precision"], rel=1e-6)
    assert recall.value == pytest.approx(theirs["recall"], rel=1e-6)
    assert abs(precision.value - recall.value) > 0.02 and 0 < precision.value < 1
