import math

import pytest
import torch
from torch import Tensor, nn

from gannet.networks.batch_layers import (
    ConditionalBatchNorm,
    MinibatchDiscrimination,
    MinibatchStdDev,
    SelfAttention,
    initialise_orthogonally,
)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_minibatch_discrimination_by_hand() -> None:
    """Samples at 0, 1 and 3 with the weight (1, 2) are 0, 3 and 9 in the L1 distance of their one kernel."""
    layer = MinibatchDiscrimination(1, 1, 2)
    layer.weight.data = torch.tensor([[1.0, 2.0]])
    out = layer(torch.tensor([[0.0], [1.0], [3.0]]))
    near, middle, far = math.exp(-3), math.exp(-6), math.exp(-9)
    assert out[:, 0].tolist() == [0, 1, 3]
    assert out[:, 1].tolist() == pytest.approx([1 + near + far, 1 + near + middle, 1 + far + middle], rel=1e-6)


def test_minibatch_discrimination_one_pair_at_a_time() -> None:
    layer, f = MinibatchDiscrimination(5, 4, 3).double(), drawn(6, 5)
    assert layer.out_features == 9
    M = torch.einsum("na,abc->nbc", f, layer.weight.detach().reshape(5, 4, 3))
    for i in range(6):
        for b in range(4):
            o = sum(math.exp(-float((M[i, b] - M[j, b]).abs().sum())) for j in range(6))
            assert layer(f)[i, 5 + b].item() == pytest.approx(o, rel=1e-12)


def test_minibatch_discrimination_sees_collapse() -> None:
    torch.manual_seed(0)
    layer, varied = MinibatchDiscrimination(16, 8, 5), torch.randn(32, 16)
    collapsed = varied[:1].expand(32, 16)
    assert layer(collapsed)[:, 16:].allclose(torch.tensor(32.0))
    assert 2 < layer(varied)[:, 16:].mean() < 24, "at the start it is neither deaf nor blind"
    assert layer(varied[:1])[:, 16:].tolist() == [[1] * 8]


def test_minibatch_stddev_by_hand() -> None:
    """Groups of two: values (0, 2) and (1, 5) deviate by 1 and 2, and in the other group not at all."""
    x = torch.tensor([[0.0, 1], [2, 5], [7, 7], [7, 7]], dtype=torch.float64).reshape(4, 2, 1, 1)
    out = MinibatchStdDev(2)(x)
    assert out.shape == (4, 3, 1, 1) and torch.equal(out[:, :2], x)
    assert out[:, 2].flatten().tolist() == pytest.approx([1.5, 1.5, 1e-4, 1e-4])


