import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.stylegan2 import (
    RESOLUTIONS,
    Discriminator,
    EqualLinear,
    Generator,
    StyledConv,
)

G_SMALL: dict[str, Any] = {"z_dim": 6, "w_dim": 7, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
D_SMALL: dict[str, Any] = {"mapping_layers": 2, "channel_base": 64, "channel_max": 8}


def networks(classes: int = 0, size: int = 16, **more: Any) -> tuple[Generator, Discriminator]:
    """Small ones, with noise strengths that are not 0."""
    torch.manual_seed(1)
    G = Generator(size, 3, classes, **{**G_SMALL, **more})
    for conv in styled(G):
        nn.init.constant_(conv.noise_strength, 0.3)
    return G, Discriminator(size, 3, classes, **D_SMALL)


def styled(G: Generator) -> list[StyledConv]:
    return [m for m in G.modules() if isinstance(m, StyledConv)]


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


# ---- the papers' networks


@pytest.mark.parametrize(("size", "of_g", "of_d"), [(256, 24_767_458, 24_001_089), (1024, 30_370_060, 29_012_513)])
def test_the_papers_networks_have_their_parameters(size: int, of_g: int, of_d: int) -> None:
    with torch.device("meta"):
        G, D = (table.find("stylegan2")(size, 3, 0) for table in (GENERATORS, DISCRIMINATORS))
    base = 16384 if size == 256 else 32768
    widths = [min(base // 2**i, 512) for i in range(2, size.bit_length())]  # at 4, 8, ... pixels
    pairs = [(widths[0], widths[0])]  # in and out of each styled convolution
    for before, after in pairwise(widths):
        pairs += [(before, after), (after, after)]
    g = 8 * 513 * 512 + 16 * 512
    g += sum(513 * i + 9 * i * o + o + 1 for i, o in pairs)  # style, weight, bias, strength of the noise
    g += sum(513 * o + 3 * o + 3 for o in widths)  # to RGB
    d = 4 * widths[-1] + sum(9 * o * o + o + 9 * o * i + i + o * i for i, o in pairwise(widths))
    d += 9 * 513 * 512 + 512 + (16 * 512 + 1) * 512 + 513
    assert count(G) == g == of_g
    assert count(D) == d == of_d


def test_the_layers_at_1024_pixels_are_the_papers() -> None:
    """18 layers take a w (1, section 2); features as in (2), configuration F."""
    with torch.device("meta"):
        G = Generator(1024, 3, 0)
    assert G.num_layers == 18
    assert [conv.weight.shape[0] for conv in styled(G)][::2] == [512, 512, 512, 512, 512, 256, 128, 64, 32]
    assert [len(conv.noise_const) for conv in styled(G)] == [4] + [s for s in (8, *RESOLUTIONS) for _ in range(2)]
    assert (G.z_dim, len(G.layers)) == (512, 8)


@pytest.mark.parametrize("size", RESOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 10])
def test_shapes(size: int, channels: int, classes: int) -> None:
    with torch.device("meta"):
        G, D = (table.find("stylegan2")(size, channels, classes) for table in (GENERATORS, DISCRIMINATORS))
        for mode in (True, False):
            G.train(mode)
            x = G(torch.zeros(6, G.z_dim), torch.zeros(6, classes))
            assert x.shape == (6, channels, size, size)
        assert D(x, torch.zeros(6, classes)).shape == (6,)
        assert G.mapping(torch.zeros(2, 512), torch.zeros(2, classes)).shape == (2, 2 * int(math.log2(size)) - 2, 512)


@pytest.mark.parametrize("size", [8, 24, 28, 2048])
def test_sizes_that_cannot_be_made_are_one_line(size: int) -> None:
    for table in (GENERATORS, DISCRIMINATORS):
        with pytest.raises(UserError, match=f"16, 32, 64, 128, 256, 512 or 1024 pixels, not {size}"):
            table.find("stylegan2")(size, 3, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"z_dim": 0}, {"w_dim": 0}, {"mapping_layers": 0}, {"channel_base": 15}, {"channel_max": 0}, {"style_mixing": 2}],
)
def test_settings_that_cannot_be_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))) as caught:
        Generator(16, 3, 0, **wrong)
    assert "\n" not in str(caught.value)


# ---- G


