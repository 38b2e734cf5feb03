import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu

from gannet.networks.stylegan2 import (
    EqualConv,
    EqualLinear,
    Filter,
    ResidualBlock,
    StyledConv,
    ToRGB,
    activated,
    modulated_conv,
)

ROW = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_a_modulated_convolution_is_a_loop_over_samples(demodulate: bool, size: int) -> None:
    torch.manual_seed(0)
    x, weight, style = torch.randn(3, 4, 6, 6), torch.randn(5, 4, size, size), torch.randn(3, 4)
    y = modulated_conv(x, weight, style, demodulate=demodulate)
    for n in range(3):
        own = torch.stack([style[n, i] * weight[:, i] for i in range(4)], 1)
        if demodulate:
            own = torch.stack([own[o] / math.sqrt(float(own[o].square().sum()) + 1e-8) for o in range(5)])
        assert torch.allclose(y[n], conv2d(x[n : n + 1], own, padding=size // 2)[0], atol=1e-5)


def test_a_doubling_convolution_is_a_loop_over_samples_pixels_and_taps() -> None:
    """Each pixel of x leaves the kernel, scaled, at its place."""
    torch.manual_seed(0)
    x, weight, style = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    expected = torch.zeros(2, 5, 9, 9)
    for n in range(2):
        own = weight * style[n, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        for i in range(4):
            for j in range(4):
                left = torch.einsum("c,ocyx->oyx", x[n, :, i, j], own)
                expected[n, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += left
    assert torch.allclose(modulated_conv(x, weight, style, demodulate=True, doubling=True), expected, atol=1e-5)


def test_a_doubling_layer_is_upsampling_then_a_convolution() -> None:
    """But for the border, where what lies beyond differs."""
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 8, 8), torch.randn(2, 7)
    layer = StyledConv(3, 5, 7, 16, doubling=True).eval()
    expected = modulated_conv(Filter().upsample(x), layer.weight.flip(2, 3), layer.style(w), demodulate=True)
    expected = activated(expected, layer.bias)
    assert torch.allclose(layer(x, w)[:, :, 3:-3, 3:-3], expected[:, :, 3:-3, 3:-3], atol=1e-5)


def test_demodulated_features_have_variance_1() -> None:
    """2, section 2.2: of independent features with variance 1, whatever their styles are."""
    torch.manual_seed(0)
    style = 10 ** torch.randn(4, 32)
    y = modulated_conv(torch.randn(4, 32, 64, 64), torch.randn(8, 32, 3, 3), style, demodulate=True)
    assert torch.allclose(y[:, :, 1:-1, 1:-1].var((2, 3)), torch.ones(4, 8), atol=0.15)


def test_the_filter_by_hand() -> None:
    one = torch.zeros(1, 2, 7, 7)
    one[0, 1, 3, 3] = 1.0
    y = Filter().blur(one, 2)
    assert y.shape == (1, 2, 8, 8)
    assert torch.equal(y[0, 1, 2:6, 2:6], ROW.outer(ROW))
    assert y[0, 0].abs().sum() == 0
    row = torch.tensor([4.0, 8.0, 0.0, 16.0])
    doubled = Filter().upsample(row.expand(1, 1, 4, 4))[0, 0, 3]
    assert doubled.tolist() == [3, 5, 7, 6, 2, 4, 12, 12]  # 3/4 of the nearest, 1/4 of the next, 0 beyond
    halved = Filter().downsample(row.expand(1, 1, 6, 4))[0, 0, 1]
    assert halved.tolist() == [(3 * 4 + 3 * 8) / 8, (8 + 3 * 0 + 3 * 16) / 8]


def test_halving_convolutions_blur_before_they_leave_pixels_out() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    for size in (1, 3):
        layer = EqualConv(3, 5, size, activate=False, halving=True)
        blurred = Filter().blur(x, 1 + size // 2)
        expected = conv2d(blurred, layer.weight / math.sqrt(3 * size**2))[:, :, ::2, ::2]
        assert torch.allclose(layer(x), expected, atol=1e-6)
        assert layer(x).shape == (2, 5, 4, 4)


def test_the_equalised_learning_rate() -> None:
    """Stored with deviation 1 / lr, used with deviation lr / sqrt(inputs) of that: at first all is alike."""
    torch.manual_seed(0)
    for lr in (1.0, 0.01):
        layer = EqualLinear(64, 400, bias=0.5, lr=lr)
        assert layer.weight.std().item() == pytest.approx(1 / lr, rel=0.02)
        x = torch.randn(8, 64)
        expected = x @ (layer.weight * lr / 8).t() + 0.5
        assert torch.allclose(layer(x), expected, atol=1e-5)
        with torch.no_grad():
            layer.weight.add_(1.0)
            layer.bias.add_(1.0)
        moved = layer(x) - expected
        assert torch.allclose(moved, lr * (x.sum(1, keepdim=True) / 8 + 1).expand(8, 400), atol=1e-4)


def test_activations_keep_the_mean_square_of_pro_gans_constant() -> None:
    x = torch.tensor([[-1.0, 2.0]])
    assert torch.allclose(activated(x, torch.tensor([0.5, -1.0])), 2**0.5 * torch.tensor([[-0.1, 1.0]]))


def test_a_residual_block_by_hand() -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(3, 5), torch.randn(2, 3, 8, 8)
    first, second = (m for m in block.main if isinstance(m, EqualConv))
    y = leaky_relu(conv2d(x, first.weight / math.sqrt(27), padding=1), 0.2) * math.sqrt(2)
    y = leaky_relu(conv2d(Filter().blur(y, 2), second.weight / math.sqrt(27), stride=2), 0.2) * math.sqrt(2)
    skip = conv2d(Filter().downsample(x), block.skip.weight / math.sqrt(3))
    assert torch.allclose(block(x), (y + skip) / math.sqrt(2), atol=1e-5)


def test_noise_reaches_every_feature_with_the_layers_strength() -> None:
    torch.manual_seed(0)
    layer, w = StyledConv(3, 5, 7, 8, doubling=False).eval(), torch.randn(2, 7)
    x = torch.randn(2, 3, 8, 8)
    without = layer(x, w) / math.sqrt(2)
    nn.init.constant_(layer.noise_strength, 0.7)
    nn.init.constant_(layer.bias, 0.1)
    before = torch.where(without < 0, without / 0.2, without)
    assert torch.allclose(layer(x, w), activated(before + 0.7 * layer.noise_const, layer.bias), atol=1e-5)


def test_to_rgb_is_a_loop_over_samples_without_demodulation() -> None:
    torch.manual_seed(0)
    layer, x, w = ToRGB(4, 3, 7), torch.randn(2, 4, 5, 5), torch.randn(2, 7)
    nn.init.normal_(layer.bias)
    for n in range(2):
        style = layer.style.weight @ w[n] / math.sqrt(7) + 1
        expected = torch.einsum("oc,cyx->oyx", layer.weight[:, :, 0, 0] * style / 2, x[n]) + layer.bias[:, None, None]
        assert torch.allclose(layer(x, w)[n], expected, atol=1e-5)


def test_styles_are_1_at_first_for_a_w_of_0() -> None:
    assert torch.equal(StyledConv(3, 5, 7, 8, doubling=False).style(torch.zeros(2, 7)), torch.ones(2, 3))
