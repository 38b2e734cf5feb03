"""The networks that translate, as their papers have them."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from byhand import Array, batch_norm, conv, doubling, instance_norm, leaky, randomised, values_of
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks import TRANSLATORS
from gannet.networks.folder import load_network, save_network
from gannet.networks.layers import LeakyDropout
from gannet.networks.resnet_blocks import Reflection, up
from gannet.networks.srresnet import Dense
from gannet.parts import settings_of

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "max_width": 8, "depth": 3},
    "resnet-blocks": {"width": 3, "blocks": 2},
    "srresnet": {"width": 4, "blocks": 2},
    "rrdb": {"width": 4, "blocks": 2, "growth": 3},
}
rows = pytest.mark.parametrize("row", list(TRANSLATORS.rows))


def made(row: str, resolution: int = 32, channels: int = 3, **settings: Any) -> Any:
    torch.manual_seed(1)
    return TRANSLATORS.find(row)(resolution, channels, 0, **{**SMALL[row], **settings})


def given_to(G: Any, num: int = 3, height: int = 32, width: int = 32) -> Tensor:
    """What becomes images of that size."""
    torch.manual_seed(3)
    return torch.rand(num, 3, height // G.scale, width // G.scale) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# ---- the contract


@rows
@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shapes(row: str, size: int, channels: int) -> None:
    with torch.device("meta"):
        G = TRANSLATORS.find(row)(size, channels, 0)
        a = torch.zeros(2, channels, size // G.scale, size // G.scale)
        assert G(a).shape == (2, channels, size, size)
    assert G.z_dim == 0
    assert (G.scale, G.multiple) == {"unet": (1, size), "resnet-blocks": (1, 4)}.get(row, (4, 1))


def test_the_settings_of_each() -> None:
    assert {row: list(settings_of(TRANSLATORS.find(row))) for row in TRANSLATORS.rows} == {
        "unet": ["width", "max_width", "depth", "dropout", "norm"],
        "resnet-blocks": ["width", "blocks", "norm", "up_kernel"],
        "srresnet": ["scale", "width", "blocks"],
        "rrdb": ["scale", "width", "blocks", "growth"],
    }


@rows
def test_any_side_that_is_a_multiple_is_taken_square_or_not(row: str) -> None:
    G = made(row).eval()
    for height, width in ((64, 64), (8, 24), (40, 16)):
        x = G(given_to(G, 2, height, width))
        assert x.shape == (2, 3, height, width)
        assert torch.isfinite(x).all()


@rows
def test_images_are_in_range_and_gradients_finite(row: str) -> None:
    G = made(row)
    x = G(given_to(G))
    assert torch.isfinite(x).all() and x.std() > 0
    if row in ("unet", "resnet-blocks"):
        assert x.abs().max() <= 1
    x.square().sum().backward()
    for name, parameter in G.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not (row == "resnet-blocks" and name.endswith("bias")):  # which instance norm takes away
            assert parameter.grad.abs().sum() > 0, name


@rows
def test_the_memory_format_changes_nothing_and_bfloat16_little(row: str) -> None:
    G = made(row).eval()
    a = given_to(G)
    expected = G(a)
    G, a = G.to(memory_format=torch.channels_last), a.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(G(a), expected, atol=1e-5)
    G.train()
    with torch.autocast("cpu", torch.bfloat16):
        x = G(a)
        assert (G.eval()(a) - expected).abs().max() < 0.1
    x.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in G.parameters())


@rows
def test_each_image_is_made_alone_in_eval_mode(row: str) -> None:
    G = made(row)
    a = given_to(G)
    G(a)  # moves the running statistics
    G.eval()
    assert torch.allclose(G(a)[1:2], G(a[1:2]), atol=1e-6)
    assert torch.equal(G(a), G(a))


@pytest.mark.parametrize("row", ["unet", "srresnet", "rrdb"])
def test_what_moves_in_the_input_moves_in_the_output(row: str) -> None:
    """Far from the borders, whose zeros are of another kind."""
    G = made(row, **{"depth": 2} if row == "unet" else {"blocks": 1}).double().eval()
    a, step = torch.randn(1, 3, 64, 64, dtype=torch.float64), G.multiple
    moved = G(a.roll((step, 2 * step), (2, 3)))
    expected = G(a).roll((step * G.scale, 2 * step * G.scale), (2, 3))
    middle = slice(32 * G.scale - 8, 32 * G.scale + 8)
    assert torch.allclose(moved[..., middle, middle], expected[..., middle, middle], rtol=1e-9, atol=1e-12)


@rows
def test_a_saved_network_comes_back_the_same(row: str, tmp_path: Path) -> None:
    G = made(row)
    a = given_to(G)
    G(a)
    config = {"name": row, "resolution": 32, "channels": 3, "classes": [], "settings": SMALL[row]}
    save_network(tmp_path, G, config)
    loaded, _ = load_network(tmp_path, TRANSLATORS)
    assert torch.equal(loaded(a), G.eval()(a))
    assert loaded.scale == G.scale and loaded.multiple == G.multiple


@pytest.mark.parametrize(
    ("row", "resolution", "classes", "settings", "says"),
    [
        *((row, 64, 2, {}, "knows no labels: set --data.no-labels") for row in TRANSLATORS.rows),
        ("unet", 33, 0, {}, "a multiple of 2, not 33: set --data.resolution"),
        ("unet", 64, 0, {"depth": 7}, "G.depth is 7, and 64 pixels can be halved 6 times only"),
        ("unet", 64, 0, {"depth": -1}, "G.depth is -1"),
        ("unet", 64, 0, {"dropout": 1.0}, "G.dropout is 1.0, and must be from 0 to below 1"),
        ("unet", 64, 0, {"width": 0}, "G.width is 0"),
        ("resnet-blocks", 30, 0, {}, "a multiple of 4, not 30: set --data.resolution"),
        ("resnet-blocks", 4, 0, {}, "data.resolution is 4, and must be at least 8"),
        ("resnet-blocks", 64, 0, {"blocks": -1}, "G.blocks is -1"),
        ("srresnet", 66, 0, {}, "a multiple of 4, not 66: set --data.resolution"),
        ("srresnet", 65, 0, {"scale": 2}, "a multiple of 2, not 65: set --data.resolution"),
        ("srresnet", 64, 0, {"blocks": 0}, "G.blocks is 0"),
        ("rrdb", 64, 0, {"growth": 0}, "G.growth is 0"),
    ],
)
def test_what_cannot_be_is_one_line(
    row: str, resolution: int, classes: int, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError) as caught:
        TRANSLATORS.find(row)(resolution, 3, classes, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- layer for layer


def test_parameters_layer_for_layer() -> None:
    """U-Net and CycleGAN's as public implementations count them: 54.414M and 11.378M.

    The papers do not say which convolutions have a bias. In the U-Net it is the last one alone; CycleGAN's have
    one everywhere, although instance norm takes away what all but the last one add. ESRGAN's have one as well.
    """
    with torch.device("meta"):
        unet, blocks, small, rrdb = (
            TRANSLATORS.find(row)(256, 3, 0) for row in ("unet", "resnet-blocks", "srresnet", "rrdb")
        )
    encoder = (3, 64, 128, 256, 512, 512, 512, 512, 512)
    decoder = ((512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3))
    norms = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    by_layers = 16 * sum(before * after for before, after in [*pairwise(encoder), *decoder]) + norms + 3
    assert count(unet) == by_layers == 54_413_955

    stem, halvings = 49 * 3 * 64 + 64, 9 * 64 * 128 + 128 + 9 * 128 * 256 + 256
    doublings, last = 9 * 256 * 128 + 128 + 9 * 128 * 64 + 64, 49 * 64 * 3 + 3
    assert count(blocks) == stem + halvings + 9 * 2 * (9 * 256 * 256 + 256) + doublings + last == 11_378_179

    conv, norm = 9 * 64 * 64, 2 * 64
    ends = 81 * 3 * 64 + 64 + 1 + 81 * 64 * 3 + 3
    assert count(small) == ends + 16 * (2 * (conv + norm) + 1) + conv + norm + 2 * (4 * (conv + 64) + 1)

    dense = sum(9 * (64 + 32 * i) * out + out for i, out in enumerate([32, 32, 32, 32, 64]))
    others = 4 * (conv + 64) + 9 * 3 * 64 + 64 + 9 * 64 * 3 + 3
    assert count(rrdb) == 23 * 3 * dense + others == 16_697_987


def test_cyclegan_has_six_blocks_up_to_128_pixels_and_nine_above() -> None:
    with torch.device("meta"):
        counts = {size: count(TRANSLATORS.find("resnet-blocks")(size, 3, 0)) for size in (64, 128, 132, 256)}
    block = 2 * (9 * 256 * 256 + 256)
    assert counts == {64: 11_378_179 - 3 * block, 128: 11_378_179 - 3 * block, 132: 11_378_179, 256: 11_378_179}


def relu_of_normed(x: Array) -> Array:
    return leaky(instance_norm(x))


def reflected(x: Array, num: int) -> Array:
    return np.pad(x, [(0, 0), (0, 0), (num, num), (num, num)], mode="reflect")


def unet(a: Array, w: Iterator[Array]) -> Array:
    """Eight pixels, halved three times: C2-C4-C4."""
    first = leaky(conv(a, next(w), stride=2, pad=1), 0.2)
    second = leaky(batch_norm(conv(first, next(w), stride=2, pad=1), next(w), next(w)), 0.2)
    third = leaky(conv(second, next(w), stride=2, pad=1), 0.2)
    x = leaky(batch_norm(doubling(third, next(w)), next(w), next(w)))
    x = leaky(batch_norm(doubling(np.concatenate([x, second], 1), next(w)), next(w), next(w)))
    return np.tanh(doubling(np.concatenate([x, first], 1), next(w), next(w)))


def resnet_blocks(a: Array, w: Iterator[Array]) -> Array:
    x = relu_of_normed(conv(reflected(a, 3), next(w), next(w)))
    for _ in range(2):
        x = relu_of_normed(conv(x, next(w), next(w), stride=2, pad=1))
    for _ in range(2):
        inner = relu_of_normed(conv(reflected(x, 1), next(w), next(w)))
        x = x + instance_norm(conv(reflected(inner, 1), next(w), next(w)))
    for _ in range(2):
        kernel = next(w)
        x = relu_of_normed(doubling(x, kernel, next(w) if kernel.shape[2] == 3 else 0.0))
    return np.tanh(conv(reflected(x, 3), next(w), next(w)))


def srresnet(a: Array, w: Iterator[Array]) -> Array:
    start = x = leaky(conv(a, next(w), next(w), pad=4), next(w))
    for _ in range(2):
        inner = leaky(batch_norm(conv(x, next(w), pad=1), next(w), next(w)), next(w))
        x = x + batch_norm(conv(inner, next(w), pad=1), next(w), next(w))
    x = start + batch_norm(conv(x, next(w), pad=1), next(w), next(w))
    for _ in range(2):
        many = conv(x, next(w), next(w), pad=1)
        x = np.empty((len(x), x.shape[1], 2 * x.shape[2], 2 * x.shape[3]))
        for i in range(2):
            for j in range(2):
                x[:, :, i::2, j::2] = many[:, 2 * i + j :: 4]
        x = leaky(x, next(w))
    return conv(x, next(w), next(w), pad=4)


def rrdb(a: Array, w: Iterator[Array]) -> Array:
    start = x = conv(a, next(w), next(w), pad=1)
    for _ in range(2):
        inner = x
        for _ in range(3):
            seen = [inner]
            for _ in range(4):
                seen.append(leaky(conv(np.concatenate(seen, 1), next(w), next(w), pad=1), 0.2))
            inner = inner + 0.2 * conv(np.concatenate(seen, 1), next(w), next(w), pad=1)
        x = x + 0.2 * inner
    x = start + conv(x, next(w), next(w), pad=1)
    for _ in range(2):
        x = leaky(conv(x.repeat(2, axis=2).repeat(2, axis=3), next(w), next(w), pad=1), 0.2)
    return conv(leaky(conv(x, next(w), next(w), pad=1), 0.2), next(w), next(w), pad=1)


BY_HAND = {"unet": unet, "resnet-blocks": resnet_blocks, "srresnet": srresnet, "rrdb": rrdb}


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ("unet", {"width": 2, "max_width": 4, "dropout": 0.0}),
        ("resnet-blocks", {}),
        ("resnet-blocks", {"up_kernel": 4}),
        ("srresnet", {}),
        ("rrdb", {}),
    ],
)
def test_a_forward_by_hand(row: str, settings: dict[str, Any]) -> None:
    G = randomised(made(row, 8, **settings))
    a = torch.randn(2, 3, 8, 8 if G.scale == 1 else 4, dtype=torch.float64)
    values = values_of(G)
    expected = BY_HAND[row](a.numpy(), values)
    assert next(values, None) is None, "every parameter has its place"
    assert np.allclose(G(a).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


# ---- what is of one alone


def test_the_first_three_layers_of_the_decoder_drop_and_only_in_training() -> None:
    with torch.device("meta"):
        G: Any = TRANSLATORS.find("unet")(256, 3, 0)
    assert [m.p for m in G.modules() if isinstance(m, LeakyDropout)] == [0.5] * 3 + [0.0] * 4
    G = made("unet")
    a = given_to(G)
    assert not torch.allclose(G(a), G(a))
    assert torch.equal(G.eval()(a), G(a))
    G = made("unet", dropout=0.0)
    assert torch.equal(G(a), G(a))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_innermost_pixel_speaks_in_a_batch_of_one(norm: str) -> None:
    """With a norm behind it, its value less its mean would be 0 whatever a is (the paper's erratum)."""
    G = made("unet", depth=5, norm=norm, dropout=0.0)
    a = given_to(G, 1)
    before = G(a)
    assert torch.isfinite(before).all()
    assert not any(isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d) for m in G.downs[-1].modules())
    with torch.no_grad():
        G.downs[-1][0].weight.copy_(torch.randn_like(G.downs[-1][0].weight))
    assert (G(a) - before).abs().max() > 1e-6


