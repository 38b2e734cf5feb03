import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.fastgan import Discriminator, Excitation, Generator, Halving, Noise, up_block

SIZES = (32, 64, 128, 256, 512, 1024)
CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


def small(classes: int = 0, size: int = 32) -> tuple[Generator, Discriminator]:
    torch.manual_seed(1)
    return Generator(size, 3, classes, z_dim=6, width=4), Discriminator(size, 3, classes, width=4)


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 10])
def test_shapes(size: int, channels: int, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gannet.networks.fastgan.spectrally_normalise", lambda part: None)  # slow on the meta device
    with torch.device("meta"):
        G = GENERATORS.find("fastgan")(size, channels, classes)
        D = DISCRIMINATORS.find("fastgan")(size, channels, classes)
        c = torch.zeros(2, classes)
        x = G(torch.zeros(2, G.z_dim), c)
        assert G.z_dim == 256
        assert x.shape == (2, channels, size, size)
        assert D(x, c).shape == (2, 25)
        at_16, at_8 = D.maps(x)
        assert (at_16.shape, at_8.shape) == ((2, 512, 16, 16), (2, 1024, 8, 8))
        decoded = (2, channels, min(size, 128), min(size, 128))
        assert D.decode(at_8).shape == D.decode_part(at_16[:, :, 4:12, 8:]).shape == decoded


G_TABLE = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 3, 1024: 3}
D_TABLE = {512: 3, 256: 32, 128: 64, 64: 128, 32: 256, 16: 512, 8: 1024}
EXCITED = {64: 4, 128: 8, 256: 16, 512: 32}


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_the_features_at_each_resolution(size: int) -> None:
    """Those of each activation, by its output while an image is made and rated."""
    seen: dict[str, dict[int, int]] = {"G": {}, "D": {}}
    with torch.device("meta"):
        G, D = Generator(size, 3, 0), Discriminator(size, 3, 0)
        for name, parts in (("G", [G.start, *G.ups.values()]), ("D", [*D.to_16, D.to_8])):
            for part in parts:
                for module in (part, *part.modules()):
                    if isinstance(module, nn.GLU | nn.LeakyReLU):
                        module.register_forward_hook(
                            lambda m, i, out, name=name: seen[name].update({out.shape[2]: out.shape[1]})
                        )
        D(G(torch.zeros(2, 256), torch.zeros(2, 0)), torch.zeros(2, 0))
    assert seen["G"] == {at: features for at, features in G_TABLE.items() if at <= size}
    assert seen["D"] == {at: features for at, features in D_TABLE.items() if at <= min(size, max(size // 2, 256))}


@pytest.mark.parametrize("size", SIZES)
def test_the_excitations(size: int) -> None:
    with torch.device("meta"):
        G = Generator(size, 3, 0)
    expected = {high: low for high, low in EXCITED.items() if high <= size} if size > 32 else {32: 4}
    assert G.sources == expected
    for high, low in expected.items():
        inputs, outputs = [m for m in G.excitations[str(high)].modules() if isinstance(m, nn.Conv2d)]
        assert inputs.weight.shape == (G_TABLE[high], G_TABLE[low], 4, 4)
        assert outputs.weight.shape == (G_TABLE[high], G_TABLE[high], 1, 1)


def test_parameters_at_256_layer_by_layer() -> None:
    f = G_TABLE
    g = 16 * 256 * 2 * f[4] + 4 * f[4]  # the start, and a scale and a shift for each of its features
    for low in (4, 8, 16, 32, 64, 128):
        g += 9 * f[low] * 2 * f[2 * low] + 4 * f[2 * low] + 1  # one for the noise
    for high in (64, 128, 256):
        g += 16 * f[EXCITED[high]] * f[high] + f[high] ** 2
    g += 9 * f[256] * 3 + 3
    f = D_TABLE
    d = 9 * 3 * f[256]
    for high in (256, 128, 64, 32, 16):
        before, after = f[high], f[high // 2]
        d += 16 * before * after + 9 * after**2 + before * after + 3 * 2 * after
    d += f[8] ** 2 + 2 * f[8] + 16 * f[8]
    for before in (f[8], f[16]):  # the decoders: four convolutions each
        d += 9 * before * 128 + 2 * 9 * 64 * 128 + 3 * 2 * 128 + 9 * 64 * 3 + 3
    with torch.device("meta"):
        assert count(Generator(256, 3, 0)) == g
        assert count(Discriminator(256, 3, 0)) == d


def test_an_excitation_sample_by_sample() -> None:
    torch.manual_seed(0)
    gate = Excitation(5, 3, 8)
    first, second = (m.weight for m in gate.modules() if isinstance(m, nn.Conv2d))
    x = torch.randn(2, 5, 8, 8)
    for i in range(2):
        pooled = torch.tensor(
            [[[m[2 * a : 2 * a + 2, 2 * b : 2 * b + 2].mean() for b in range(4)] for a in range(4)] for m in x[i]]
        )
        hidden = (first * pooled).sum((1, 2, 3))
        hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
        assert torch.allclose(gate(x)[i, :, 0, 0], torch.sigmoid(second[:, :, 0, 0] @ hidden), atol=1e-6)


def test_excitation_weighs_the_high_channels() -> None:
    """A gate that shuts one channel at 32x32: the image no longer depends on it."""
    G, _ = small()
    G.eval()
    given: list[Tensor] = []
    G.to_colours.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    G(torch.randn(2, 6), torch.zeros(2, 0))
    G.excitations["32"].register_forward_hook(lambda m, i, out: out * torch.tensor([0.0] + [2.0] * 7)[:, None, None])
    torch.manual_seed(1)
    G(torch.randn(2, 6), torch.zeros(2, 0))
    assert not given[1][:, 0].any()
    assert given[1][:, 1:].any()


def test_a_doubling_by_hand() -> None:
    """Each pixel four times, a convolution, batch norm, and one half of the features times the other's sigmoid."""
    torch.manual_seed(0)
    block = up_block(2, 3).eval()
    conv = next(m for m in block if isinstance(m, nn.Conv2d))
    x = torch.randn(1, 2, 4, 4)
    y = nn.functional.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), conv.weight, padding=1)
    y = y / math.sqrt(1 + 1e-5)
    assert torch.allclose(block(x), y[:, :3] * torch.sigmoid(y[:, 3:]), atol=1e-6)


def test_a_halving_is_the_mean_of_its_two_ways() -> None:
    torch.manual_seed(0)
    block = Halving(2, 3).eval()
    x = torch.randn(2, 2, 8, 8)
    pooled = x.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    conv = next(m for m in block.pooled if isinstance(m, nn.Conv2d))
    direct = torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], pooled) / math.sqrt(1 + 1e-5)
    direct = torch.where(direct > 0, direct, 0.2 * direct)
    assert torch.allclose(block(x), (block.convolved(x) + direct) / 2, atol=1e-6)


