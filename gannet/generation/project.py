"""From an image to the latent of which G makes it (Karras et al. 2020, "Analyzing and improving the image quality of
StyleGAN", section 5 and appendix D)."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.generation.directions import Space

if TYPE_CHECKING:
    from gannet.generation.load import Generator

STEPS = 300
STARTS = 4
SAMPLES = 256  # of which the nearest are starts
BATCH = 16
RATE = 0.1  # of Adam, in deviations of the latents
RISE, FALL = 0.05, 0.25  # parts of all steps in which the rate rises and falls
NOISE, NOISY = 0.05, 0.75  # of the latents' deviation, at first, and the part of all steps in which it ends
BEYOND = 2.0  # how much longer than usual z may be: a hundredth or fewer of all z are longer than so

Distance = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Projection:
    """The latent that was found, and how near its image is."""

    latent: np.ndarray
    """float32: z `[1, z_dim]`, with classes c beside it, `[1, z_dim + num_classes]`; w `[1, num_layers, w_dim]`."""
    image: np.ndarray
    """What G makes of it: uint8 `[C, R, R]`."""
    distance: float
    of_samples: float
    """The median distance of samples, to compare with."""
    steps: int
    finished: bool
    """False where it was interrupted."""


def project(
    G: "Generator",
    distance: Distance,
    label: int | None = None,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """The latent of which G makes the image with the least `distance`, of images `[N, C, R, R]` to `[N]`.

    The latent is w, the same for all layers, where G has one, else z. Adam goes from several starts at once: the
    samples that are nearest, of 256, and the mean of w. The best latent of all steps and starts is kept, and Ctrl-C
    ends the search with the best so far, of the samples too. As in the paper the rate rises at first and falls at
    last, and noise that vanishes is added to the latents. The paper also moves G's noise inputs, with a penalty: here
    they stay as they are, so that the latent alone makes the image again. A z stays as short as nearly all z of
    N(0, 1) are, and c is that of its start, or `label`. Raises `UserError` for no steps, and for clips.
    """
    if steps < 1:
        raise UserError(f"--steps is {steps}, and must be at least 1")
    if G.frames > 1:
        raise UserError("this generator makes clips, and an image has no clip: name a run that makes images")
    search, done = Search(Space(G, label), distance), 0
    with suppress(KeyboardInterrupt):
        while done < steps and not search.interrupted:
            search.step(done / steps)
            done += 1
            if progress:
                progress(done, steps)
    return search.found(done, done == steps)


class Search:
    """Adam on latents `[S, dim]` from several starts, each for itself, and the best of all of them."""

    def __init__(self, space: Space, distance: Distance):
        self.space, self.distance, self.interrupted = space, distance, False
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        try:
            for first in range(0, SAMPLES, BATCH):
                latents, c = space.draw(first, BATCH)
                with torch.no_grad():
                    parts.append((latents, c, distance(space.images(latents, c))))
        except KeyboardInterrupt:
            self.interrupted = True
            if not parts:
                raise
        samples, c, away = (torch.cat(each) for each in zip(*parts, strict=True))
        self.of_samples = float(away.median())
        nearest = away.argsort()[:STARTS]
        self.c, starts = c[nearest], samples[nearest]
        self.least, self.best = float(away.min()), (samples[nearest[:1]], self.c[:1])
        if space.G.has_w:
            starts[-1] = samples.mean(0)
        self.latents = starts.requires_grad_()
        self.longest = math.inf if space.G.has_w else math.sqrt(samples.shape[1]) + BEYOND
        centred = samples - samples.mean(0)
        self.rate = RATE * float(centred.square().mean().sqrt())
        self.noise = NOISE * float(centred.square().sum(1).mean().sqrt())
        self.random = torch.Generator(samples.device).manual_seed(0)
        self.adam = torch.optim.Adam([self.latents])

    def step(self, now: float) -> None:
        """One step, `now` of the way from 0 to 1."""
        self.adam.param_groups[0]["lr"] = self.rate * ramp(now)
        strength = self.noise * max(1 - now / NOISY, 0) ** 2
        noise = torch.empty_like(self.latents).normal_(generator=self.random)
        latents = self.within(self.latents + strength * noise)
        away = self.distance(self.images(latents))
        least, nearest = away.detach().min(0)
        if float(least) < self.least:
            which = slice(int(nearest), int(nearest) + 1)
            self.least, self.best = float(least), (latents[which].detach(), self.c[which])
        self.adam.zero_grad()
        away.sum().backward()
        self.adam.step()
        with torch.no_grad():
            self.latents.copy_(self.within(self.latents))

    def within(self, latents: Tensor) -> Tensor:
        """Those that are too long, at the greatest length."""
        return latents * (self.longest / latents.detach().norm(dim=1, keepdim=True)).clamp(max=1)

    def images(self, latents: Tensor) -> Tensor:
        """As `Space.images`, with gradients; those of values cut off at -1 and 1 are as if they were not, else 0."""
        network: Any = self.space.G.network
        made = network.synthesis(self.space.layered(latents)) if self.space.G.has_w else network(latents, self.c)
        return made + (made.clamp(-1, 1) - made).detach()

    def found(self, steps: int, finished: bool) -> Projection:
        latent, c = self.best
        row = self.space.layered(latent) if self.space.G.has_w else torch.cat([latent, c], 1)
        with torch.no_grad():
            image = self.space.images(latent, c)
            least = float(self.distance(image)[0])
        pixels = self.space.G.to_uint8(image)[0]
        return Projection(row.cpu().numpy().copy(), pixels, least, self.of_samples, steps, finished)


def ramp(now: float) -> float:
    """The rate's part of its most, `now` of the way from 0 to 1: up a line, and down half a cosine."""
    rise, fall = min(1.0, (now + 0.01) / RISE), min(1.0, (1 - now) / FALL)
    return rise * (1 - math.cos(math.pi * fall)) / 2
