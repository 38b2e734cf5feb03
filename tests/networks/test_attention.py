from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.attention import SelfAttention, attention_after, check_attention, smaller


def awake(features: int) -> SelfAttention:
    torch.manual_seed(0)
    attention = SelfAttention(features)
    nn.init.constant_(attention.gamma, 0.7)
    return attention


def test_self_attention_pixel_by_pixel() -> None:
    """Zhang et al. 2019, equations 1 to 3, with keys and values that are the largest of 2x2 pixels."""
    attention: Any = awake(16).double()
    x = torch.randn(2, 16, 4, 6, dtype=torch.float64)
    w_f, w_g, w_h, w_v = (
        m.weight[:, :, 0, 0] for m in (attention.query, attention.key, attention.value, attention.out)
    )
    assert (len(w_f), len(w_g), len(w_h)) == (2, 2, 8)
    expected = x.clone()
    for n in range(2):
        blocks = [(2 * i, 2 * j) for i in range(2) for j in range(3)]

        def largest(w: Tensor, n: int = n, blocks: list[tuple[int, int]] = blocks) -> list[Tensor]:
            return [torch.stack([w @ x[n, :, i + a, j + b] for a in (0, 1) for b in (0, 1)]).amax(0) for i, j in blocks]

        keys, values = largest(w_g), largest(w_h)
        for i in range(4):
            for j in range(6):
                beta = torch.softmax(torch.stack([(w_f @ x[n, :, i, j]) @ key for key in keys]), 0)
                seen = sum(b * value for b, value in zip(beta, values, strict=True))
                expected[n, :, i, j] += 0.7 * (w_v @ seen)
    assert torch.allclose(attention(x), expected, atol=1e-12)


def test_self_attention_does_nothing_at_first_and_its_gamma_learns() -> None:
    attention, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    assert torch.equal(attention(x), x)
    attention(x).square().sum().backward()
    assert attention.gamma.grad is not None
    assert attention.gamma.grad.abs() > 0


def test_self_attention_in_channels_last_and_of_few_features() -> None:
    attention, x = awake(16), torch.randn(2, 16, 4, 4)
    assert torch.allclose(attention(x.to(memory_format=torch.channels_last)), attention(x), atol=1e-6)
    assert SelfAttention(3)(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 2, 2)


def test_gradients_and_those_of_penalties() -> None:
    attention, x = awake(3).double(), torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention, x)
    assert torch.autograd.gradgradcheck(attention, x)


def test_attention_stands_where_it_is_asked_for() -> None:
    assert isinstance(attention_after(8, 16, (8, 4)), SelfAttention)
    assert isinstance(attention_after(8, 16, (4,)), nn.Identity)
    assert smaller((64, 32, 16), 32) == [16]
    check_attention("G.attention", (8, 4), (4, 8, 16))
    with pytest.raises(UserError, match=r"^G.attention has 7, and must be of the maps' sizes: 4, 8, 16$"):
        check_attention("G.attention", (8, 7), (16, 4, 8))
