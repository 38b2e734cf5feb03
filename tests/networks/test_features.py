"""The features of every discriminator in the table."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gannet.networks import DISCRIMINATORS

# settings, and the number of features that they make at 32 pixels
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "mlp": ({"hidden": (8, 6)}, 6),
    "dcgan": ({"width": 2}, 8 * 16),
    "resnet": ({"width": 2, "max_width": 4}, 4),
    "biggan": ({"width": 2}, 8),
    "biggan-deep": ({"width": 2}, 8),
    "r3gan": ({"widths": (8, 4, 4, 4), "group_size": 4}, 8),
    "fastgan": ({"width": 2}, 32),
    "stylegan2": ({"mapping_layers": 2, "channel_base": 32, "channel_max": 6}, 6),
    "patchgan": ({"width": 2, "patch": 16}, 4 * 15**2),
    "vgg": ({"width": 2, "hidden": 5}, 5),
    "dvdgan": ({"width": 2, "frames": 3, "num_spatial": 2}, 16 + 8),
}
rows = pytest.mark.parametrize("row", list(DISCRIMINATORS.rows))


def made(row: str, classes: int, **more: Any) -> tuple[Any, Tensor, Tensor]:
    torch.manual_seed(1)
    classes = 0 if row in ("patchgan", "vgg") else classes  # which know no labels
    D = DISCRIMINATORS.find(row)(32, 3, classes, **SMALL[row][0], **more).eval()
    c = torch.eye(max(classes, 1))[torch.arange(4) % max(classes, 1)][:, :classes]
    return D, torch.randn(4, 3, 32, 32, requires_grad=True), c


@rows
@pytest.mark.parametrize("classes", [0, 3])
def test_features_come_with_the_logits_of_forward(row: str, classes: int) -> None:
    D, x, c = made(row, classes)
    logits, features = D.logits_and_features(x, c)
    assert torch.equal(logits, D(x, c))
    assert D.num_features == SMALL[row][1]
    assert features.shape == (4, D.num_features)


@rows
def test_a_gradient_reaches_every_image_through_its_features(row: str) -> None:
    D, x, c = made(row, 3)
    _, features = D.logits_and_features(x, c)
    (by_x,) = torch.autograd.grad(features.square().sum(), x)
    assert torch.isfinite(by_x).all()
    assert (by_x.abs().amax((1, 2, 3)) > 0).all()
