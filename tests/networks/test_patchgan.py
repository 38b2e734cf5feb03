"""PatchGAN: what each logit sees, layer for layer, and what it cannot be."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from byhand import batch_norm, conv, instance_norm, leaky, randomised, values_of
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS
from gannet.networks.folder import load_network, save_network
from gannet.options import train_options
from gannet.recipes import recipe

PATCHES = [1, 16, 34, 70, 286]
NORMS = ["batch", "instance", "spectral", "none"]
norms = pytest.mark.parametrize("norm", NORMS)


def made(resolution: int = 32, channels: int = 3, **settings: Any) -> Any:
    torch.manual_seed(1)
    return DISCRIMINATORS.find("patchgan")(resolution, channels, 0, **{"width": 2, "patch": 16, **settings})


def images(num: int = 4, side: int = 32, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return torch.randn(num, 3, side, side, dtype=dtype), torch.zeros(num, 0, dtype=dtype)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3, 6, 8])
@pytest.mark.parametrize(("patch", "halvings"), [(16, 1), (34, 2), (70, 3), (286, 5)])
def test_shapes(size: int, channels: int, patch: Any, halvings: int) -> None:
    if size < 3 * 2**halvings:
        with pytest.raises(UserError, match=f"at least {3 * 2**halvings}, not {size}"):
            made(size, channels, patch=patch)
        return
    with torch.device("meta"):
        D = DISCRIMINATORS.find("patchgan")(size, channels, 0, patch=patch)
        logits, features = D.logits_and_features(torch.zeros(2, channels, size, size), torch.zeros(2, 0))
    assert logits.shape == (2, (size // 2**halvings - 2) ** 2)
    assert features.shape == (2, D.num_features)


@pytest.mark.parametrize("size", [7, 32])
def test_of_pixels_there_is_a_logit_each(size: int) -> None:
    D = made(size, patch=1)
    logits, features = D.logits_and_features(*images(2, size))
    assert logits.shape == (2, size**2)
    assert features.shape == (2, D.num_features) == (2, 4 * size**2)


@pytest.mark.parametrize(("patch", "size"), [(1, 8), (16, 64), (34, 96), (70, 192), (286, 512)])
@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_a_logit_sees_exactly_its_patch(patch: int, size: int, norm: str) -> None:
    """The gradient of one logit from the middle: a square of `patch` pixels, without a hole."""
    D = made(size, 1, patch=patch, width=1, norm=norm).double().eval()
    x = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    logits = D(x, torch.zeros(1, 0))
    side = round(logits.shape[1] ** 0.5)
    (gradient,) = torch.autograd.grad(logits.reshape(side, side)[side // 2, side // 2 - 1], x)
    ys, xs = gradient[0, 0].nonzero(as_tuple=True)
    assert len(ys) == patch**2
    assert ys.max() - ys.min() + 1 == xs.max() - xs.min() + 1 == patch
    if patch > 1:
        assert ys.min() > 0 and ys.max() < size - 1, "the whole patch lies within the image"


def test_the_logits_stand_row_by_row() -> None:
    D, (x, c) = made(norm="none").eval(), images(1)
    changed = x.clone()
    changed[..., :2, -2:] += 1  # the corner at the top right
    differs = (D(x, c) != D(changed, c)).reshape(14, 14)
    assert differs[0, -1]
    assert not differs[8:].any() and not differs[:, :6].any()


def test_parameters_layer_for_layer() -> None:
    """2,768,705 for six channels, as public implementations count it; a bias where no batch norm follows."""
    with torch.device("meta"):
        counts = {patch: count(DISCRIMINATORS.find("patchgan")(256, 6, 0, patch=patch)) for patch in PATCHES}
        plain = count(DISCRIMINATORS.find("patchgan")(256, 6, 0, norm="none"))
    layers = {16: (64, 128), 34: (64, 128, 256), 70: (64, 128, 256, 512), 286: (64, 128, 256, 512, 512, 512)}
    for patch, widths in layers.items():
        kernels = 16 * sum(before * after for before, after in pairwise((6, *widths, 1)))
        assert counts[patch] == kernels + 64 + 1 + 2 * sum(widths[1:])
    assert counts[70] == 2_768_705
    assert counts[1] == 6 * 64 + 64 + 64 * 128 + 2 * 128 + 128 + 1
    assert plain == counts[70] - (128 + 256 + 512)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_a_forward_by_hand(norm: str) -> None:
    D = randomised(made(12, norm=norm))
    x, c = images(2, 12, torch.float64)
    w = values_of(D)
    features = leaky(conv(x.numpy(), next(w), next(w), stride=2, pad=1), 0.2)
    features = conv(features, next(w), next(w) if norm == "none" else 0.0, pad=1)
    if norm != "none":
        features = batch_norm(features, next(w), next(w)) if norm == "batch" else instance_norm(features)
    features = leaky(features, 0.2)
    expected = conv(features, next(w), next(w), pad=1).reshape(2, -1)
    assert next(w, None) is None
    logits, seen = D.logits_and_features(x, c)
    assert np.allclose(logits.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    assert np.allclose(seen.detach().numpy(), features.reshape(2, -1), rtol=1e-9, atol=1e-12)


def test_a_pixels_logit_by_hand() -> None:
    D = randomised(made(4, patch=1, norm="none"))
    x, c = images(2, 4, torch.float64)
    convs: list[Any] = [m for m in D.modules() if isinstance(m, nn.Conv2d)]
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 3)
    for layer in convs[:-1]:
        pixels = pixels @ layer.weight[:, :, 0, 0].T + layer.bias
        pixels = torch.where(pixels > 0, pixels, 0.2 * pixels)
    assert torch.allclose(D(x, c), (pixels @ convs[-1].weight[:, :, 0, 0].T + convs[-1].bias).reshape(2, 16))


def test_spectral_norm_holds_every_layer_at_one() -> None:
    D = made(64, patch=70, width=4, norm="spectral")
    for _ in range(60):
        D(*images(2, 64))
    convs = [m for m in D.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 5
    for layer in convs:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    assert not any(isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d) for m in D.modules())


@pytest.mark.parametrize("norm", ["instance", "spectral", "none"])
def test_without_batch_norm_each_image_is_rated_alone_in_training_too(norm: str) -> None:
    D, (x, c) = made(norm=norm).train(norm != "spectral"), images()
    assert torch.allclose(D(x, c)[1:3], D(x[1:3], c[1:3]), atol=1e-6)


@norms
@pytest.mark.parametrize("patch", [1, 16])
def test_a_gradient_penalty_equals_finite_differences(norm: str, patch: int) -> None:
    """R1 on the sum of the patches' logits, by D's first layer."""
    D = randomised(made(8, patch=patch, norm=norm)).train(norm != "spectral")
    x, c = images(2, 8, torch.float64)
    x.requires_grad_()
    weight = next(p for p in D.parameters() if p.dim() > 1)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(D(x, c).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    (exact,) = torch.autograd.grad(penalty(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            weight += sign * step * direction
        values.append(penalty().item())
    assert (exact * direction).sum().item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


@norms
def test_the_memory_format_changes_nothing_and_bfloat16_little(norm: str) -> None:
    D, (x, c) = made(norm=norm).eval(), images()
    expected = D(x, c)
    D, x = D.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(D(x, c), expected, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        logits = D.train()(x, c)
    assert (logits.float() - expected).abs().max() < 1
    logits.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in D.parameters())


@norms
def test_a_saved_network_comes_back_the_same(norm: str, tmp_path: Path) -> None:
    D, (x, c) = made(norm=norm), images()
    D(x, c)
    settings = {"width": 2, "patch": 16, "norm": norm}
    config = {"name": "patchgan", "resolution": 32, "channels": 3, "classes": [], "settings": settings}
    save_network(tmp_path, D, config)
    assert torch.equal(load_network(tmp_path, DISCRIMINATORS)[0](x, c), D.eval()(x, c))


@pytest.mark.parametrize(
    ("resolution", "classes", "settings", "says"),
    [
        (64, 3, {}, "patchgan knows no labels: set --data.no-labels"),
        (16, 0, {}, "a multiple of 8 and at least 24, not 16: set --D.patch"),
        (28, 0, {}, "a multiple of 8 and at least 24, not 28"),
        (64, 0, {"patch": 286}, "a multiple of 32 and at least 96, not 64"),
        (8, 0, {"patch": 34}, "a multiple of 4 and at least 12, not 8"),
        (7, 0, {"patch": 16}, "a multiple of 2 and at least 6, not 7"),
        (64, 0, {"width": 0}, "D.width is 0"),
    ],
)
def test_what_cannot_be_is_one_line(resolution: int, classes: int, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        DISCRIMINATORS.find("patchgan")(resolution, 3, classes, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_patch_is_an_option_of_numbers() -> None:
    _, made = train_options(recipe("dcgan"), ["--D.name", "patchgan", "--D.patch", "16"])
    assert made.D.settings == {"patch": 16, "width": 64, "norm": "batch"}
    with pytest.raises(UserError, match="17"):
        train_options(recipe("dcgan"), ["--D.name", "patchgan", "--D.patch", "17"])
