"""CycleGAN (Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks")."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.games.gan import GAN, check_translator, in_full
from gannet.games.turn import Batch, Draw, Loss, Now, Pieces, Turn
from gannet.losses.auxiliary import l1
from gannet.memory import memories

Average = Callable[[Sequence[Tensor]], None]


class Pool(nn.Module):
    """The last images that G made, for D to see in place of new ones (Shrivastava et al. 2017, section 2.3).

    It fills with those that come first. Once it is full, D sees each new image or, as likely, one from a random
    place of the pool, which the new one then takes. All ranks keep the same pool.
    """

    images: Tensor
    num: Tensor

    def __init__(self, size: int, shape: Sequence[int]):
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("num", torch.zeros((), dtype=torch.int64))
        self.fresh: list[tuple[int, Tensor, Tensor]] = []

    @torch.no_grad()
    def seen(self, fakes: Tensor, offset: int) -> Tensor:
        """What D sees in place of fakes `[N, C, R, R]`, number `offset` and on of the iteration's batch."""
        fakes, size = fakes.to(self.images.dtype), len(self.images)
        if not size:
            return fakes
        place = torch.randint(size, (len(fakes),), device=fakes.device)
        swapped = (torch.rand(len(fakes), device=fakes.device) < 0.5) & (self.num == size)
        self.fresh.append((offset, fakes, torch.where(swapped, place, -1)))
        return torch.where(swapped[:, None, None, None], self.images[place], fakes)

    @torch.no_grad()
    def keep(self, average_: Average, batch: int) -> None:
        """Takes the images of an iteration in, those of all ranks in their order."""
        if not self.fresh:
            return
        images, place, there = self.images.new_zeros(batch, *self.images.shape[1:]), *self.images.new_zeros(2, batch)
        for offset, fakes, chosen in self.fresh:
            own = slice(offset, offset + len(fakes))
            images[own], place[own], there[own] = fakes, chosen.to(place), 1.0
        self.fresh = []
        average_([images, place, there])  # each is in one rank alone, and 0 in the others
        size = len(self.images)
        filling = self.num + torch.arange(batch, device=self.num.device)
        filling = torch.where(filling < size, filling, -1)
        places = torch.where(self.num == size, (place / there).round().long(), filling)
        for i, chosen in enumerate(places.split(1)):  # one after another: the last to come to a place stays
            at = chosen.clamp(min=0)
            self.images.index_copy_(0, at, torch.where(chosen >= 0, images[i] / there[i], self.images[at]))
        self.num.copy_((self.num + batch).clamp(max=size))


class CycleGAN(GAN):
    """G makes images of b from those of a, F those of a from b, and each undoes the other (equation 3).

    `cycle` is the weight of the way there and back (lambda in the paper, whose 10 is 5 beside least squares that are
    halved, as here), `identity` that of leaving alone what is of the other side already, as a part of `cycle`
    (section 5.2, for paintings: 0.5). What G translates and what it leaves alone go through it as one batch: the same
    to instance norm, while batch norm takes the statistics of both. D rates images of b, D_X those of a; both see fakes
    out of a pool of the last `pool` (section 4). The paper halves D's objective, which slows it down: with Adam's steps
    that changes next to nothing, and it is left out.
    """

    kinds: ClassVar[tuple[str, ...]] = ("unpaired",)
    built: ClassVar[Mapping[str, str]] = {"G": "G", "D": "D", "F": "G", "D_X": "D"}
    labels_for_d: ClassVar[bool] = False

    def __init__(self, pieces: Pieces, *, cycle: float = 10.0, identity: float = 0.5, pool: int = 50):
        super().__init__(pieces)
        if min(cycle, identity, pool) < 0:
            raise UserError("game.cycle, game.identity and game.pool must be at least 0")
        if self.objective.needs_real or self.penalties:
            raise UserError("cyclegan takes no relativistic objective and no penalty: leave them out")
        self.F, self.D_X = pieces.networks["F"], pieces.networks["D_X"]
        self.cycle, self.identity = cycle, identity
        self.players = {"G": [self.G, self.F], "D": [self.D, self.D_X]}
        self.memories = memories([self.G, self.F, self.D, self.D_X])
        self.pools = {side: Pool(pool, pieces.shape) for side in ("a", "b")}
        self.networks = {f"pool {side}": pool for side, pool in self.pools.items()}

    def check_g(self) -> None:
        check_translator(self.G)

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        b = now.fakes(lambda: self.G(self.with_alike(batch.a, batch.x)))
        a = now.fakes(lambda: self.F(self.with_alike(batch.x, batch.a)))
        yield Turn("G", learns="G", loss=lambda: self.both_g_loss(batch, a.attached(), b.attached()))
        fakes = {"a": a.detached()[: len(batch.x)], "b": b.detached()[: len(batch.x)]}
        old_a, old_b = (self.pools[side].seen(images, draw.offset) for side, images in fakes.items())
        yield Turn("D", learns="D", loss=lambda: self.both_d_loss(batch, old_a, old_b))

    def with_alike(self, given: Tensor, alike: Tensor) -> Tensor:
        """What is to be translated, and behind it in the same batch, for the identity term, what is to stay as it is.

        Of images without a graph, which are for D alone, there is no such term.
        """
        return torch.cat([given, alike]) if self.identity and torch.is_grad_enabled() else given

    def both_g_loss(self, batch: Batch, made_a: Tensor, made_b: Tensor) -> Loss:
        (fake_a, *same_a), (fake_b, *same_b) = (made.split(len(batch.x)) for made in (made_a, made_b))
        logits = self.logits(fake_b, batch.c)
        terms = {
            "adversarial": self.objective.g(logits),
            "adversarial back": self.objective.g(in_full(self.D_X(self.augmented(fake_a), batch.c))),
            "cycle": self.cycle * l1(in_full(self.F(fake_b)), batch.a),
            "cycle back": self.cycle * l1(in_full(self.G(fake_a)), batch.x),
        }
        if self.identity:
            weight = self.cycle * self.identity
            terms["identity"] = weight * l1(in_full(same_b[0]), batch.x)
            terms["identity back"] = weight * l1(in_full(same_a[0]), batch.a)
        return Loss(terms, self.seen("fake", logits, " after"))

    def both_d_loss(self, batch: Batch, fake_a: Tensor, fake_b: Tensor) -> Loss:
        real, fake = self.logits(batch.x, batch.c), self.logits(fake_b, batch.c)
        real_a, fake_a = (in_full(self.D_X(self.augmented(x), batch.c)) for x in (batch.a, fake_a))
        terms = self.objective.d(real, fake)
        back = {f"{name} back": term for name, term in self.objective.d(real_a, fake_a).items()}
        return Loss({**terms, **back}, {**self.seen_reals(real), **self.seen("fake", fake)})

    def adjust(self, average_: Average, num_images: int) -> None:
        super().adjust(average_, num_images)
        for pool in self.pools.values():
            pool.keep(average_, num_images)

    def forget(self) -> None:
        super().forget()
        for pool in self.pools.values():
            pool.fresh = []

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """An image of a, there, and back; one of b, there, and back."""
        there, back = networks["G"](batch.a), networks["F"](batch.x)
        return {
            "input": batch.a,
            "output": there,
            "and back": networks["F"](there),
            "target": batch.x,
            "output back": back,
            "and there": networks["G"](back),
        }
