import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.r3gan import Block, Discriminator, Down, Generator, Up

SMALL: dict[str, Any] = {"widths": (8, 8, 4), "group_size": 4}


def small(classes: int = 0, settled: bool = True) -> tuple[Generator, Discriminator]:
    """Networks for 16 pixels; `settled` gives the layers that start at 0 other values, as training would."""
    torch.manual_seed(1)
    networks = Generator(16, 3, classes, z_dim=6, **SMALL), Discriminator(16, 3, classes, **SMALL)
    for network in networks if settled else ():
        for module in network.modules():
            if isinstance(module, Block):
                for layer in (module.widen, module.grouped):
                    nn.init.normal_(given(layer.bias), std=0.2)
                nn.init.normal_(module.narrow.weight, std=0.2)
    return networks


def given(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


IMAGENET: dict[str, Any] = {"widths": (1536,) * 5, "group_size": 32}


@pytest.mark.parametrize(
    ("resolution", "classes", "settings", "g", "d"),
    [
        (32, 0, {}, 20_732_160, 20_683_776),
        (32, 10, {}, 20_781_952, 21_280_512),
        (64, 0, {}, 22_429_824, 22_381_440),
        (256, 0, {}, 23_057_952, 23_009_568),
        (64, 1000, IMAGENET, 103_570_432, 107_205_120),
    ],
)
def test_the_papers_networks_have_their_parameters(
    resolution: int, classes: int, settings: dict[str, Any], g: int, d: int
) -> None:
    with torch.device("meta"):
        assert count(Generator(resolution, 3, classes, **settings)) == g
        assert count(Discriminator(resolution, 3, classes, **settings)) == d


def test_the_grouped_convolutions_have_the_papers_groups() -> None:
    """96, 96, 96, 96, 48, 24, 12 from 4x4 upward, twice each; 96 everywhere on ImageNet."""

    def groups(network: nn.Module) -> list[int]:
        return [m.grouped.groups for m in network.modules() if isinstance(m, Block)]

    expected = [num for num in (96, 96, 96, 96, 48, 24, 12) for _ in range(2)]
    with torch.device("meta"):
        assert groups(Generator(256, 3, 0)) == expected
        assert groups(Discriminator(256, 3, 0)) == expected[::-1]
        assert groups(Generator(64, 3, 1000, **IMAGENET)) == [96] * 10


def test_only_what_stands_before_an_activation_has_a_bias() -> None:
    for network in small(classes=3):
        biases = {name.split(".")[-2] for name, _ in network.named_parameters() if name.endswith("bias")}
        assert biases == {"widen", "grouped"}


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 10])
def test_shapes(resolution: int, channels: int, classes: int) -> None:
    with torch.device("meta"):
        G = GENERATORS.find("r3gan")(resolution, channels, classes)
        D = DISCRIMINATORS.find("r3gan")(resolution, channels, classes)
        c = torch.zeros(5, classes)
        x = G(torch.zeros(5, G.z_dim), c)
        assert G.z_dim == 64
        assert x.shape == (5, channels, resolution, resolution)
        assert D(x, c).shape == (5,)


def test_a_block_group_by_group() -> None:
    torch.manual_seed(0)
    block = Block(6, expansion=2, group_size=3)
    x = torch.randn(2, 6, 5, 5)
    wide = leaky_relu(torch.einsum("oi,nihw->nohw", block.widen.weight[:, :, 0, 0], x) + at(block.widen.bias), 0.2)
    parts = [conv2d(wide[:, 3 * g : 3 * g + 3], block.grouped.weight[3 * g : 3 * g + 3], padding=1) for g in range(4)]
    grouped = leaky_relu(torch.cat(parts, 1) + at(block.grouped.bias), 0.2)
    expected = x + torch.einsum("oi,nihw->nohw", block.narrow.weight[:, :, 0, 0], grouped)
    assert torch.allclose(block(x), expected, atol=1e-5)


def at(bias: Tensor | None) -> Tensor:
    return given(bias)[:, None, None]


def test_doubling_and_halving_by_hand() -> None:
    row = torch.tensor([0.0, 4.0, 8.0]).repeat(3, 1)[None, None]
    assert Up(1, 1)(row)[0, 0, 2].tolist() == [0, 1, 3, 5, 7, 8]
    row = torch.tensor([8.0, 16.0, 0.0, 24.0]).repeat(4, 1)[None, None]
    # (1*8 + 3*8 + 3*16 + 1*0)/8 and (1*16 + 3*0 + 3*24 + 1*24)/8
    assert Down(1, 1)(row)[0, 0, 1].tolist() == [10, 14]


