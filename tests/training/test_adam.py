import copy
from typing import Any

import pytest
import torch
from torch import nn

from gannet.training.adam import Adam


def convolution() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 8, 4).to(memory_format=torch.channels_last)


def test_it_is_torchs_adam_to_the_last_bit_wherever_weights_lie() -> None:
    ours, theirs = convolution(), convolution()
    optimizers = Adam(ours.parameters(), 1e-2, fused=True), torch.optim.Adam(theirs.parameters(), 1e-2, fused=True)
    strides = ours.weight.stride()
    assert not ours.weight.is_contiguous()
    for seed in range(5):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            torch.manual_seed(seed)
            optimizer.zero_grad()
            network(torch.randn(2, 3, 8, 8)).square().sum().backward()
            optimizer.step()
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    gradient = ours.weight.grad
    assert gradient is not None and ours.weight.stride() == gradient.stride() == strides


def test_a_step_that_is_refused_or_fails_leaves_weights_as_they_lay() -> None:
    network = convolution()
    optimizer: Any = Adam(network.parameters(), 1e-2, fused=True)
    before = network.weight.detach().clone()
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert torch.equal(network.weight, before)
    optimizer.param_groups[0]["betas"] = None
    with pytest.raises(TypeError):
        optimizer.step()
    gradient = network.weight.grad
    assert gradient is not None and network.weight.shape == before.shape == gradient.shape


def test_state_goes_on_where_it_was_saved() -> None:
    networks = [convolution(), convolution()]
    optimizers = [Adam(network.parameters(), 1e-2, fused=True) for network in networks]
    x = torch.randn(2, 3, 8, 8)
    for number in range(4):
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
        if number == 1:
            optimizers[1] = Adam(networks[1].parameters(), 1e-2, fused=True)
            optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    assert torch.equal(networks[0].weight, networks[1].weight)
