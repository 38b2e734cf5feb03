"""The matrix products equal the library's convolutions: values, gradients, gradients of gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad

from gannet.networks import conv
from gannet.networks.conv import DoublingConv, FirstConv, HalvingConv, LastConv, Patches, SmoothDoublingConv, Sums

F64 = torch.float64


@pytest.fixture(autouse=True)
def always_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv, "is_product_faster", lambda *_: True)


def halving(bias: bool) -> tuple[HalvingConv, Tensor]:
    return HalvingConv(3, 5, bias=bias).to(F64), torch.randn(2, 3, 8, 6, dtype=F64, requires_grad=True)


@pytest.mark.parametrize("bias", [False, True])
def test_halving_equals_conv2d(bias: bool) -> None:
    layer, x = halving(bias)
    assert torch.allclose(layer(x), conv2d(x, layer.weight, layer.bias, 2, 1), rtol=1e-12)


def test_doubling_equals_conv_transpose2d() -> None:
    layer, x = DoublingConv(3, 5).to(F64), torch.randn(2, 3, 4, 2, dtype=F64)
    assert torch.allclose(layer(x), conv_transpose2d(x, layer.weight, None, 2, 1), rtol=1e-12)


def test_first_and_last_equal_the_library() -> None:
    first, last = FirstConv(6, 5).to(F64), LastConv(5, 2, bias=True).to(F64)
    z = torch.randn(3, 6, 1, 1, dtype=F64)
    x = conv_transpose2d(z, first.weight)
    assert x.shape == (3, 5, 4, 4)
    assert torch.allclose(first(z), x, rtol=1e-12, atol=1e-14)
    assert torch.allclose(last(x), conv2d(x, last.weight, last.bias), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", [HalvingConv(2, 3, bias=True).to(F64), DoublingConv(2, 3).to(F64)])
def test_gradients_and_their_gradients_are_right(layer: nn.Module) -> None:
    x = torch.randn(2, 2, 4, 4, dtype=F64, requires_grad=True)
    weights = list(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *weights))
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x), (x, *weights))


def test_smooth_doubling_is_a_bilinear_one_and_a_convolution() -> None:
    layer, x = SmoothDoublingConv(3, 5).to(F64), torch.randn(2, 3, 4, 6, dtype=F64, requires_grad=True)
    enlarged = interpolate(pad(x, (2, 2, 2, 2)), scale_factor=2.0, mode="bilinear")  # 0 around x, as for convolutions
    assert torch.allclose(layer(x), conv2d(enlarged, layer.weight)[:, :, 3:-3, 3:-3], rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.weight))


def test_smooth_doubling_has_no_grain_of_two_pixels() -> None:
    """Of flat features it makes a flat image, whatever the weights; a transposed convolution makes four values."""
    flat = torch.randn(1, 3, 1, 1, dtype=F64).expand(1, 3, 6, 6)
    smooth, transposed = (layer(3, 1).to(F64)(flat)[0, 0, 4:8, 4:8] for layer in (SmoothDoublingConv, DoublingConv))
    assert smooth.std() < 1e-12
    assert transposed.std() > 0.01


def test_sums_are_the_transpose_of_patches() -> None:
    x, patches = torch.randn(2, 4, 6, 3, dtype=F64), torch.randn(2, 2, 3, 4, 4, 3, dtype=F64)
    assert torch.isclose((Patches.apply(x) * patches).sum(), (x * Sums.apply(patches)).sum(), rtol=1e-12)


def test_small_layers_and_wide_images_stay_with_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    wide, narrow = torch.empty(1, 256, 8, 8, dtype=torch.bfloat16), torch.empty(1, 3, 8, 8, dtype=torch.bfloat16)
    assert conv.is_product_faster(wide, 512 * 256, 4)
    assert not conv.is_product_faster(wide, 512 * 256, 8)
    assert not conv.is_product_faster(narrow, 5 * 3, 4)
    assert not conv.is_product_faster(wide.float(), 512 * 256, 4)  # some processors are slow at such products