def test_an_image_is_the_sum_of_what_each_resolution_adds() -> None:
    G, _ = networks(size=32)
    G.eval()
    w = torch.randn(2, G.num_layers, 7)
    whole, parts = G.synthesis(w), torch.zeros(2, 3, 32, 32)
    rgbs = {name: value.clone() for name, value in G.to_rgbs.state_dict().items() if "weight" in name}
    for alone in range(len(G.to_rgbs)):
        kept = {n: v * (n.startswith(f"{alone}.") or "style" in n) for n, v in rgbs.items()}
        G.to_rgbs.load_state_dict(kept, strict=False)
        parts += G.synthesis(w)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_which_w_reaches_which_layer() -> None:
    """A convolution has its own, and RGB that of the convolution after it; the last RGB has the last."""
    G, _ = networks()
    seen: dict[str, Tensor] = {}
    for name, module in G.named_modules():
        if name.endswith(".style"):
            module.register_forward_hook(lambda _, args, __, name=name: seen.__setitem__(name, args[0]))
    w = torch.randn(2, 6, 7)
    G.synthesis(w)
    order = {f"convs.{i}.style": i for i in range(5)} | {f"to_rgbs.{i}.style": 2 * i + 1 for i in range(3)}
    assert seen.keys() == order.keys()
    for name, layer in order.items():
        assert torch.equal(seen[name], w[:, layer]), name


def test_the_mapping_by_hand() -> None:
    G, _ = networks(3)
    G.eval()
    z, c = 50 * torch.randn(4, 6), torch.tensor([[1.0, 0, 0], [0, 0, 1], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    assert G.embed is not None
    e = c @ (G.embed.weight / math.sqrt(3)).t()
    x = torch.cat([v / v.square().mean(1, keepdim=True).sqrt() for v in (z, e)], 1)
    for layer in (m for m in G.layers if isinstance(m, EqualLinear)):
        x = leaky_relu(x @ (0.01 * layer.weight / math.sqrt(x.shape[1])).t(), 0.2) * math.sqrt(2)
    w = G.mapping(z, c)
    assert w.shape == (4, 6, 7)
    for layer in range(6):
        assert torch.allclose(w[:, layer], x, atol=1e-5)


def test_styles_are_mixed_in_training_alone() -> None:
    G, _ = networks()
    z, c = torch.randn(4000, 6), torch.zeros(4000, 0)
    G.eval()
    plain = G.mapping(z, c)
    assert (plain == plain[:, :1]).all()
    G.train()
    is_other = (G.mapping(z, c) != plain).any(2)
    assert not is_other[:, 0].any()
    assert (is_other[:, 1:] >= is_other[:, :-1]).all()  # from some layer on, to the end
    mixed = is_other[:, -1]
    assert mixed.float().mean().item() == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 4000))
    first = (~is_other[mixed]).sum(1)
    for layer in range(1, 6):
        assert (first == layer).float().mean().item() == pytest.approx(0.2, abs=0.04)


def test_another_style_is_that_of_another_z_with_the_same_label() -> None:
    G, _ = networks(3, style_mixing=1.0)
    z, c = torch.randn(6, 6), labels(6, 3)
    torch.manual_seed(5)
    w = G.mapping(z, c)
    torch.manual_seed(5)
    other = G.to_w(torch.randn(6, 6), c)
    assert torch.equal(w[:, 0], G.to_w(z, c))
    assert torch.equal(w[:, -1], other)
    G.style_mixing = 0.0
    assert torch.equal(G.mapping(z, c)[:, -1], G.to_w(z, c))


def test_the_average_of_w() -> None:
    G, _ = networks()
    z, c = torch.randn(8, 6), torch.zeros(8, 0)
    for some in (z, -z):
        G(some, c)
        assert G.w_avg.sum() == 0 or some is not z  # until the iteration is over
        (noted,) = G.take()
        noted.move()
    expected = 0.998 * 0.002 * G.to_w(z, c).mean(0) + 0.002 * G.to_w(-z, c).mean(0)
    assert torch.allclose(G.w_avg, expected, atol=1e-7)
    assert not G.w_avg.requires_grad


def test_truncation_draws_w_to_its_average_in_the_first_layers() -> None:
    G, _ = networks()
    G.w_avg.normal_()
    G.eval()
    z, c = torch.randn(4, 6), torch.zeros(4, 0)
    w = G.mapping(z, c).clone()
    w[:, :2] = (w[:, :2] + G.w_avg) / 2
    assert torch.allclose(G.near_average(G.mapping(z, c), 0.5, cutoff=2), w, atol=1e-6)


def test_truncation_goes_from_the_average_to_w() -> None:
    G, _ = networks()
    G.w_avg.normal_()
    G.eval()
    w = G.mapping(torch.randn(4, 6), torch.zeros(4, 0))
    assert torch.equal(G.near_average(w, 1.0), w)
    assert torch.allclose(G.near_average(w, 0.0), G.w_avg.expand(4, 6, 7))
    assert torch.allclose(G.near_average(w, 0.3) - G.w_avg, 0.3 * (w - G.w_avg), atol=1e-6)