def test_instance_norm_makes_each_image_alone_in_training_too() -> None:
    G = made("unet", norm="instance", dropout=0.0)
    a = given_to(G)
    assert torch.allclose(G(a)[:1], G(a[:1]), atol=1e-6)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in G.modules())


@pytest.mark.parametrize(("size", "depth", "multiple"), [(48, 0, 16), (96, 0, 32), (96, 2, 4), (34, 0, 2), (2, 0, 2)])
def test_how_deep_a_unet_is(size: int, depth: int, multiple: int) -> None:
    G = made("unet", size, depth=depth)
    assert G.multiple == multiple == 2 ** len(G.downs)
    assert len(G.ups) == len(G.downs) - 1
    assert G.eval()(torch.zeros(1, 3, size, size)).shape == (1, 3, size, size)


@pytest.mark.parametrize(("kernel", "made_of"), [(3, [[1, 2], [2, 4]]), (4, [[4, 4], [4, 4]])])
def test_of_how_many_each_pixel_of_a_doubling_is_made(kernel: Any, made_of: list[list[int]]) -> None:
    """Ones in, and weights of one: away from the edges, a pixel is the number of those that reached it."""
    doubling = up(1, 1, kernel)
    nn.init.ones_(doubling.weight)
    if doubling.bias is not None:
        nn.init.zeros_(doubling.bias)
    assert torch.equal(doubling(torch.ones(1, 1, 6, 6))[0, 0, 4:6, 4:6], torch.tensor(made_of).float())
    G = made("resnet-blocks", up_kernel=kernel)
    assert [m.kernel_size for m in G.modules() if isinstance(m, nn.ConvTranspose2d)] == [(kernel, kernel)] * 2


