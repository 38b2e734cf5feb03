"""The game of two: D tells reals from fakes, G fools it (Goodfellow et al. 2014).

Labels make it conditional (Mirza and Osindero 2014): G and D both see the c of the batch, which has
width 0 where there are no classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.games.turn import Batch, Draw, Loss, Noise, Now, Pieces, Turn
from gannet.losses.adversarial import Separable
from gannet.losses.penalties import best
from gannet.losses.regularisers import Judged
from gannet.memory import memories


class GAN:
    """Alternating steps (Goodfellow et al. 2014, algorithm 1): D `d_steps` times, then G `g_steps` times.

    G's first turn plays the fakes that D has just seen, or fresh ones with `fresh_noise`; its
    further turns always play fresh ones. A penalty of every step joins its player's turn; one of
    every k-th iteration has a turn of its own, k times as strong (Karras et al. 2020, section 3.1).
    With a `top_k` below 1 G learns from that fraction of its fakes alone, those that D finds most real
    (Sinha et al. 2020, section 3): of each share of the batch, where it is cut into shares.
    """

    kinds: ClassVar[tuple[str, ...]] = ("images", "clips")
    built: ClassVar[Mapping[str, str]] = {"G": "G", "D": "D"}
    labels_for_d: ClassVar[bool] = True
    pictures_for_d: ClassVar[int] = 1
    has_targets: ClassVar[bool] = False
    """Whether fake number i should be real number i."""
    start_kimg = 0.0
    G: nn.Module

    @classmethod
    def classes(cls, found: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The classes that G is asked for: the data's, as they were found."""
        return found

    def __init__(
        self,
        pieces: Pieces,
        *,
        d_steps: int = 1,
        g_steps: int = 1,
        fresh_noise: bool = False,
        top_k: float = 1.0,
    ):
        if min(d_steps, g_steps) < 1:
            raise UserError("game.d_steps and game.g_steps must be at least 1")
        if not 0 < top_k <= 1:
            raise UserError(f"game.top_k is {top_k}, and must be above 0 and at most 1: a fraction of the fakes")
        self.G, self.D, self.objective = pieces.networks["G"], pieces.networks["D"], pieces.objective
        self.check_g()
        self.penalties, self.augment, self.channels = pieces.penalties, pieces.augment, pieces.channels
        for name, penalty in self.penalties.items():
            if penalty.needs_targets and not self.has_targets:
                raise UserError(
                    f"the penalty {name} compares each image with the one that it should be, which this game does not"
                    " know: leave it out"
                )
        if self.augment.steered and self.objective.boundary is None:
            raise UserError(
                "this augmentation follows how sure D is of reals, which the logits of this objective do not say: set"
                " --augment.target 0 and --augment.p 0.2, or another objective"
            )
        self.signs: list[Tensor] = []
        self.d_steps, self.g_steps, self.fresh_noise, self.top_k = d_steps, g_steps, fresh_noise, top_k
        self.players = {"G": [self.G], "D": [self.D]}
        self.networks: dict[str, nn.Module] = {}
        self.num_batches = d_steps
        self.memories = memories([self.G, self.D, *self.penalties.values()])

    def check_g(self) -> None:
        """Raises `UserError` for a G that makes images of something else than the game gives it."""
        if hasattr(self.G, "multiple"):
            raise other_g("noise", "dcgan")
        if given_channels(self.G):
            raise UserError("this G goes on from first frames: set --game.name prediction, or --G.given 0")

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        for step in range(1, self.d_steps + 1):
            batch, is_last = draw(), step == self.d_steps
            shared = is_last and not self.fresh_noise
            fakes = now.fakes(lambda batch=batch: self.play(batch), shared)
            yield Turn("D", learns="D", loss=lambda: self.d_loss(batch, fakes.detached()))
            yield from self.lazy("D", now, lambda: self.judged(batch, fakes.detached(), batch))
        for step in range(self.g_steps):
            if step or self.fresh_noise:
                noise = draw.noise()
                yield Turn("G", learns="G", loss=lambda: self.g_loss(self.G(noise.z, noise.c), noise, batch))
            else:
                yield Turn("G", learns="G", loss=lambda: self.g_loss(fakes.attached(), batch, batch))
        yield from self.lazy("G", now, lambda: self.judged(batch, fakes.detached(), batch))

    def play(self, batch: Batch) -> Tensor:
        """G's fakes for a batch."""
        return self.G(batch.z, batch.c)

    def judged(self, batch: Batch, fake: Tensor, noise: Noise, *logits: Tensor | None) -> Judged:
        """The batch's reals, and fakes made of `noise`; logits are D's of reals and of fakes."""
        return Judged(
            self.D, self.G, batch.x, batch.c, fake, noise.z, noise.c, self.augmented, *logits, channels=self.channels
        )

    def lazy(self, player: str, now: Now, judged: Callable[[], Judged]) -> Iterator[Turn]:
        """The turns of the player's penalties that are not of every step, where they are due."""
        for name, penalty in self.penalties.items():
            if penalty.player == player and penalty.every > 1 and now.iteration % penalty.every == 0:
                yield Turn(
                    f"{player} {name}", player, lambda penalty=penalty, name=name: Loss({name: penalty(judged())})
                )

    def of_every_step(self, player: str, judged: Judged) -> dict[str, Tensor]:
        return {
            name: penalty(judged)
            for name, penalty in self.penalties.items()
            if penalty.player == player and penalty.every == 1
        }

    def d_loss(self, batch: Batch, fake: Tensor) -> Loss:
        return self.d_judged(batch, fake, self.logits(batch.x, batch.c), self.logits(fake, batch.c))

    def d_judged(self, batch: Batch, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> Loss:
        """D's loss, once it has rated its reals and fakes."""
        judged = self.judged(batch, fake, batch, real_logits, fake_logits)
        terms = {**self.objective.d(real_logits, fake_logits), **self.of_every_step("D", judged)}
        return Loss(terms, {**self.seen_reals(real_logits), **self.seen("fake", fake_logits)})

    def g_loss(self, fake: Tensor, noise: Noise, batch: Batch) -> Loss:
        """G's loss on its fakes; `batch` has the reals that a relativistic objective compares them with."""
        return self.g_judged(fake, noise, batch, self.logits(fake, noise.c))

    def g_judged(self, fake: Tensor, noise: Noise, batch: Batch, logits: Tensor) -> Loss:
        """G's loss, once D has rated its fakes."""
        real = [self.logits(batch.x, batch.c)] if self.objective.needs_real else []
        losses = self.objective.g(logits, *real)
        if self.top_k < 1:
            losses = best(losses, logits, max(1, round(self.top_k * len(logits))))
        judged = self.judged(batch, fake, noise, None, logits)
        return Loss({"adversarial": losses, **self.of_every_step("G", judged)}, self.seen("fake", logits, " after"))

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """Samples alone."""
        return {"sample": networks["G"](batch.z, batch.c)}

    def adjust(self, average_: Callable[[Sequence[Tensor]], None], num_images: int) -> None:
        """After an iteration: steers the augmentation, and moves what follows the means of batches."""
        noted = [each for memory in self.memories for each in memory.take()]
        signs, self.signs = self.signs, []
        sign = [torch.stack(signs).mean()] if signs else []
        if noted or sign:
            average_([*(each.mean for each in noted), *sign])
        for each in noted:
            each.move()
        if sign:
            self.augment.update(sign[0], num_images)

    def forget(self) -> None:
        """Drops what was noted in an iteration that failed, or by a forward between two."""
        self.signs = []
        for memory in self.memories:
            memory.take()

    def logits(self, x: Tensor, c: Tensor) -> Tensor:
        """What D says of x as it sees it."""
        return in_full(self.D(self.augmented(x), c))

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """What D says of x as it sees it, and the features that it says it from, in one forward."""
        D: Any = self.D
        logits, features = D.logits_and_features(self.augmented(x), c)
        return in_full(logits), features

    def augmented(self, x: Tensor) -> Tensor:
        """x as D sees it; pictures that D sees as one are changed alike."""
        channels = self.channels or x.shape[1]
        return self.augment(x, (channels,) * (x.shape[1] // channels))

    def seen_reals(self, logits: Tensor) -> dict[str, Tensor]:
        """`seen` for reals, and what the augmentation is steered by."""
        if self.augment.steered:
            self.signs.append(torch.sign(logits.detach() - (self.objective.boundary or 0.0)).mean())
        return {**self.seen("real", logits), **self.augment.stats()}

    def seen(self, kind: str, logits: Tensor, when: str = "") -> dict[str, Tensor]:
        """How D rates reals or fakes, and how often it is right, in the words that its objective allows."""
        logits, found = logits.detach(), {}
        if self.objective.classifier:
            found[("D(x)" if kind == "real" else "D(G(z))") + when] = torch.sigmoid(logits)
        else:
            found[f"logit {kind}{when}"] = logits
        if self.objective.boundary is not None and not when:
            is_real = logits > self.objective.boundary
            found[f"accuracy {kind}"] = (is_real if kind == "real" else ~is_real).to(logits.dtype)
        return found


def check_translator(G: nn.Module) -> None:
    """Raises `UserError` for a G that makes no images of images as large."""
    if getattr(G, "scale", 0) != 1:
        raise other_g("images", "unet or resnet-blocks")


def other_g(given: str, names: str) -> UserError:
    """What to say where a game needs another G."""
    return UserError(f"this game's G makes images of {given}, and this one does not: set --G.name {names}")


def given_channels(G: nn.Module) -> int:
    """Channels of the first frames that G is given, of all of them together; 0 where it starts from noise alone."""
    return int(getattr(G, "given_channels", 0))


def in_full(values: Tensor) -> Tensor:
    """In float32 at least: losses are too fine for half precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class SimultaneousGAN(GAN):
    """One forward, both gradients from the same state, then both steps.

    D's gradient reaches the fakes of the very batch that G is judged on.
    """

    def __init__(self, pieces: Pieces, *, top_k: float = 1.0):
        super().__init__(pieces, top_k=top_k)
        if any(penalty.every > 1 for penalty in self.penalties.values()):
            raise UserError("gan-simultaneous takes both steps at once: set `every` of its penalties to 1")

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        fakes = now.fakes(lambda: self.G(batch.z, batch.c))
        yield (
            Turn("D", learns="D", loss=lambda: self.d_loss(batch, fakes.detached())),
            Turn("G", learns="G", loss=lambda: self.g_loss(fakes.attached(), batch, batch)),
        )


class HalvesGAN(GAN):
    """D steps on reals, then on fakes that G made in inference mode; then G `g_steps` times, fresh noise.

    The two halves are turns of the same name, so D's loss is reported as their mean.
    """

    def __init__(self, pieces: Pieces, *, g_steps: int = 1, top_k: float = 1.0):
        super().__init__(pieces, g_steps=g_steps, top_k=top_k)
        if not isinstance(pieces.objective, Separable) or pieces.penalties:
            raise UserError(
                "gan-halves shows D reals and fakes apart: it takes no relativistic objective and no penalty"
            )
        self.halves = pieces.objective

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        yield Turn("D", learns="D", loss=lambda: self.d_real_loss(batch))
        fake = self.inferred(batch)
        yield Turn("D", learns="D", loss=lambda: self.d_fake_loss(fake, batch.c))
        for _ in range(self.g_steps):
            noise = draw.noise()
            yield Turn("G", "G", lambda noise=noise: self.g_loss(self.G(noise.z, noise.c), noise, batch))

    @torch.no_grad()
    def inferred(self, noise: Noise) -> Tensor:
        self.G.eval()
        fake = self.G(noise.z, noise.c)
        self.G.train()
        return fake

    def d_real_loss(self, batch: Batch) -> Loss:
        logits = self.logits(batch.x, batch.c)
        return Loss({"half": self.halves.d_real(logits)}, self.seen_reals(logits))

    def d_fake_loss(self, fake: Tensor, c: Tensor) -> Loss:
        logits = self.logits(fake, c)
        return Loss({"half": self.halves.d_fake(logits)}, self.seen("fake", logits))
