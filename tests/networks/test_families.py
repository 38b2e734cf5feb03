"""What is the same of the families with a file each: fastgan, r3gan and stylegan2."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from exact import tiny
from torch import Tensor, nn

from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.fastgan import Noise
from gannet.networks.folder import load_network, save_network
from gannet.networks.r3gan import Block
from gannet.networks.stylegan2 import StyledConv
from gannet.training.engine import Engine
from gannet.training.loop import iterate

STAGES = {"widths": [8, 8, 4, 4], "group_size": 4}
STYLE = {"mapping_layers": 2, "channel_base": 64, "channel_max": 8}
# the smallest size, settings of G and of D
FAMILIES: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "fastgan": (32, {"z_dim": 6, "width": 4}, {"width": 4}),
    "r3gan": (16, {"z_dim": 6, **STAGES}, STAGES),
    "stylegan2": (16, {"z_dim": 6, "w_dim": 7, **STYLE}, STYLE),
}
PENALISED = {
    "fastgan": ("to_16.0.0", "to_8.convolved.0.0", "to_8.pooled.1"),
    "r3gan": ("stages.1.grouped", "stages.8.widen", "to_logit"),
    "stylegan2": ("blocks.0", "blocks.1.main.1", "blocks.1.skip", "last_conv"),
}
families = pytest.mark.parametrize("family", list(FAMILIES))


def networks(family: str, classes: int = 3, size: int = 0) -> tuple[Any, Any]:
    """Small ones; what starts at 0 has other values, as training would give it."""
    torch.manual_seed(1)
    least, g, d = FAMILIES[family]
    facts = size or least, 3, classes
    both = GENERATORS.find(family)(*facts, **g), DISCRIMINATORS.find(family)(*facts, **d)
    for module in [*both[0].modules(), *both[1].modules()]:
        if isinstance(module, Noise):
            nn.init.constant_(module.scale, 1.0)
        elif isinstance(module, StyledConv):
            nn.init.constant_(module.noise_strength, 0.3)
        elif isinstance(module, Block):
            for name in ("widen.bias", "grouped.bias", "narrow.weight"):
                nn.init.normal_(module.get_parameter(name), std=0.2)
    return both


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(max(classes, 1))[torch.arange(num) % max(classes, 1)][:, :classes]


@pytest.mark.parametrize(
    ("family", "size"), [("fastgan", 32), ("r3gan", 16), ("r3gan", 32), ("stylegan2", 16), ("stylegan2", 32)]
)
def test_small_images_in_both_modes(family: str, size: int) -> None:
    G, D = networks(family, size=size)
    z, c = torch.randn(4, 6), labels(4, 3)
    for training in (True, False):
        G.train(training), D.train(training)
        x = G(z, c)
        assert x.shape == (4, 3, size, size)
        assert torch.isfinite(x).all()
        assert torch.isfinite(D(x, c)).all()
        assert torch.equal(G(z, c), x) == (family == "r3gan" or not training), "the others draw noise in training"


@families
@pytest.mark.parametrize("classes", [0, 3])
def test_images_follow_from_their_z_and_no_buffer_moves_in_eval_mode(family: str, classes: int) -> None:
    G, D = (network.eval() for network in networks(family, classes))
    before = [b.clone() for b in [*G.buffers(), *D.buffers()]]
    z, c = torch.randn(8, 6), labels(8, classes)
    x = G(z, c)
    assert torch.allclose(G(z[1:3], c[1:3]), x[1:3], atol=1e-5)
    if family != "stylegan2":  # whose D compares the samples of a group
        assert torch.allclose(D(x[1:3], c[1:3]), D(x, c)[1:3], atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, [*G.buffers(), *D.buffers()], strict=True))


@families
def test_labels_count_and_may_be_soft(family: str) -> None:
    G, D = (network.eval() for network in networks(family))
    z, c, other = torch.randn(4, 6), labels(4, 3), labels(4, 3).roll(1, 1)
    x = G(z, c)
    assert not torch.allclose(x, G(z, other), atol=1e-5)
    x = torch.randn_like(x)
    assert not torch.allclose(D(x, c), D(x, other), atol=1e-4)
    soft = D(x, (c + other) / 2)
    assert torch.isfinite(soft).all()
    if family != "stylegan2":  # whose embedding is mapped
        assert torch.allclose(soft, (D(x, c) + D(x, other)) / 2, atol=1e-5)


@families
@pytest.mark.parametrize("classes", [0, 3])
def test_gradients_are_finite(family: str, classes: int) -> None:
    G, D = networks(family, classes)
    z, c = torch.randn(4, 6), labels(4, classes)
    D(G(z, c), c).sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        if not name.startswith("decode"):
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name


@families
@pytest.mark.parametrize("classes", [0, 3])
def test_a_gradient_penalty_through_d_equals_finite_differences(family: str, classes: int) -> None:
    _, D = networks(family, classes)
    D.double()
    size, c = FAMILIES[family][0], labels(4, classes).double()
    x = torch.randn(4, 3, size, size, dtype=torch.float64, requires_grad=True)
    if family == "fastgan":
        for _ in range(30):
            D(x, c)  # so that batch norm's statistics are those of x
        D.eval()  # in training each forward would move spectral norm's vectors
    name = "parametrizations.weight.original" if family == "fastgan" else "weight"
    step = 1e-8 if family == "fastgan" else 1e-6

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(D(x, c).sum(), x, create_graph=True)
        return gradient.square().sum()

    for layer in PENALISED[family]:
        weight = D.get_parameter(f"{layer}.{name}")
        (exact,) = torch.autograd.grad(penalty(), weight)
        direction = torch.randn_like(weight)
        values = []
        for move in (step, -2 * step):
            with torch.no_grad():
                weight += move * direction
            values.append(penalty().item())
        numeric = (values[0] - values[1]) / (2 * step)
        assert (exact * direction).sum().item() == pytest.approx(numeric, rel=1e-4, abs=1e-9), layer


@families
def test_bfloat16_and_channels_last_are_close_to_plain_float32(family: str) -> None:
    G, D = (network.eval() for network in networks(family))
    z, c = torch.randn(8, 6), labels(8, 3)
    x = G(z, c)
    logits = D(x, c)
    G, D = (network.to(memory_format=torch.channels_last) for network in (G, D))
    assert torch.allclose(G(z, c), x, atol=1e-5)
    assert torch.allclose(D(x.to(memory_format=torch.channels_last), c), logits, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert (G(z, c) - x).abs().max() < 0.1 * x.abs().max()
        assert (D(x, c) - logits).abs().max() < 0.1 * logits.abs().max() + 0.02
        D.train()(G.train()(z, c), c).sum().backward()
    for parameter in [*G.parameters(), *D.parameters()]:
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@families
def test_saved_networks_come_back_the_same(family: str, tmp_path: Path) -> None:
    G, D = networks(family)
    size, *settings = FAMILIES[family]
    z, c = torch.randn(4, 6), labels(4, 3)
    x = G(z, c).detach()  # moves what is averaged
    D(x, c)
    for name, network, table, given in (("G", G, GENERATORS, z), ("D", D, DISCRIMINATORS, x)):
        config = {"name": family, "resolution": size, "channels": 3, "classes": ["a", "b", "c"]}
        save_network(tmp_path / name, network, {**config, "settings": settings[name == "D"]})
        loaded, _ = load_network(tmp_path / name, table)
        assert torch.equal(loaded(given, c), network.eval()(given, c))


@families
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_family_trains(family: str, precision: str) -> None:
    size, g, d = FAMILIES[family]
    parts = {"G": {"name": family, **g}, "D": {"name": family, **d}}
    t = tiny({"train.batch": 4, "data.resolution": size, **parts}, ("a", "b"))
    t.engine = Engine(torch.device("cpu"), precision)
    before = [p.clone() for p in t.networks["G"].parameters()]
    for _ in range(5):
        iterate(t)
    assert t.num_skipped == 0
    assert all(math.isfinite(value) for value in t.means.flush().values())
    assert all(not torch.equal(p, old) for p, old in zip(t.networks["G"].parameters(), before, strict=True))