def test_logits_are_a_map_of_25_and_the_projection() -> None:
    _, D = small(classes=3)
    D.eval()
    assert D.projection is not None
    x, c = torch.randn(4, 3, 32, 32), labels(4, 3)
    _, at_8 = D.maps(x)
    patches = D.to_logits(at_8)
    logits, maps = D.logits_and_maps(x, c)
    assert torch.equal(logits, D(x, c))
    assert torch.equal(maps[1], at_8)
    assert patches.shape == (4, 1, 5, 5)
    for i in range(4):
        expected = patches[i].flatten() + D.projection.weight[i % 3] @ at_8[i].mean((1, 2))
        assert torch.allclose(logits[i], expected, atol=1e-5)


def test_noise_is_scaled_drawn_anew_in_training_and_fixed_in_eval_mode() -> None:
    noise = Noise(8)
    x = torch.randn(3, 5, 8, 8)
    assert torch.equal(noise(x), x)
    nn.init.constant_(noise.scale, 2.0)
    added = noise(x) - x
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-6)
    assert not torch.allclose(added[0], added[1])
    assert not torch.allclose(added, noise(x) - x)
    noise.eval()
    assert torch.allclose(noise(x) - x, 2 * noise.fixed.expand_as(x), atol=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_images_are_in_range_and_gradients_finite(classes: int) -> None:
    G, D = small(classes)
    c = labels(6, classes)
    x = G(100 * torch.randn(6, 6), c)
    assert -1 <= x.min() < 0 < x.max() <= 1
    at_16, at_8 = D.maps(x)
    (D(x, c).sum() + D.decode(at_8).square().sum() + D.decode_part(at_16[:, :, :8, :8]).square().sum()).backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_spectral_norm_holds_the_encoder_at_one_and_leaves_the_decoders() -> None:
    _, D = small()
    for _ in range(40):
        D(torch.randn(4, 3, 32, 32), torch.zeros(4, 0))

    def norms(*parts: nn.Module) -> list[float]:
        convs = [m for part in parts for m in part.modules() if isinstance(m, CONVOLUTIONS)]
        return [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in convs]

    assert len(norms(D.to_16, D.to_8, D.to_logits)) == 1 + 3 + 3 + 2
    assert all(norm == pytest.approx(1, abs=0.02) for norm in norms(D.to_16, D.to_8, D.to_logits))
    assert all(abs(norm - 1) > 0.1 for norm in norms(D.decode, D.decode_part))


def test_reconstruction_teaches_the_encoder() -> None:
    """A few steps of decoding alone bring the decoded images nearer to the real ones, for both decoders."""
    _, D = small()
    x = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4) * 2 - 1, scale_factor=8)
    optimizer = torch.optim.Adam(D.parameters(), 0.01)
    errors = []
    for _ in range(30):
        at_16, at_8 = D.maps(x)
        whole = (D.decode(at_8) - x).abs().mean()
        corner = (
            (D.decode_part(at_16[:, :, 8:, :8]) - nn.functional.interpolate(x[:, :, 16:, :16], scale_factor=2))
            .abs()
            .mean()
        )
        optimizer.zero_grad()
        (whole + corner).backward()
        optimizer.step()
        errors.append((whole.item(), corner.item()))
    assert all(late < 0.7 * early for early, late in zip(errors[0], errors[-1], strict=True))


@pytest.mark.parametrize("build", [Generator, Discriminator])
@pytest.mark.parametrize("size", [16, 48, 2048])
def test_sizes_that_fastgan_cannot_make_are_one_line(build: Any, size: int) -> None:
    with pytest.raises(UserError, match=f"1024 pixels, not {size}"):
        build(size, 3, 0)


def test_no_features_are_one_line() -> None:
    for table, letter in ((GENERATORS, "G"), (DISCRIMINATORS, "D")):
        with pytest.raises(UserError, match=rf"{letter}\.width is 0"):
            table.find("fastgan")(32, 3, 0, width=0)