def test_halving_is_the_transpose_of_doubling_and_antialiased() -> None:
    torch.manual_seed(0)
    down = Down(2, 2).double()
    x, y = torch.randn(2, 2, 16, 16, dtype=torch.float64), torch.randn(2, 2, 8, 8, dtype=torch.float64)
    assert (down(x) * y).sum().item() == pytest.approx((x * Up(2, 2)(y)).sum().item() / 4)
    reference = interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
    assert torch.allclose(down(x)[..., 1:-1, 1:-1], reference[..., 1:-1, 1:-1])
    assert torch.allclose(down(torch.full((1, 2, 8, 8), 0.7).double()), torch.tensor(0.7).double())


def test_the_convolution_between_widths_commutes_with_resampling() -> None:
    torch.manual_seed(0)
    up, x = Up(4, 3), torch.randn(2, 4, 5, 5)
    assert torch.allclose(up(x), up.project(Up(4, 4)(x)), atol=1e-6)


def test_fix_up_initialisation() -> None:
    """A block starts as the identity; its other layers at sqrt(2 / (1.04 fan in)) L^(-1/4), with L = 4 blocks."""
    torch.manual_seed(0)
    D = Discriminator(8, 3, 0, widths=(96, 96), group_size=16)
    blocks = [m for m in D.modules() if isinstance(m, Block)]
    assert len(blocks) == 4
    x = torch.randn(2, 96, 4, 4)
    for block in blocks:
        assert torch.equal(block(x), x)
        for layer, fan_in in ((block.widen, 96), (block.grouped, 9 * 16)):
            expected = math.sqrt(2 / (1.04 * fan_in)) / math.sqrt(2)
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.03)
            assert not at(layer.bias).any()
    for layer, fan_in in (("stages.0", 3), ("to_vector", 16), ("to_logit", 96)):
        assert D.get_parameter(f"{layer}.weight").std().item() == pytest.approx(fan_in**-0.5, rel=0.25)


def test_both_networks_start_linear() -> None:
    G, D = small(settled=False)
    z, none = torch.randn(3, 6), torch.zeros(3, 0)
    x = G(z, none)
    assert torch.allclose(G(-2 * z, none), -2 * x, atol=1e-5)
    assert torch.allclose(D(-2 * x, none), -2 * D(x, none), atol=1e-5)


def test_noise_scales_the_learned_basis() -> None:
    G, _ = small(classes=3, settled=False)
    assert G.embed is not None
    z, c = torch.randn(4, 6), labels(4, 3)
    started: list[Tensor] = []
    G.stages.register_forward_pre_hook(lambda module, inputs: started.append(inputs[0]))
    G(z, c)
    for i in range(4):
        scales = G.from_noise.weight @ torch.cat([z[i], G.embed.weight[i % 3]])
        for k in range(8):
            assert torch.allclose(started[0][i, k], scales[k] * G.basis[k], atol=1e-5)


def test_the_conditional_logit_by_hand() -> None:
    _, D = small(classes=3)
    assert D.embed is not None
    x, c = torch.randn(4, 3, 16, 16), labels(4, 3)
    deep = D.stages(x)
    assert deep.shape == (4, 8, 4, 4)
    for i in range(4):
        vector = (D.to_vector.weight[:, 0] * deep[i]).sum((1, 2))
        expected = (D.to_logit.weight @ vector) @ D.embed.weight[i % 3]
        assert D(x, c)[i].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("build", [Generator, Discriminator])
@pytest.mark.parametrize(
    ("resolution", "settings", "says"),
    [
        (24, {}, "8, 16, 32, ... pixels, not 24"),
        (4, {}, "not 4"),
        (512, {}, "widths has 7 stages, and r3gan needs 8 for 512 pixels"),
        (32, {"widths": (8, 8)}, "widths has 2 stages"),
        (32, {"widths": (768, 768, 768, 100)}, "widths: 100 times the expansion of 2 cannot be cut into groups of 16"),
        (32, {"widths": (16, 16, 0, 16)}, "widths is 0"),
        (32, {"widths": ()}, "widths is 0"),
        (32, {"blocks": 0}, "blocks is 0"),
        (32, {"expansion": 0}, "expansion is 0"),
        (32, {"group_size": 0}, "group_size is 0"),
    ],
)
def test_what_cannot_be_built_is_one_line(build: Any, resolution: int, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says.replace(".", r"\.")) as caught, torch.device("meta"):
        build(resolution, 3, 0, **settings)
    assert "\n" not in str(caught.value)
