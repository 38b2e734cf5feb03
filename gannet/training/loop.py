"""The loop: it plays the turns of any game, in time order.

The loop alone freezes all but the learner, opens autocast, accumulates over micro-batches, goes
backward, refuses steps that are not finite, steps, averages weights and counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gannet.config import Recipe
from gannet.data.batch import Draw, Loader
from gannet.errors import DivergedError
from gannet.games.turn import Game, Loss, Now, Turn
from gannet.training.ema import EMA
from gannet.training.engine import Engine, only, reseed
from gannet.training.freeze import learning
from gannet.training.schedule import movers
from gannet.training.statistics import Means

GIVE_UP_AFTER = 3  # iterations in a row that had to be skipped
WEIGHED_EVERY = 25  # iterations, of which one is measured by how far it moves the weights


@dataclass
class Training:
    """Everything that moves while a run goes on."""

    COUNTERS: ClassVar = ("iteration", "cur_nimg", "num_z", "num_skipped", "skipped_in_a_row", "num_returns", "fits")

    recipe: Recipe
    engine: Engine
    loader: Loader
    networks: dict[str, nn.Module]
    game: Game
    optimizers: dict[str, torch.optim.Optimizer]
    ema: EMA | None
    means: Means = field(default_factory=Means)
    iteration: int = 0
    cur_nimg: int = 0
    num_z: int = 0
    num_skipped: int = 0
    skipped_in_a_row: int = 0
    num_returns: int = 0
    """How often the run went back to a checkpoint because it diverged."""
    fits: int = 0
    """Images that fit into the memory at once, where it was found to be too small; else 0."""

    def __post_init__(self) -> None:
        self.parameters = {player: learning(networks) for player, networks in self.game.players.items()}
        self.buffers = [b for network in self.networks.values() for b in network.buffers()]
        self.kept = [torch.empty_like(b) for b in self.buffers]
        parts = {"ema": self.ema, "game": self.game, "objective": self.game.objective} | {
            name.replace("penalty ", "penalties."): network for name, network in self.networks.items()
        }
        self.movers = movers(self.recipe, self.optimizers, parts)
        self.moved: dict[str, float] = {}

    @property
    def micro(self) -> int:
        """Images that this rank computes at once: an equal part of its share of the batch."""
        own = self.recipe.train.batch // self.engine.ranks.num
        most = min(self.recipe.train.micro_batch or own, self.fits or own)
        return max(part for part in range(1, most + 1) if own % part == 0)

    @property
    def samplers(self) -> dict[str, nn.Module]:
        """The networks from the part G that make images, by name: their averages where the recipe has them."""
        names = [name for name, field in self.game.built.items() if field == "G"]
        return self.ema.networks if self.ema else {name: self.networks[name] for name in names}


def iterate(t: Training) -> None:
    """Plays one iteration of the game.

    Raises `DivergedError` when too many iterations in a row were not finite.
    """
    size = t.micro
    shares = t.engine.ranks.shares(t.recipe.train.batch // size)
    now = Now(t.iteration, len(shares), t.cur_nimg)
    draws = [draw_of(t, share, size) for share in shares]
    t.game.forget()
    copy_all(t.kept, t.buffers)
    weighed = weights_of(t) if t.iteration % WEIGHED_EVERY == 0 and t.cur_nimg >= 1000 * t.game.start_kimg else {}
    finite: list[Tensor] = []
    t.moved = {name: mover.move(t.cur_nimg) for name, mover in t.movers.items()}
    for number, turns in enumerate(rounds(t, [t.game.turns(draw, now) for draw in draws])):
        losses = [accumulate(t, share_turns, shares, number) for share_turns in turns]
        finite += [step(t, share_turns[0], loss) for share_turns, loss in zip(turns, losses, strict=True)]
    record_updates(t, weighed)
    t.iteration += 1
    num_images = draws[0].next_real - t.cur_nimg
    t.cur_nimg, t.num_z = draws[0].next_real, draws[0].next_z
    t.game.adjust(t.engine.ranks.average_, num_images)
    guard(t, finite)
    if t.ema:
        t.ema.update(num_images, t.cur_nimg)


def weights_of(t: Training) -> dict[str, list[Tensor]]:
    """A copy of each player's weights."""
    return {player: [p.detach().clone() for p in parameters] for player, parameters in t.parameters.items()}