@pytest.mark.parametrize(("num", "size"), [(8, 4), (6, 3), (5, 1), (3, 3), (1, 1)])
def test_minibatch_stddev_of_any_batch(num: int, size: int) -> None:
    x = drawn(num, 3, 2, 2)
    channel = MinibatchStdDev()(x)[:, 3]
    for i in range(num):
        group = x[i // size * size :][:size]
        assert channel[i].tolist() == [[pytest.approx(group.std(0, correction=0).mean().item(), abs=2e-4)] * 2] * 2


def attended(layer: SelfAttention, x: Tensor) -> Tensor:
    """One image `[C, H, W]`, one pixel after another (Zhang et al. 2019, equations 1 to 3)."""
    f, g, h, v = (conv.weight[:, :, 0, 0] for conv in (layer.key, layer.query, layer.value, layer.out))
    pixels = x.flatten(1).T
    rows = []
    for pixel in pixels:
        scores = torch.stack([(f @ other) @ (g @ pixel) for other in pixels])
        beta = scores.exp() / scores.exp().sum()
        taken = v @ sum((b * (h @ other) for b, other in zip(beta, pixels, strict=True)), torch.zeros(()))
        rows.append(layer.gamma * taken + pixel)
    return torch.stack(rows, 1).reshape(x.shape)


def test_self_attention_one_pixel_at_a_time() -> None:
    layer, x = SelfAttention(16).double(), drawn(2, 16, 2, 3)
    assert torch.equal(layer(x), x), "gamma is 0 at first"
    nn.init.constant_(layer.gamma, 0.7)
    expected = torch.stack([attended(layer, image) for image in x])
    assert torch.allclose(layer(x), expected, rtol=1e-10)
    assert layer(x.to(memory_format=torch.channels_last)).allclose(expected, rtol=1e-10)


def test_self_attention_has_the_papers_width() -> None:
    assert sum(p.numel() for p in SelfAttention(64).parameters()) == 4 * 64 * 8 + 1
    assert SelfAttention(3)(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 2, 2)


def test_gamma_learns_from_its_zero() -> None:
    layer = SelfAttention(8)
    layer(torch.randn(2, 8, 4, 4)).square().sum().backward()
    assert layer.gamma.grad is not None and layer.gamma.grad.abs() > 0


def test_conditional_batch_norm_by_hand() -> None:
    """Values -1 and 1 are normal already: gain and bias of a class, and of half of each, are what comes out."""
    layer = ConditionalBatchNorm(1, 2).double()
    layer.class_gain.weight.data = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    layer.class_bias.weight.data = torch.tensor([[0.0], [10.0]], dtype=torch.float64)
    x = torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64).reshape(4, 1, 1, 1)
    c = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0.5, 0.5]], dtype=torch.float64)
    assert layer(x, c).flatten().tolist() == pytest.approx([-2, 2, 6, 8], abs=1e-4)


@pytest.mark.parametrize("classes", [0, 3])
def test_conditional_batch_norm_begins_as_torchs(classes: int) -> None:
    layer, plain = ConditionalBatchNorm(4, classes), nn.BatchNorm2d(4)
    x, c = torch.randn(6, 4, 3, 3), torch.zeros(6, classes)
    c[:, :1] = 1
    assert torch.allclose(layer(x, c), plain(x), atol=1e-6)
    layer.eval(), plain.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert torch.allclose(layer(x, c), plain(x), atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    layer(x, c).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.numel() or parameter.grad.abs().sum() > 0, name


def layers() -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    torch.manual_seed(3)
    attention, norm = SelfAttention(3).double(), ConditionalBatchNorm(2, 3).double()
    nn.init.constant_(attention.gamma, 0.5)
    for embedding in (norm.class_gain, norm.class_bias):
        nn.init.normal_(embedding.weight)
    return {
        "discrimination": (MinibatchDiscrimination(3, 2, 2).double(), (drawn(4, 3),)),
        "stddev": (MinibatchStdDev(), (drawn(4, 2, 2, 1),)),
        "attention": (attention, (drawn(2, 3, 2, 2),)),
        "norm": (norm, (drawn(4, 2, 2, 1), torch.softmax(drawn(4, 3), 1))),
    }


@pytest.mark.parametrize("name", list(layers()))
def test_gradients_and_those_of_penalties(name: str) -> None:
    layer, inputs = layers()[name]
    at = tuple(value.requires_grad_() for value in inputs)
    assert torch.autograd.gradcheck(layer, at)
    assert torch.autograd.gradgradcheck(layer, at)


@pytest.mark.parametrize("name", list(layers()))
def test_under_autocast_and_on_meta(name: str) -> None:
    layer, inputs = layers()[name]
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(*(value.float() for value in inputs))
    assert torch.isfinite(out).all()
    on_meta = layer.to("meta")(*(value.float().to("meta") for value in inputs))
    assert on_meta.shape == out.shape and on_meta.device.type == "meta"


def test_orthogonal_weights() -> None:
    network = nn.Sequential(nn.Linear(6, 3), nn.Conv2d(2, 5, 3), nn.ConvTranspose2d(4, 2, 4), SelfAttention(8))
    initialise_orthogonally(network)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        elif parameter.ndim > 1:
            rows = parameter.detach().flatten(1)
            gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
            assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5), name
