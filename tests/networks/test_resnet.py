"""The contract of the residual families (resnet, biggan, biggan-deep), and resnet against its papers."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from exact import tiny
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.attention import SelfAttention
from gannet.networks.folder import load_network, save_network
from gannet.networks.layers import ClassBatchNorm, SameBatchNorm
from gannet.networks.resnet import DownBlock, UpBlock
from gannet.training.loop import iterate

SAGAN = {"width": 4, "attention": (16,), "init": "orthogonal"}
WGAN_GP = {"width": 4, "max_width": 4}
# name: (row of the tables, settings of G, settings of D)
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "sngan": ("resnet", {"width": 4}, {"width": 4}),
    "wgan-gp": ("resnet", WGAN_GP | {"norm": "batch"}, WGAN_GP | {"norm": "none", "pool": "mean"}),
    "layer": ("resnet", {"width": 4}, {"width": 4, "norm": "layer"}),
    "sagan": ("resnet", SAGAN | {"spectral": True}, SAGAN),
    "biggan": ("biggan", {"width": 1, "embedding_dim": 3, "attention": (16,)}, {"width": 1, "attention": (16,)}),
    "biggan-deep": (
        "biggan-deep",
        {"width": 1, "embedding_dim": 3, "attention": (16,)},
        {"width": 1, "attention": (16,)},
    ),
}
SIZES = {
    "resnet": (16, 32, 48, 64, 128, 256),
    "biggan": (32, 64, 128, 256, 512),
    "biggan-deep": (32, 64, 128, 256, 512),
}
variants = pytest.mark.parametrize("variant", list(VARIANTS))


def networks(variant: str, classes: int = 0, size: int = 32, channels: int = 3) -> tuple[Any, Any]:
    torch.manual_seed(1)
    row, g, d = VARIANTS[variant]
    facts = size, channels, classes
    return GENERATORS.find(row)(*facts, z_dim=6, **g), DISCRIMINATORS.find(row)(*facts, **d)


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


def awake(network: nn.Module) -> Any:
    """With scales, shifts and attention at random, which are neutral at first."""
    for module in network.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.7)
        if isinstance(module, ClassBatchNorm):
            for embedding in (module.to_scale, module.to_shift):
                nn.init.normal_(next(embedding.parameters()), 0, 0.5)
    return network


@pytest.mark.parametrize(("row", "size"), [(row, size) for row in SIZES for size in SIZES[row]])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 10])
def test_shapes(row: str, size: int, channels: int, classes: int) -> None:
    """With numbers, at width 1: on the meta device spectral norm takes seconds."""
    G = GENERATORS.find(row)(size, channels, classes, width=1)
    D = DISCRIMINATORS.find(row)(size, channels, classes, width=1)
    c = labels(2, classes)
    x = G(torch.randn(2, G.z_dim), c)
    assert x.shape == (2, channels, size, size)
    assert D(x, c).shape == (2,)


@pytest.mark.parametrize("row", list(SIZES))
@pytest.mark.parametrize("size", [8, 24, 1024])
def test_other_sizes_are_one_line(row: str, size: int) -> None:
    for table in (GENERATORS, DISCRIMINATORS):
        with pytest.raises(UserError, match=rf"pixels, not {size}: set --data.resolution$"):
            table.find(row)(size, 3, 0)


@pytest.mark.parametrize(
    ("player", "row", "settings", "says"),
    [
        ("G", "resnet", {"width": -1}, "G.width is -1"),
        ("G", "resnet", {"z_dim": 0}, "G.z_dim is 0"),
        ("D", "resnet", {"max_width": 0}, "D.max_width is 0"),
        ("G", "resnet", {"attention": (4,)}, "G.attention has 4, and must be of the maps' sizes: 8, 16, 32"),
        ("D", "resnet", {"attention": (16, 33)}, "D.attention has 33, and must be of the maps' sizes: 4, 8, 16, 32"),
        ("G", "biggan", {"z_dim": 4}, "G.z_dim is 4, and must be at least 5"),
        ("G", "biggan", {"embedding_dim": 0}, "G.embedding_dim is 0"),
        ("G", "biggan-deep", {"width": 0}, "G.width is 0"),
        ("D", "biggan", {"width": 0}, "D.width is 0"),
        ("D", "biggan-deep", {"attention": (7,)}, "D.attention has 7"),
    ],
)
def test_settings_that_cannot_be_are_one_line(player: str, row: str, settings: dict[str, Any], says: str) -> None:
    table = GENERATORS if player == "G" else DISCRIMINATORS
    with pytest.raises(UserError) as caught:
        table.find(row)(64, 3, 0, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@variants
@pytest.mark.parametrize("classes", [0, 1, 3])
def test_images_are_in_range_and_gradients_finite(variant: str, classes: int) -> None:
    G, D = networks(variant, classes)
    c = labels(6, classes)
    x = G(100 * torch.randn(6, 6), c)
    assert -1 <= x.min() < 0 < x.max() <= 1
    D(x, c).sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(float(p.grad.abs().sum()) for p in G.parameters() if p.grad is not None) > 0


@variants
def test_labels_change_what_comes_out_and_eval_mode_changes_no_buffer(variant: str) -> None:
    G, D = (awake(network).eval() for network in networks(variant, 3))
    before = [b.clone() for b in [*G.buffers(), *D.buffers()]]
    z, c, other = torch.randn(4, 6), labels(4, 3), labels(4, 3).roll(1, 1)
    x = G(z, c)
    assert not torch.allclose(x, G(z, other), atol=1e-6)
    assert torch.allclose(D(x, c), D(x, other), atol=1e-7) == (D.state_dict().keys() == D_without_classes(variant))
    exact, z64, c64 = (
        copy.deepcopy(G).double(),
        z.double(),
        c.double(),
    )  # float32 rounds batches apart
    assert torch.allclose(exact(z64, c64)[1:3], exact(z64[1:3], c64[1:3]), atol=1e-6)  # each sample alone
    assert torch.allclose(D(x, c)[3:], D(x[3:], c[3:]), atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, [*G.buffers(), *D.buffers()], strict=True))


def D_without_classes(variant: str) -> Any:
    return networks(variant, 0)[1].state_dict().keys()


@variants
def test_soft_labels_are_taken(variant: str) -> None:
    G, D = (awake(network).eval() for network in networks(variant, 3))
    c = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    assert torch.isfinite(D(G(torch.randn(2, 6), c), c)).all()


@variants
def test_channels_last_and_float64_give_the_same(variant: str) -> None:
    G, D = (awake(network).eval() for network in networks(variant, 3))
    z, c = torch.randn(3, 6), labels(3, 3)
    x = G(z, c)
    logits = D(x, c)
    for network in (G, D):
        network.to(memory_format=torch.channels_last)
    assert torch.allclose(G(z, c), x, atol=1e-5)
    assert torch.allclose(D(x.to(memory_format=torch.channels_last), c), logits, atol=1e-4)
    G.double(), D.double()
    exact = G(z.double(), c.double())
    assert exact.dtype == torch.float64
    assert torch.allclose(exact.float(), x, atol=1e-4)


@variants
def test_bfloat16_is_near_float32(variant: str) -> None:
    G, D = networks(variant, 3)
    z, c = torch.randn(8, 6), labels(8, 3)
    plain = G(z, c)
    with torch.autocast("cpu", torch.bfloat16):
        x = G(z, c)
        logits = D(x, c)
        (logits.float().sum()).backward()
    assert (x.float() - plain).abs().mean() < 0.05
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in [*G.parameters(), *D.parameters()])


@variants
def test_a_gradient_penalty_through_d_equals_finite_differences(variant: str) -> None:
    _, D = networks(variant, 3)
    awake(D).double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    c = labels(2, 3).double()
    weight = next(p for p in D.parameters() if p.dim() == 4)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(D(x, c).sum(), x, create_graph=True)
        return gradient.square().sum()

    (exact,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn_like(weight)
    step = 1e-9  # small, for a ReLU that changes sides in between is a jump
    with torch.no_grad():
        weight += step * direction
    above = penalty().item()
    with torch.no_grad():
        weight -= 2 * step * direction
    assert (exact * direction).sum().item() == pytest.approx((above - penalty().item()) / (2 * step), rel=1e-4)


@variants
def test_a_saved_network_comes_back_the_same(variant: str, tmp_path: Path) -> None:
    row, g, d = VARIANTS[variant]
    G, D = (awake(network) for network in networks(variant, 3))
    z, c = torch.randn(4, 6), labels(4, 3)
    x = G(z, c)  # moves the running statistics, and the singular vectors
    D(x, c)
    for folder, network, table, settings in (("G", G, GENERATORS, g | {"z_dim": 6}), ("D", D, DISCRIMINATORS, d)):
        config = {"name": row, "resolution": 32, "channels": 3, "classes": ["a", "b", "c"], "settings": settings}
        save_network(tmp_path / folder, network, config)
        inputs = (z, c) if folder == "G" else (x, c)
        assert torch.equal(load_network(tmp_path / folder, table)[0](*inputs), network.eval()(*inputs))


@variants
def test_training_stays_finite(variant: str) -> None:
    row, g, d = VARIANTS[variant]
    settings = {"data.resolution": 32, "train.batch": 4, "data.labels": True}
    t = tiny(settings | {"G": {"name": row, "z_dim": 6, **g}, "D": {"name": row, **d}}, ("a", "b"))
    for _ in range(12):
        iterate(t)
    assert t.num_skipped == 0
    assert all(torch.isfinite(p).all() for network in t.networks.values() for p in network.parameters())


# ---- resnet against its papers


def conv(before: int, after: int, kernel: int) -> int:
    return before * after * kernel**2 + after


def up(before: int, after: int) -> int:
    """A block of G: two batch norms, 3x3 twice, 1x1 beside them."""
    return 2 * before + conv(before, after, 3) + 2 * after + conv(after, after, 3) + conv(before, after, 1)


def down(before: int, after: int, hidden: int, skip: bool = True) -> int:
    return conv(before, hidden, 3) + conv(hidden, after, 3) + skip * conv(before, after, 1)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sngans_tables() -> None:
    """Miyato et al. 2018: table 4 for CIFAR-10, 5 for STL-10, 6 for ImageNet, row by row."""
    tables = {
        32: (
            129 * 16 * 256 + 3 * up(256, 256) + 2 * 256 + conv(256, 3, 3),
            down(3, 128, 128) + down(128, 128, 128) + 2 * down(128, 128, 128, skip=False) + 129,
        ),
        48: (
            129 * 36 * 512 + up(512, 256) + up(256, 128) + up(128, 64) + 2 * 64 + conv(64, 3, 3),
            down(3, 64, 64) + down(64, 128, 64) + down(128, 256, 128) + down(256, 512, 256) + down(512, 1024, 512)
            + 1025,
        ),
        128: (
            129 * 16 * 1024 + up(1024, 1024) + up(1024, 512) + up(512, 256) + up(256, 128) + up(128, 64)
            + 2 * 64 + conv(64, 3, 3),
            down(3, 64, 64) + down(64, 128, 64) + down(128, 256, 128) + down(256, 512, 256) + down(512, 1024, 512)
            + down(1024, 1024, 1024, skip=False) + 1025,
        ),
    }  # fmt: skip
    with torch.device("meta"):
        for size, (in_g, in_d) in tables.items():
            G, D = GENERATORS.find("resnet")(size, 3, 0), DISCRIMINATORS.find("resnet")(size, 3, 0)
            assert (count(G), count(D)) == (in_g, in_d), size


def test_wgan_gps_table() -> None:
    """Gulrajani et al. 2017, CIFAR-10: 128 features everywhere, the last maps of D 8x8, no norm there."""
    wide = {"width": 128, "max_width": 128}
    with torch.device("meta"):
        G = GENERATORS.find("resnet")(32, 3, 0, **wide)
        D = DISCRIMINATORS.find("resnet")(32, 3, 0, norm="none", pool="mean", **wide)
        assert count(G) == 129 * 16 * 128 + 3 * up(128, 128) + 2 * 128 + conv(128, 3, 3)
        assert count(D) == down(3, 128, 128) + down(128, 128, 128) + 2 * down(128, 128, 128, skip=False) + 129
        assert D.blocks(torch.zeros(1, 3, 32, 32)).shape == (1, 128, 8, 8)
        assert not any("Norm" in type(m).__name__ for m in D.modules())


def test_sagan_attends_at_32_pixels_in_both() -> None:
    """256 features there in G, and 128 in D: C/8 for queries and keys, C/2 for values, and gamma."""
    with torch.device("meta"):
        for table, features in ((GENERATORS, 256), (DISCRIMINATORS, 128)):
            plain = table.find("resnet")(128, 3, 0)
            found = table.find("resnet")(128, 3, 0, attention=(32,))
            assert count(found) - count(plain) == 2 * features * features // 8 + 2 * features * features // 2 + 1
            (attention,) = [m for m in found.modules() if isinstance(m, SelfAttention)]
            sides: list[int] = []
            attention.register_forward_pre_hook(lambda _, args: sides.append(args[0].shape[2]))
            found(torch.zeros(2, *((128,) if table is GENERATORS else (3, 128, 128))), torch.zeros(2, 0))
            assert sides == [32]


def test_spectral_norm_holds_every_layer_at_one() -> None:
    G, D = networks("sagan", 3)
    for _ in range(60):
        D(G(torch.randn(4, 6), labels(4, 3)), labels(4, 3))
    for network, num in ((G, 1 + 3 * 3 + 4 + 1), (D, 4 * 3 + 4 + 1 + 1)):
        weights = [m.weight.flatten(1) for m in network.modules() if hasattr(m, "parametrizations")]
        assert len(weights) == num
        for weight in weights:
            assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.03)


def test_blocks_in_the_papers_order() -> None:
    """Nearest neighbours before both paths of G, mean of 2x2 after both of D (Miyato et al. 2018)."""
    torch.manual_seed(0)
    x, c = torch.randn(3, 4, 6, 6), torch.zeros(3, 0)
    block: Any = UpBlock(4, 5, SameBatchNorm)
    h = block.conv1(interpolate(relu(block.norm1.norm(x)), scale_factor=2))
    h = block.conv2(relu(block.norm2.norm(h)))
    assert torch.allclose(block(x, c), h + block.skip(interpolate(x, scale_factor=2)), atol=1e-5)
    for first in (False, True):
        block = DownBlock(4, 6, 5, lambda _: nn.Identity(), first=first)
        h = block.conv2(relu(block.conv1(x if first else relu(x))))
        assert torch.allclose(block(x), avg_pool2d(h + block.skip(x), 2), atol=1e-5)


def test_projection_by_hand() -> None:
    """Miyato and Koyama 2018, equation 4: the logit is psi(phi) + <V y, phi>."""
    _, D = networks("wgan-gp", 3)
    x, c = torch.randn(4, 3, 32, 32), labels(4, 3)
    for pool in ("sum", "mean"):
        D.pool = pool
        phi = getattr(relu(D.blocks(x)), pool)((2, 3))
        psi = phi @ D.to_logit.weight[0] + D.to_logit.bias
        expected = [psi[i] + D.projection.weight[i % 3] @ phi[i] for i in range(4)]
        assert torch.allclose(D(x, c), torch.stack(expected), atol=1e-5)


def test_a_d_without_labels_ignores_them() -> None:
    D = DISCRIMINATORS.find("resnet")(16, 3, 3, width=4, label="none").eval()
    x = torch.randn(3, 3, 16, 16)
    assert torch.equal(D(x, labels(3, 3)), D(x, labels(3, 3).roll(1, 1)))


def test_labels_stand_beside_z_with_plain_batch_norm() -> None:
    G = GENERATORS.find("resnet")(16, 3, 3, z_dim=6, width=4, norm="batch")
    assert G.dense.in_features == 9
    assert not any(isinstance(m, ClassBatchNorm) for m in G.modules())


def test_layer_norm_is_over_all_features_and_pixels_of_a_sample() -> None:
    D = DISCRIMINATORS.find("resnet")(16, 3, 0, width=4, max_width=4, norm="layer")
    norms = [m for m in D.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 7  # two a block, but one in the first
    x = torch.randn(2, 4, 8, 8)
    expected = torch.stack([(s - s.mean()) / (s.var(correction=0) + 1e-5).sqrt() for s in x])
    assert torch.allclose(norms[0](x), expected, atol=1e-5)


def test_glorots_weights_are_larger_before_relus() -> None:
    """Uniform within sqrt(6 / (fan in + fan out)), 3x3 in the blocks by sqrt(2) more."""
    torch.manual_seed(0)
    G = GENERATORS.find("resnet")(16, 3, 0, z_dim=64, width=16, max_width=16)
    block: Any = G.blocks[0]
    fans = [(block.conv1, 9 * 32, 2.0), (block.conv2, 9 * 32, 2.0), (block.skip, 32, 1.0)]
    fans += [(G.to_image, 9 * 19, 1.0), (G.dense, 64 + 256, 1.0)]
    for layer, fan, gain in fans:
        bound = (gain * 6 / fan) ** 0.5
        assert 0.97 * bound < layer.weight.abs().max() <= bound * 1.000001
        assert (layer.bias == 0).all()
