"""What a saved D knows of reals, where its logits are no probabilities."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import TINY, train

import gannet
from gannet.generation.load import load
from gannet.images import to_float
from gannet.training.rating import real_logits

HINGE: dict[str, Any] = {**TINY, "objective": {"name": "hinge"}, "D.norm": "spectral"}


def test_quantiles_of_the_logits_for_reals_are_saved_with_d(pictures: Any, tmp_path: Path) -> None:
    data = pictures(num=20)
    train(data, tmp_path / "run", HINGE)
    saved = json.loads((tmp_path / "run" / "discriminator" / "config.json").read_text())["real_logits"]
    G = load(tmp_path / "run")
    D = G.discriminator()
    images = [pixels(path) for path in sorted(data.rglob("*.png"))]
    logits = D.logits(to_float(torch.from_numpy(np.stack(images))), torch.zeros(20, 0)).numpy()
    assert np.allclose(saved, np.quantile(logits, np.linspace(0, 1, 101)), atol=1e-4)
    rated = D.realness(G.sample(200), torch.zeros(200, 0)).numpy()
    bound = float(np.quantile(rated, 0.5))
    drawn = gannet.sample(tmp_path / "run", num=10, min_realness=bound, out=tmp_path / "out")
    assert [path.name for path in drawn.files] == [f"seed0_{i:06d}.png" for i in np.flatnonzero(rated >= bound)[:10]]


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_of_two_ds_the_probability_is_the_mean_of_both(pictures: Any, tmp_path: Path, norm: str) -> None:
    train(pictures(num=20), tmp_path / "run", {"D.scales": 2, "D.stem": 3, "D.norm": norm})
    G = load(tmp_path / "run")
    D, x, c = G.discriminator(), G.sample(50), torch.zeros(50, 0)
    both = D.network(x, c).detach()
    assert both.shape == (50, 2)
    assert torch.allclose(D.realness(x, c), (1 / (1 + torch.exp(-both))).mean(1), atol=1e-6)
    bound = float(D.realness(x, c).quantile(0.5))
    for how in ({"min_realness": bound}, {"rejection": True}):
        assert len(gannet.sample(tmp_path / "run", num=3, out=tmp_path / next(iter(how)), **how).files) == 3


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).transpose(2, 0, 1)


def test_a_classifier_needs_none(pictures: Any, tmp_path: Path) -> None:
    train(pictures(), tmp_path / "run")
    assert "real_logits" not in json.loads((tmp_path / "run" / "discriminator" / "config.json").read_text())


class Triple(torch.nn.Module):
    """Two logits for each image, whose mean is three times its value."""

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * torch.tensor([2.0, 4.0])


@pytest.mark.parametrize("most", [1, 3, 64])
def test_they_are_the_same_however_many_are_rated_at_once(most: int) -> None:
    x = torch.linspace(-1, 1, 30).reshape(30, 1, 1, 1)
    loader: Any = SimpleNamespace(dataset=SimpleNamespace(images=x), at=lambda chosen: (x[chosen], None))
    assert np.allclose(real_logits(Triple(), loader, most), np.linspace(-3, 3, 101), atol=1e-5)
