"""What a game and the loop say to each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.losses.regularisers import Penalty


class Noise(Protocol):
    """What G starts from: z `[N, z_dim]`, one-hot labels c `[N, num_classes]` (width 0 without)."""

    @property
    def z(self) -> Tensor: ...

    @property
    def c(self) -> Tensor: ...


class Batch(Noise, Protocol):
    """Noise, as many reals x `[N, C, R, R]` in [-1, 1] that have the labels c, and images a that G is given.

    a is of width 0, `[N, 0, R, R]`, where the data has nothing to give.
    """

    @property
    def x(self) -> Tensor: ...

    @property
    def a(self) -> Tensor: ...


class Draw(Protocol):
    """Where a game takes its batches from: each call is a fresh one.

    They are the iteration's samples from number `offset` on: with several ranks or micro-batches each has its own.
    """

    offset: int

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
    """The iteration that is played, into how many micro-batches it is cut, and the reals that D saw before it."""

    iteration: int
    num_micro: int = 1
    cur_nimg: int = 0

    def fakes(self, make: Callable[[], Tensor], shared: bool = True) -> Fakes:
        """Images for D's turn; with `shared`, for G's turn as well."""
        return Fakes(make, keep_graph=shared and self.num_micro == 1)


class Objective(Protocol):
    """What the players minimise: see `gannet.losses.adversarial`."""

    classifier: bool
    needs_real: bool

    @property
    def boundary(self) -> float | None: ...

    def d(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]: ...

    g: Callable[..., Tensor]


class Augment(Protocol):
    """What D sees of images `[N, C, H, W]` in [-1, 1], and who is told how sure D is of reals.

    `parts` are the channels of pictures that share one draw, where x holds several.
    """

    steered: bool

    def __call__(self, x: Tensor, parts: Sequence[int] = ()) -> Tensor: ...

    def update(self, sign_mean: Tensor, num_images: int) -> None: ...

    def stats(self) -> Mapping[str, Tensor]: ...


class AsItIs:
    """No augmentation."""

    steered = False

    def __call__(self, x: Tensor, parts: Sequence[int] = ()) -> Tensor:
        return x

    def update(self, sign_mean: Tensor, num_images: int) -> None: ...

    def stats(self) -> Mapping[str, Tensor]:
        return {}


@dataclass(frozen=True)
class Pieces:
    """What a game is played with: G and D by name, what they minimise, and what D sees of an image."""

    networks: Mapping[str, nn.Module]
    objective: Objective
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    augment: Augment = field(default_factory=AsItIs)
    num_classes: int = 0
    """Width of every c."""
    channels: int = 0
    """Of one picture, where what D sees holds several; 0 where it holds one."""
    shape: Sequence[int] = ()
    """Of what G makes of one sample: `(channels, R, R)`."""


def num_features(D: nn.Module) -> int:
    """How many features D hands out. Raises `UserError` where it hands out none."""
    found: Any = getattr(D, "num_features", 0)
    if not found:
        raise UserError("this game reads D's features, and this D hands out none: set --D.name dcgan, or resnet")
    return found


REAL = ("input", "target", "and back", "and there")  # what is shown and is real, or should be again what was real


class Game(Protocol):
    """The rules: players by name, each with the networks it moves, and the turns of an iteration."""

    kinds: tuple[str, ...]
    """What items the data may have, as in `data.kind`."""
    built: Mapping[str, str]
    """The networks that are built for the game, by name, each from the part `G` or `D` of the recipe."""
    labels_for_d: bool
    """Whether D is built for labels; without, it is built for none and looks at no c."""
    pictures_for_d: int
    """How many images D sees as one, beside each other along the channels."""
    players: Mapping[str, list[nn.Module]]
    networks: Mapping[str, nn.Module]
    """The game's own beside G and D, such as a class head, by name; each learns with one of the players."""
    objective: Objective
    num_batches: int
    """Batches of reals that one iteration takes."""
    start_kimg: float
    """Thousands of images after which all players play; until then iterations are shorter."""

    @classmethod
    def classes(cls, found: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The classes that G is asked for; `found` are the data's, and `settings` the game's."""
        ...

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]: ...

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """What a grid shows of each sample, by name, from left to right: images `[N, ..., R, R]` in [-1, 1].

        `networks` are those that were built from the part G, as they sample. What is real, and not made by
        them, is named in `REAL`.
        """
        ...

    def adjust(self, average_: Callable[[Sequence[Tensor]], None], num_images: int) -> None:
        """Called after each iteration; `average_` makes tensors their mean over the ranks, in place."""
        ...

    def forget(self) -> None:
        """Called before each iteration, and where one failed on its way: drops what is left for `adjust`."""
        ...
