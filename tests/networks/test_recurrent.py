"""The convolutional GRU against its equations."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm

from gannet.networks.recurrent import ConvGRU


def made(inputs: int = 2, features: int = 3) -> ConvGRU:
    torch.manual_seed(1)
    return ConvGRU(inputs, features).double()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def by_hand(gru: ConvGRU, x: Tensor, state: Tensor) -> np.ndarray:
    """Clip by clip, step by step, pixel by pixel: `[N, T, features, H, W]`."""

    def convolved(conv: Any, values: np.ndarray, f: int, i: int, j: int) -> float:
        weight, total = conv.weight[f].detach().numpy(), float(conv.bias[f])
        for channel, di, dj in product(range(len(values)), range(3), range(3)):
            row, column = i + di - 1, j + dj - 1
            if 0 <= row < values.shape[1] and 0 <= column < values.shape[2]:
                total += weight[channel, di, dj] * values[channel, row, column]
        return total

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    out = np.zeros((*x.shape[:2], gru.features, *x.shape[3:]))
    places = list(product(range(gru.features), range(x.shape[3]), range(x.shape[4])))
    for n in range(len(x)):
        h = state[n].numpy()
        for t in range(x.shape[1]):
            both = np.concatenate([x[n, t].numpy(), h])
            r, u = np.zeros_like(h), np.zeros_like(h)
            for place in places:
                r[place], u[place] = (sigmoid(convolved(conv, both, *place)) for conv in (gru.reset, gru.update))
            both = np.concatenate([x[n, t].numpy(), r * h])
            for place in places:
                c = max(0.0, convolved(gru.candidate, both, *place))
                out[n, t][place] = u[place] * h[place] + (1 - u[place]) * c
            h = out[n, t]
    return out


def test_states_equal_a_loop_over_pixels() -> None:
    gru, x, state = made(), random(2, 3, 2, 3, 4), random(2, 3, 3, 4)
    with torch.no_grad():
        assert np.allclose(gru(x, 3, state).numpy(), by_hand(gru, x, state), atol=1e-12)
        assert np.allclose(gru(x, 3).numpy(), by_hand(gru, x, torch.zeros_like(state)), atol=1e-12)


def test_an_input_that_is_the_same_at_every_step_is_given_once() -> None:
    gru, x = made(), random(2, 1, 2, 3, 4)
    states = gru(x, 5)
    assert torch.allclose(states, gru(x.expand(-1, 5, -1, -1, -1), 5), atol=1e-12)
    assert not torch.allclose(states[:, 0], states[:, 4])


def test_a_state_follows_from_the_one_before_alone() -> None:
    gru, x = made(), random(2, 4, 2, 3, 3)
    whole = gru(x, 4)
    assert torch.allclose(gru(x[:, 2:], 2, whole[:, 1]), whole[:, 2:], atol=1e-12)


def test_gates_that_are_shut_keep_the_state_and_open_ones_forget_it() -> None:
    gru, x, state = made(), random(1, 3, 2, 3, 3), random(1, 3, 3, 3)
    with torch.no_grad():
        gru.get_parameter("update.bias").fill_(1e3)
        assert torch.allclose(gru(x, 3, state), state[:, None].expand(-1, 3, -1, -1, -1))
        gru.get_parameter("update.bias").fill_(-1e3)
        gru.get_parameter("reset.bias").fill_(-1e3)
        assert torch.allclose(gru(x, 3, state), gru(x, 3, 5 * state))


@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_through_time_equal_finite_differences(steps: int) -> None:
    gru = made()
    x, state = random(1, steps, 2, 2, 3).requires_grad_(), random(1, 3, 2, 3).requires_grad_()
    names = [name for name, _ in gru.named_parameters()]

    def last(x: Tensor, state: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(gru, given, (x, steps, state))[:, -1]

    assert torch.autograd.gradcheck(last, (x, state, *gru.parameters()))


def test_spectral_norms_vectors_move_once_in_a_forward() -> None:
    gru, reference = made(), made()
    for network in (gru, reference):
        for conv in (network.reset, network.update, network.candidate):
            torch.manual_seed(3)
            spectral_norm(conv)
    gru(random(1, 1, 2, 3, 3), 6)
    for conv in (reference.reset, reference.update, reference.candidate):
        _ = conv.weight
    for name, value in reference.state_dict().items():
        assert torch.equal(gru.state_dict()[name], value), name