def test_noise_is_drawn_in_training_and_fixed_after_it() -> None:
    G, _ = networks(style_mixing=0.0)
    z, c = torch.randn(5, 6), torch.zeros(5, 0)
    same = z[:1].expand(2, 6)
    x = G(same, c[:2])
    assert not torch.allclose(x[0], x[1], atol=1e-3)
    torch.manual_seed(3)
    first = G(z, c)
    torch.manual_seed(3)
    assert torch.equal(G(z, c), first)
    assert not torch.equal(G(z, c), first)
    G.eval()
    assert torch.allclose(G(z, c)[1:3], G(z[1:3], c[1:3]), atol=1e-6)
    assert torch.equal(G(z, c), G(z, c))


def test_noise_does_nothing_at_first() -> None:
    assert all(conv.noise_strength == 0 for conv in styled(Generator(16, 3, 0, **G_SMALL)))


def test_buffers_stay_in_eval_mode_and_only_the_average_moves_in_training() -> None:
    G, D = networks(3)
    z, c = torch.randn(4, 6), labels(4, 3)
    for mode, moved in ((False, set()), (True, {"w_avg"})):
        G.train(mode), D.train(mode)
        before = {**buffers(G), **buffers(D)}
        D(G(z, c), c)
        for noted in G.take():
            noted.move()
        assert {n for n, v in {**buffers(G), **buffers(D)}.items() if not torch.equal(v, before[n])} == moved


# ---- D


def test_the_logit_of_a_class_is_a_product_with_its_mapped_embedding() -> None:
    _, D = networks(3)
    x = torch.randn(4, 3, 16, 16)
    c = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    kept: list[Tensor] = []
    D.to_logit.register_forward_hook(lambda _, __, out: kept.append(out))
    logits = D(x, c)
    assert D.embed is not None
    for n in range(4):
        e = D.embed.weight @ c[n] / math.sqrt(3)
        e = e / e.square().mean().sqrt()
        for layer in (m for m in D.layers if isinstance(m, EqualLinear)):
            e = leaky_relu(0.01 * layer.weight @ e / math.sqrt(8), 0.2) * math.sqrt(2)
        assert logits[n].item() == pytest.approx((kept[0][n] @ e).item() / math.sqrt(8), abs=1e-4)


def test_groups_are_rated_alone() -> None:
    """So that micro-batches and ranks of 4 images see what one batch of 8 does."""
    _, D = networks(3)
    x, c = torch.randn(8, 3, 16, 16), labels(8, 3)
    assert torch.allclose(torch.cat([D(x[:4], c[:4]), D(x[4:], c[4:])]), D(x, c), atol=1e-5)


# ---- both


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_gradients_reach_everything(classes: int, precision: str) -> None:
    G, D = networks(classes, style_mixing=1.0)
    z, c = 100 * torch.randn(4, 6), labels(4, classes)
    if precision == "float64":
        G.double(), D.double()
        z, c = z.double(), c.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        x = G(z, c)
        D(x, c).float().sum().backward()
    assert x.dtype == getattr(torch, precision)
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_images_stay_in_range_after_training() -> None:
    G, _ = networks()
    with torch.no_grad():
        for rgb in G.to_rgbs:
            rgb.get_parameter("weight").mul_(50)
    z, c = torch.randn(4, 6), torch.zeros(4, 0)
    assert G(z, c).abs().max() > 1  # in training a bound would stop the gradients
    x = G.eval()(z, c)
    assert -1 == x.min() < x.max() == 1


def agrees(value: Any, parameter: nn.Parameter) -> None:
    """The gradient of `value()` by `parameter` against finite differences, in float64."""
    (gradient,) = torch.autograd.grad(value(), parameter)
    direction = torch.randn_like(parameter)
    step, numeric = 1e-6, 0.0
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(direction, alpha=sign * step)
        numeric += sign * value().item() / (2 * step)
        with torch.no_grad():
            parameter.sub_(direction, alpha=sign * step)
    assert (gradient * direction).sum().item() == pytest.approx(numeric, rel=1e-4, abs=1e-9)


def test_g_differentiates_twice() -> None:
    """The lengths of 2, equation 4, by w and the weights behind it, against finite differences."""
    G, _ = networks()
    G.double()
    z, c, y = torch.randn(3, 6).double(), torch.zeros(3, 0).double(), torch.randn(3, 3, 16, 16).double()

    def lengths() -> Tensor:
        torch.manual_seed(2)
        w = G.mapping(z, c)
        (gradient,) = torch.autograd.grad((G.synthesis(w) * y).sum(), w, create_graph=True)
        return gradient.square().sum(2).mean(1).sqrt().sum()

    for name in ("layers.0.weight", "const", "convs.1.weight", "convs.3.style.weight", "to_rgbs.1.weight"):
        agrees(lengths, G.get_parameter(name))
