"""Perceptual path length (Karras et al. 2019, "A style-based generator architecture", section 4.1)."""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate, bootstrapped

EPSILON = 1e-4
CUT = (0.01, 0.99)

Space = Literal["w", "z"]
Sampling = Literal["full", "end"]


@torch.inference_mode()
def path_length(
    pairs: Iterable[tuple[Tensor, Tensor]],
    w_of: Callable[[Tensor], Tensor],
    images_of: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    space: Space = "w",
    sampling: Sampling = "full",
    seed: int = 0,
) -> Estimate:
    """How far the image moves as its latent moves, over the square of the step: the less, the smoother the latents.

    `pairs` gives batches of two ends z, `[N, z_dim]` each. In `w` the way between them is straight from w to w, in
    `z` it is an arc, mapped afterwards; its point is anywhere on it (`full`) or at its first end (`end`), and the
    step is 1e-4 of the way. `distance` of two batches of images `[N, C, R, R]` as `images_of` makes them is the
    squared perceptual one, `[N]` (`gannet.evaluation.perceptual.Lpips`). `images_of` has to give the same image for
    the same w, noise inputs included, and not rounded to levels. The lowest and the highest hundredth are cut, as
    in the paper's own code, and the images are whole. The interval is over all pairs: what is
    cut counts in it as the longest or shortest that is left (Tukey and McLaughlin 1963). Raises `UserError` where a
    length is no number.
    """
    random = np.random.Generator(np.random.Philox(seed))
    found = []
    for one, other in pairs:
        at = torch.from_numpy(random.random(len(one)) if sampling == "full" else np.zeros(len(one)))
        ends = (w_of(one), w_of(other)) if space == "w" else (one, other)
        between = [_between(space, *ends, place.to(one.dtype).to(one.device)) for place in (at, at + EPSILON)]
        images = [images_of(point if space == "w" else w_of(point)) for point in between]
        found.append(distance(*images).cpu().double() / EPSILON**2)
    lengths = torch.cat(found).numpy()
    if not np.isfinite(lengths).all():
        raise UserError("path lengths are not finite: the generator makes images that are no numbers")
    lowest = np.quantile(lengths, CUT[0], method="lower")
    highest = np.quantile(lengths, CUT[1], method="higher")
    kept = lengths[(lowest <= lengths) & (lengths <= highest)]
    influences = lengths.clip(lowest, highest) / (len(kept) / len(lengths))
    return bootstrapped(float(kept.mean()), torch.from_numpy(influences), lowest=0.0)


def _between(space: Space, one: Tensor, other: Tensor, at: Tensor) -> Tensor:
    """The point at `at` `[N]` on the ways from `one` to `other` `[N, ...]`: straight in w, an arc in z."""
    at = at.view(-1, *[1] * (one.ndim - 1))
    if space == "w":
        return torch.lerp(one, other, at)
    # Shoemake 1985, "Animating rotation with quaternion curves", section 3.3.
    angle = torch.acos(torch.cosine_similarity(one, other, dim=1).clamp(-1, 1))[:, None]
    return (torch.sin((1 - at) * angle) * one + torch.sin(at * angle) * other) / torch.sin(angle)
