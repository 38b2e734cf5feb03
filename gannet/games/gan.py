"""The game of two: D tells reals from fakes, G fools it (Goodfellow et al. 2014).

Labels make it conditional (Mirza and Osindero 2014): G and D both see the c of the batch, which has
width 0 where there are no classes.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.games.turn import Batch, Draw, Loss, Noise, Now, Turn
from gannet.losses.adversarial import NonSaturating


class GAN:
    """Alternating steps (Goodfellow et al. 2014, algorithm 1): D `d_steps` times, then G `g_steps` times.

    G's first turn plays the fakes that D has just seen, or fresh ones with `fresh_noise`; its
    further turns always play fresh ones.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        objective: NonSaturating,
        *,
        d_steps: int = 1,
        g_steps: int = 1,
        fresh_noise: bool = False,
    ):
        if min(d_steps, g_steps) < 1:
            raise UserError("game.d_steps and game.g_steps must be at least 1")
        self.G, self.D, self.objective = networks["G"], networks["D"], objective
        self.d_steps, self.g_steps, self.fresh_noise = d_steps, g_steps, fresh_noise
        self.players = {"G": [self.G], "D": [self.D]}
        self.num_batches = d_steps

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        for _ in range(self.d_steps):
            batch = draw()
            fakes = now.fakes(lambda batch=batch: self.G(batch.z, batch.c), shared=not self.fresh_noise)
            yield Turn("D", learns="D", loss=lambda: self.d_loss(batch, fakes.detached()))
        for step in range(self.g_steps):
            if step or self.fresh_noise:
                noise = draw.noise()
                yield Turn("G", learns="G", loss=lambda: self.g_loss(self.G(noise.z, noise.c), noise.c))
            else:
                yield Turn("G", learns="G", loss=lambda: self.g_loss(fakes.attached(), batch.c))

    def d_loss(self, batch: Batch, fake: Tensor) -> Loss:
        real_logits = self.logits(batch.x, batch.c)
        fake_logits = self.logits(fake, batch.c)
        terms = {"real": self.objective.d_real(real_logits), "fake": self.objective.d_fake(fake_logits)}
        return Loss(terms, {**self.seen("real", "D(x)", real_logits), **self.seen("fake", "D(G(z))", fake_logits)})

    def g_loss(self, fake: Tensor, c: Tensor) -> Loss:
        logits = self.logits(fake, c)
        return Loss({"adversarial": self.objective.g(logits)}, {"D(G(z)) after": torch.sigmoid(logits.detach())})

    def logits(self, x: Tensor, c: Tensor) -> Tensor:
        """What D says of x, in float32 at least: losses are too fine for half precision."""
        logits = self.D(x, c)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @staticmethod
    def seen(kind: str, name: str, logits: Tensor) -> dict[str, Tensor]:
        """How D rates reals or fakes, and how often it is right."""
        logits = logits.detach()
        right = logits > 0 if kind == "real" else logits <= 0
        return {name: torch.sigmoid(logits), f"accuracy {kind}": right.float()}


class SimultaneousGAN(GAN):
    """One forward, both gradients from the same state, then both steps.

    D's gradient reaches the fakes of the very batch that G is judged on.
    """

    def __init__(self, networks: Mapping[str, nn.Module], objective: NonSaturating):
        super().__init__(networks, objective)

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        fakes = now.fakes(lambda: self.G(batch.z, batch.c))
        yield (
            Turn("D", learns="D", loss=lambda: self.d_loss(batch, fakes.detached())),
            Turn("G", learns="G", loss=lambda: self.g_loss(fakes.attached(), batch.c)),
        )


class HalvesGAN(GAN):
    """D steps on reals, then on fakes that G made in inference mode; then G `g_steps` times, fresh noise.

    The two halves are turns of the same name, so D's loss is reported as their mean.
    """

    def __init__(self, networks: Mapping[str, nn.Module], objective: NonSaturating, *, g_steps: int = 1):
        super().__init__(networks, objective, g_steps=g_steps)

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        yield Turn("D", learns="D", loss=lambda: self.d_real_loss(batch))
        fake = self.inferred(batch)
        yield Turn("D", learns="D", loss=lambda: self.d_fake_loss(fake, batch.c))
        for _ in range(self.g_steps):
            noise = draw.noise()
            yield Turn("G", learns="G", loss=lambda noise=noise: self.g_loss(self.G(noise.z, noise.c), noise.c))

    @torch.no_grad()
    def inferred(self, noise: Noise) -> Tensor:
        self.G.eval()
        fake = self.G(noise.z, noise.c)
        self.G.train()
        return fake

    def d_real_loss(self, batch: Batch) -> Loss:
        logits = self.logits(batch.x, batch.c)
        return Loss({"half": self.objective.d_real(logits)}, self.seen("real", "D(x)", logits))

    def d_fake_loss(self, fake: Tensor, c: Tensor) -> Loss:
        logits = self.logits(fake, c)
        return Loss({"half": self.objective.d_fake(logits)}, self.seen("fake", "D(G(z))", logits))
