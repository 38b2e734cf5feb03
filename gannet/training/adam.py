"""Adam, where weights lie channels last."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

LAST, BACK = (0, 2, 3, 1), (0, 3, 1, 2)


class Adam(torch.optim.Adam):
    """torch's, to the last bit.

    Its fused kernel copies what does not lie in the order of its dimensions to and fro; shown in the order in which
    it lies, a step of channels-last weights takes half the time on the CPU.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step, as torch's."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        with in_order([p for p in parameters if p.grad is not None and lies_last(p)]):
            return super().step(closure)


def lies_last(parameter: nn.Parameter) -> bool:
    return not parameter.is_contiguous() and parameter.is_contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def in_order(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Parameters and their gradients with their dimensions in the order in which they lie in memory."""
    for parameter in parameters:
        permute(parameter, LAST)
    try:
        yield
    finally:
        for parameter in parameters:
            permute(parameter, BACK)


def permute(parameter: nn.Parameter, dims: tuple[int, ...]) -> None:
    gradient = parameter.grad
    assert gradient is not None
    parameter.grad = None
    parameter.data = parameter.data.permute(dims)
    parameter.grad = gradient.permute(dims)