@torch.no_grad()
def record_updates(t: Training, before: Mapping[str, list[Tensor]]) -> None:
    """How far an iteration has moved each player, in parts of the norm of its weights."""
    for player, weights in before.items():
        moved = torch._foreach_sub([p.detach() for p in t.parameters[player]], weights)
        norm = torch.nn.utils.get_total_norm(weights).clamp_min(torch.finfo(torch.float32).tiny)
        t.means.add(f"update {player}", torch.nn.utils.get_total_norm(moved) / norm)


def draw_of(t: Training, share: int, size: int) -> Draw:
    def reseed_draw(number: int) -> None:
        reseed(t.recipe.seed, number, -1, share)

    return Draw(t.loader, reseed_draw, t.cur_nimg, t.num_z, t.recipe.train.batch, share, size)


def rounds(t: Training, games: Sequence[Iterator[Turn | tuple[Turn, ...]]]) -> Iterator[list[tuple[Turn, ...]]]:
    """Advances the game of each micro-batch in step; the turns of a round are simultaneous.

    Each turn comes as a tuple over the micro-batches.
    """
    while True:
        with t.engine.autocast():
            turns = [next(game, ()) for game in games]
        if not any(turns):
            return
        together = [turn if isinstance(turn, tuple) else (turn,) for turn in turns]
        yield list(zip(*together, strict=True))


def accumulate(t: Training, turns: Sequence[Turn], shares: Sequence[int], number: int) -> Tensor:
    """The gradients of one turn for its learner, over this rank's shares of the batch; and its loss."""
    learner = turns[0].learns
    losses: list[Tensor] = []
    t.optimizers[learner].zero_grad(set_to_none=True)
    with only(learner, t.parameters):
        for share, turn in zip(shares, turns, strict=True):
            reseed(t.recipe.seed, t.num_z, number, share)
            with t.engine.autocast():
                loss = turn.loss()
            part = torch.stack([term.mean() for term in loss.terms.values()]).sum() / len(turns)
            part.backward()
            losses.append(part.detach())
            record(t.means, turn, loss, 1 / len(turns))
    whole = torch.stack(losses).sum()
    t.means.add(f"loss {turns[0].name}", whole)
    return whole


def record(means: Means, turn: Turn, loss: Loss, weight: float) -> None:
    if len(loss.terms) > 1:
        for name, term in loss.terms.items():
            means.add(f"{turn.name} {name}", term, weight)
    for name, value in loss.stats.items():
        means.add(name, value, weight)


@torch.no_grad()
def step(t: Training, turn: Turn, loss: Tensor) -> Tensor:
    """One step of the learner's optimizer, none where loss or gradient is not finite; says which it was.

    Gradients are means over the ranks; one that no loss reached is zero. A fused optimizer itself
    looks at `found_inf`, on the device, so nothing waits for it.
    """
    parameters = t.parameters[turn.learns]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    t.engine.ranks.average_([*gradients, loss])
    norm = torch.nn.utils.get_total_norm(gradients)
    t.means.add(f"grad norm {turn.name}", norm)
    finite = torch.isfinite(norm + loss)
    optimizer: Any = t.optimizers[turn.learns]
    if optimizer.defaults.get("fused"):
        optimizer.found_inf = (~finite).float()
        optimizer.step()
    elif finite:
        optimizer.step()
    if bound := t.recipe.optim[turn.learns].clip:
        for parameter in parameters:
            parameter.clamp_(-bound, bound)
    return finite


def guard(t: Training, finite: list[Tensor]) -> None:
    """Where a step of the iteration was refused, buffers such as batch norm's go back as well."""
    if torch.stack(finite).all():
        t.skipped_in_a_row = 0
        return
    copy_all(t.buffers, t.kept)
    t.num_skipped += 1
    t.skipped_in_a_row += 1
    if t.skipped_in_a_row >= GIVE_UP_AFTER:
        raise DivergedError(
            f"training diverged: {GIVE_UP_AFTER} iterations in a row had a loss or gradient that is not finite, at"
            f" {t.cur_nimg / 1000:.1f} kimg; try a lower learning rate (--lr) or --train.precision float32"
        )


@torch.no_grad()
def copy_all(to: list[Tensor], values: list[Tensor]) -> None:
    """Each tensor as the value at its place, in few kernels."""
    if to:
        torch._foreach_copy_(to, values)


def play(t: Training, total_nimg: int) -> Iterator[int]:
    """Plays until D has seen `total_nimg` reals; yields the number seen after each iteration."""
    while t.cur_nimg < total_nimg:
        iterate(t)
        yield t.cur_nimg
