import pytest
import torch
from torch import Tensor, nn

from gannet.networks.layers import InstanceNorm


class ByHand(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def gradients(norm: nn.Module, num: int, layout: torch.memory_format) -> list[Tensor]:
    """Of x and of the weights before the norm, and of a penalty on the first of these."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), norm, nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(8, 4, 3, padding=1)
    )
    network = network.double().to(memory_format=layout)
    x = torch.randn(num, 3, 8, 8, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    (by_x,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
    by_x.square().sum().backward()
    weight = network.get_parameter("0.weight").grad
    assert weight is not None
    return [by_x.detach(), weight]


@pytest.mark.parametrize("num", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_formula(num: int, layout: torch.memory_format) -> None:
    """torch's own are wrong for one image whose gradients lie channels last."""
    expected = gradients(ByHand(), num, torch.contiguous_format)
    torch.testing.assert_close(gradients(InstanceNorm(8), num, layout), expected, rtol=1e-9, atol=1e-9)
