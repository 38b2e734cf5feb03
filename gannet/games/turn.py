"""What a game and the loop say to each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn


class Noise(Protocol):
    """What G starts from: z `[N, z_dim]`, one-hot labels c `[N, num_classes]` (width 0 without)."""

    @property
    def z(self) -> Tensor: ...

    @property
    def c(self) -> Tensor: ...


class Batch(Noise, Protocol):
    """Noise, and as many reals x `[N, C, R, R]` in [-1, 1] that have the labels c."""

    @property
    def x(self) -> Tensor: ...


class Draw(Protocol):
    """Where a game takes its batches from: each call is a fresh one."""

    def __call__(self) -> Batch: ...

    def noise(self) -> Noise: ...


@dataclass(frozen=True)
class Loss:
    """Named terms whose means are added and minimised, and statistics that are only reported.

    Each is a scalar or one value a sample.
    """

    terms: Mapping[str, Tensor]
    stats: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """One step of one player: `loss` is called once, with every other player frozen."""

    name: str
    learns: str
    loss: Callable[[], Loss]


class Fakes:
    """Generated images that D's turn and G's turn share, made once where memory allows.

    With several micro-batches their graphs would all stay alive until G's turn: then D gets
    images made without a graph, and G's turn makes them anew.
    """

    def __init__(self, make: Callable[[], Tensor], keep_graph: bool):
        self.make = make
        with torch.set_grad_enabled(keep_graph):
            self.images = make()

    def detached(self) -> Tensor:
        """For D's turn: no gradient reaches G."""
        return self.images.detach()

    def attached(self) -> Tensor:
        """For G's turn."""
        return self.images if self.images.requires_grad else self.make()


@dataclass(frozen=True)
class Now:
    """The iteration that is played, and into how many micro-batches it is cut."""

    iteration: int
    num_micro: int = 1

    def fakes(self, make: Callable[[], Tensor], shared: bool = True) -> Fakes:
        """Images for D's turn; with `shared`, for G's turn as well."""
        return Fakes(make, keep_graph=shared and self.num_micro == 1)


class Objective(Protocol):
    """What the players minimise: see `gannet.losses.adversarial`."""

    classifier: bool
    boundary: float | None
    needs_real: bool

    def d(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]: ...

    g: Callable[..., Tensor]


class Augment(Protocol):
    """What D sees of an image `[N, C, H, W]` in [-1, 1], and who is told how sure D is of reals."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def update(self, sign_mean: Tensor, num_images: int) -> None: ...


class AsItIs:
    """No augmentation."""

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def update(self, sign_mean: Tensor, num_images: int) -> None: ...


class Game(Protocol):
    """The rules: players by name, each with the networks it moves, and the turns of an iteration."""

    players: Mapping[str, list[nn.Module]]
    objective: Objective
    num_batches: int
    """Batches of reals that one iteration takes."""

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]: ...

    def adjust(self, average_: Callable[[Sequence[Tensor]], None], num_images: int) -> None:
        """Called after each iteration; `average_` makes tensors their mean over the ranks, in place."""
        ...
