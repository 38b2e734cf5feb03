"""BigGAN and BigGAN-deep against Brock et al. 2019; their contract is in test_resnet.py."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.attention import SelfAttention
from gannet.networks.biggan import DeepDownBlock, DeepUpBlock, norm_of
from gannet.networks.layers import ClassEmbedding, ConditionalBatchNorm
from gannet.networks.resnet import DownBlock, UpBlock


def made(row: str, size: int, classes: int, **settings: Any) -> tuple[Any, Any]:
    return GENERATORS.find(row)(size, 3, classes, **settings), DISCRIMINATORS.find(row)(size, 3, classes, **settings)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without spectral norm, which adds buffers alone and is slow on the meta device."""
    monkeypatch.setattr("gannet.networks.biggan.spectrally_normalise", lambda network: None)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_biggan_has_the_published_parameters(plain: None) -> None:
    """70.4M in G and 88.0M in D at 128 pixels and 1000 classes: all that is learnt, embeddings included.

    Appendix B writes Linear(20 + 128) at G's start. The published number is that of a layer which sees
    the 20 of z alone; with the class it would be 73.6M.
    """
    with torch.device("meta"):
        G, D = (table.find("biggan")(128, 3, 1000) for table in (GENERATORS, DISCRIMINATORS))
        x = G(torch.zeros(2, 120), torch.zeros(2, 1000))
        assert x.shape == (2, 3, 128, 128)
        assert D(x, torch.zeros(2, 1000)).shape == (2,)
    assert count(G) == 70_433_988
    assert count(D) == 87_982_370
    assert [f"{count(network) / 1e6:.1f}" for network in (G, D)] == ["70.4", "88.0"]
    assert f"{(count(G) + 128 * 16 * 16 * 96) / 1e6:.1f}" == "73.6"


def test_biggan_deep_has_the_published_parameters(plain: None) -> None:
    """50.4M in G and 34.6M in D at 128 pixels and 1000 classes: all that is learnt, embeddings included.

    Appendix B's table ends G with a convolution to 3 channels: 50.2M. The published generator's makes
    128 of which 3 are used, and 50.4M counts them.
    """
    with torch.device("meta"):
        G, D = (table.find("biggan-deep")(128, 3, 1000) for table in (GENERATORS, DISCRIMINATORS))
        x = G(torch.zeros(2, 128), torch.zeros(2, 1000))
        assert x.shape == (2, 3, 128, 128)
        assert D(x, torch.zeros(2, 1000)).shape == (2,)
    unused = (128 - 3) * (9 * 128 + 1)
    assert count(G) == 50_244_484
    assert count(D) == 34_590_210
    assert [f"{n / 1e6:.1f}" for n in (count(G) + unused, count(D))] == ["50.4", "34.6"]


