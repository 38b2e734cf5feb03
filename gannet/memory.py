"""What follows means over the batch: noted part by part, and moved once an iteration."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Noted:
    """A buffer, and the mean of an iteration that it is to follow."""

    buffer: Tensor
    mean: Tensor
    decay: float

    @torch.no_grad()
    def move(self) -> None:
        """buffer = decay * buffer + (1 - decay) * mean."""
        self.buffer.lerp_(self.mean.to(self.buffer.dtype), 1 - self.decay)


class Memory(nn.Module):
    """A module with buffers that move by means over the batch: once an iteration, whatever parts it is cut into."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[str, tuple[float, list[Tensor]]] = {}

    def note(self, name: str, mean: Tensor, decay: float) -> None:
        """Keeps the mean of one part of the batch, which the buffer `name` is to follow when the iteration is over."""
        self._noted.setdefault(name, (decay, []))[1].append(mean.detach())

    def take(self) -> list[Noted]:
        """What was noted, for each buffer the mean of the parts; nothing is kept."""
        noted, self._noted = self._noted, {}
        return [
            Noted(self.get_buffer(name), torch.stack(means).mean(0), decay) for name, (decay, means) in noted.items()
        ]


def memories(networks: Sequence[nn.Module]) -> list[Memory]:
    """All of them in the networks."""
    return [module for network in networks for module in network.modules() if isinstance(module, Memory)]