@pytest.mark.parametrize("row", ["unet", "resnet-blocks"])
def test_weights_start_normal_with_002(row: str) -> None:
    G = made(row, width=32, **{"max_width": 64} if row == "unet" else {})
    convs = [m for m in G.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for module in convs:
        n = module.weight.numel()
        assert abs(module.weight.mean()) < 5 * 0.02 / math.sqrt(n)
        assert abs(module.weight.std() / 0.02 - 1) < 5 / math.sqrt(2 * n)
        assert module.bias is None or (module.bias == 0).all()


def test_dense_blocks_start_at_a_tenth_of_hes_weights() -> None:
    torch.manual_seed(0)
    block = Dense(32, 16)
    for module in [m for m in block.modules() if isinstance(m, nn.Conv2d)]:
        he = math.sqrt(2 / (1.04 * 9 * module.in_channels))
        assert module.weight.std().item() == pytest.approx(0.1 * he, rel=0.05)


@pytest.mark.parametrize("num", [1, 3])
def test_a_reflection_is_torchs_where_it_must_repeat_too(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Reflection(num)
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    expected, weight = layer(x), torch.randn(2, 2, 5 + 2 * num, 4 + 2 * num, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((expected * weight).sum(), x)
    calls: list[Tensor] = []
    joined = Reflection.joined
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    monkeypatch.setattr(Reflection, "joined", lambda self, x: calls.append(x) or joined(self, x))
    assert torch.equal(layer(x), expected)
    assert len(calls) == 1
    assert torch.allclose(torch.autograd.grad((layer(x) * weight).sum(), x)[0], gradient)


@pytest.mark.parametrize("row", ["srresnet", "rrdb"])
def test_two_is_a_scale_as_well(row: str) -> None:
    G, four = made(row, scale=2), made(row)
    assert (G.scale, four.scale) == (2, 4)
    assert G(torch.zeros(2, 3, 5, 7)).shape == (2, 3, 10, 14)
    width = SMALL[row]["width"]
    one_doubling = 9 * width * 4 * width + 4 * width + 1 if row == "srresnet" else 9 * width * width + width
    assert count(four) - count(G) == one_doubling