def plan(network: Any, kinds: Any) -> list[tuple[int, int, int]]:
    """Width before, width after and size after of each block, as seen in a forward pass."""
    seen: list[tuple[int, int, int]] = []

    def look(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append((args[0].shape[1], out.shape[1], out.shape[2]))

    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(look)
    width = network.z_dim if hasattr(network, "z_dim") else 3
    network(torch.zeros(2, width) if hasattr(network, "z_dim") else torch.zeros(2, 3, 128, 128), torch.zeros(2, 2))
    return seen


def test_the_tables_of_appendix_b_at_128_pixels() -> None:
    """Width before and after a row in multiples of ch, and the side of its map; (n, n, 64) twice is attention."""
    ch = 2
    G, D = made("biggan", 128, 2, width=ch)
    of_g, of_d = plan(G, (UpBlock, SelfAttention)), plan(D, (DownBlock, SelfAttention))
    deep_G, deep_D = made("biggan-deep", 128, 2, width=ch)
    of_deep_g = plan(deep_G, (DeepUpBlock, SelfAttention))
    of_deep_d = plan(deep_D, (DeepDownBlock, SelfAttention))

    def rows(*rows: tuple[float, int, int]) -> list[tuple[int, int, int]]:
        return [(int(a * ch), b * ch, side) for a, b, side in rows]

    assert of_g == rows((16, 16, 8), (16, 8, 16), (8, 4, 32), (4, 2, 64), (2, 2, 64), (2, 1, 128))
    assert of_d == rows(
        (3 / ch, 1, 64), (1, 1, 64), (1, 2, 32), (2, 4, 16), (4, 8, 8), (8, 16, 4), (16, 16, 4)
    )  # fmt: skip
    assert of_deep_g == rows(
        (16, 16, 4), (16, 16, 8), (16, 16, 8), (16, 8, 16), (8, 8, 16), (8, 4, 32), (4, 4, 32), (4, 2, 64),
        (2, 2, 64), (2, 2, 64), (2, 1, 128),
    )  # fmt: skip
    assert of_deep_d == rows(
        (1, 2, 64), (2, 2, 64), (2, 2, 64), (2, 4, 32), (4, 4, 32), (4, 8, 16), (8, 8, 16), (8, 16, 8), (16, 16, 8),
        (16, 16, 4), (16, 16, 4),
    )  # fmt: skip


def test_each_block_sees_its_piece_of_z_and_the_class() -> None:
    """120 numbers in six pieces of 20, with a class of 128; without classes 20 alone; a rest goes to the first."""
    for classes, width in ((5, 148), (0, 20)):
        G: Any = GENERATORS.find("biggan")(128, 3, classes, width=1)
        assert G.pieces == [20] * 6
        norms = [m for m in G.modules() if isinstance(m, ConditionalBatchNorm)]
        assert [norm.to_scale.in_features for norm in norms] == [width] * 10
    assert GENERATORS.find("biggan")(256, 3, 0, width=1).pieces == [18] + [17] * 6
    G = GENERATORS.find("biggan")(32, 3, 0, z_dim=8, width=2).eval()
    seen: list[Tensor] = []
    for block in G.blocks:
        block.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    z = torch.arange(16.0).reshape(2, 8)
    G(z, torch.zeros(2, 0))
    assert torch.equal(torch.cat(seen, 1), z[:, 2:])


def test_biggan_deep_gives_all_of_z_to_every_norm() -> None:
    G: Any = GENERATORS.find("biggan-deep")(32, 3, 2, z_dim=5, width=2, embedding_dim=3)
    norms = [m for m in G.modules() if isinstance(m, ConditionalBatchNorm)]
    assert [norm.to_shift.in_features for norm in norms] == [8] * 24
    assert sum(isinstance(m, ClassEmbedding) for m in G.modules()) == 1


@pytest.mark.parametrize("row", ["biggan", "biggan-deep"])
def test_all_weights_are_orthogonal_and_normalised_but_the_shared_embedding(row: str) -> None:
    torch.manual_seed(0)
    G, D = made(row, 32, 3, width=2)
    for network in (G, D):
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear | ClassEmbedding):
                weight = module.weight.flatten(1)
                gram = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
                assert torch.allclose(gram, torch.eye(len(gram)), atol=2e-2), name
                assert hasattr(module, "parametrizations") == (name != "embed"), name


def test_a_deep_block_of_g_drops_features_and_one_of_d_adds_them() -> None:
    torch.manual_seed(0)
    x, c = torch.randn(3, 8, 4, 4), torch.randn(3, 2)
    up: Any = DeepUpBlock(8, 4, norm_of(2), double=True)
    norms, (first, second, third, last) = [lambda h, n=n: relu(n(h, c)) for n in up.norms], up.convs
    h = second(interpolate(norms[1](first(norms[0](x))), scale_factor=2))
    h = last(norms[3](third(norms[2](h))))
    assert torch.allclose(up(x, c), h + interpolate(x[:, :4], scale_factor=2), atol=1e-5)
    assert [conv.kernel_size[0] for conv in up.convs] == [1, 3, 3, 1]
    assert [conv.out_channels for conv in up.convs] == [2, 2, 2, 4]
    down: Any = DeepDownBlock(8, 12, halve=True)
    first, second, third, last = down.convs
    h = last(avg_pool2d(relu(third(relu(second(relu(first(relu(x))))))), 2))
    small = avg_pool2d(x, 2)
    assert torch.allclose(down(x), h + torch.cat([small, down.more(small)], 1), atol=1e-5)
    assert [conv.out_channels for conv in down.convs] == [3, 3, 3, 12]


def test_projection_by_hand() -> None:
    D: Any = DISCRIMINATORS.find("biggan")(32, 3, 3, width=1).eval()
    x, c = torch.randn(3, 3, 32, 32), torch.eye(3)
    phi = relu(D.blocks(x)).sum((2, 3))
    psi = phi @ D.to_logit.linear.weight[0] + D.to_logit.linear.bias
    expected = [psi[i] + D.to_logit.projection.weight[i] @ phi[i] for i in range(3)]
    assert torch.allclose(D(x, c), torch.stack(expected), atol=1e-5)
