import math

import pytest
import torch
from torch import Tensor, nn

from gannet.networks.minibatch import MinibatchDiscrimination, MinibatchStdDev


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


def test_minibatch_discrimination_of_maps_is_that_of_vectors_at_every_pixel() -> None:
    layer, x = MinibatchDiscrimination(2 * 3 * 3, 4, 5).double(), drawn(5, 2, 3, 3)
    out = layer(x)
    assert out.shape == (5, 6, 3, 3) and torch.equal(out[:, :2], x)
    assert torch.allclose(out[:, 2:], layer(x.flatten(1))[:, 18:, None, None].expand(-1, -1, 3, 3))


def test_minibatch_stddev_by_hand() -> None:
    """Groups of two: values (0, 2) and (1, 5) deviate by 1 and 2, and in the other group not at all."""
    x = torch.tensor([[0.0, 1], [2, 5], [7, 7], [7, 7]], dtype=torch.float64)
    for shape in ((4, 2), (4, 2, 1, 1)):
        out = MinibatchStdDev(2)(x.reshape(shape))
        assert out.shape == (4, 3, *shape[2:]) and torch.equal(out[:, :2], x.reshape(shape))
        assert out[:, 2].flatten().tolist() == pytest.approx([1.5, 1.5, 1e-4, 1e-4])


@pytest.mark.parametrize(("num", "group"), [(8, 4), (4, 4), (6, 3), (2, 2), (5, 1), (1, 1)])
def test_the_minibatch_deviation_is_a_loop_over_groups(num: int, group: int) -> None:
    x = drawn(num, 3, 4, 4)
    y = MinibatchStdDev()(x)
    for start in range(0, num, group):
        every = [x[start : start + group, c, i, j] for c in range(3) for i in range(4) for j in range(4)]
        mean = sum(math.sqrt(float((v - v.mean()).square().mean()) + 1e-8) for v in every) / len(every)
        assert torch.allclose(y[start : start + group, 3], torch.tensor(mean).double(), atol=1e-6)


def layers() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(3)
    return {
        "discrimination": (MinibatchDiscrimination(3, 2, 2).double(), drawn(4, 3)),
        "deviation": (MinibatchStdDev(), drawn(4, 2, 2, 1)),
    }


@pytest.mark.parametrize("name", list(layers()))
def test_gradients_and_those_of_penalties(name: str) -> None:
    layer, x = layers()[name]
    x.requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize("name", list(layers()))
def test_under_autocast_and_on_meta(name: str) -> None:
    layer, x = layers()[name]
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.float())
    assert torch.isfinite(out).all()
    on_meta = layer.to("meta")(x.float().to("meta"))
    assert on_meta.shape == out.shape and on_meta.device.type == "meta"
