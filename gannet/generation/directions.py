"""Directions in which the latents of a trained G change its images, found from G alone, without labels.

Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs"; Härkönen et al. 2020, "GANSpace:
discovering interpretable GAN controls".
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.files import write_with
from gannet.images import grid, png, side_by_side

if TYPE_CHECKING:
    from gannet.generation.load import Generator

Method = Literal["factorised", "components"]

SAMPLES = 2000  # that means, deviations and components are of
BATCH = 64
STEPS = (-3, -2, -1, 0, 1, 2, 3)  # of the pictures, in standard deviations
SHOWN = 3  # images in a picture


@dataclass(frozen=True)
class Directions:
    """Ways to move latents, the strongest first."""

    vectors: np.ndarray
    """float32 `[K, dim]`: what is added to a latent; each is one standard deviation of the latents along it."""
    shares: np.ndarray
    """float32 `[K]`: of all that changes, in what the method looks at, the part along each."""
    space: Literal["z", "w"]
    """What latents they move."""
    method: Method

    def save(self, path: Path) -> None:
        """Writes an .npz of the four, without pickle."""
        write_with(path, lambda file: np.savez(file, **vars(self)))


class Space:
    """The latents of a G that are moved, `[N, dim]`: its w where it has one, else its z; of one class or of all."""

    def __init__(self, G: "Generator", label: int | None):
        self.G, self.label = G, label
        self.name: Literal["z", "w"] = "w" if G.has_w else "z"

    def draw(self, start: int, num: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Latents number `start` to `start + num` of a seed, and their c."""
        c = self.G.one_hot(self.G.label_numbers(num, self.label, start))
        z = self.G.z(seed, start, num)
        return (self.G.w(z, c)[:, 0] if self.G.has_w else z), c

    def images(self, latents: Tensor, c: Tensor) -> Tensor:
        """`[N, C, R, R]`; of clips `[N, frames * C, R, R]`."""
        if not self.G.has_w:
            return self.G.images(latents, c)
        return self.G.images_of(self.layered(latents))

    def layered(self, w: Tensor) -> Tensor:
        """w `[N, w_dim]` once for each layer."""
        return w[:, None].expand(-1, self.G.styled().num_layers, -1)


@torch.inference_mode()
def find_directions(
    G: "Generator", num: int, method: Method = "factorised", label: int | str | None = None
) -> Directions:
    """The `num` strongest directions, of w where G has one, else of z.

    `factorised` are the eigenvectors of A^T A with the largest eigenvalues (Shen and Zhou 2021, section 3), where
    A is all that layers which take the latent as it is make of it: one below the other, without their biases.
    `components` are the principal components of w; without a w those of the features that come of the first layer,
    each taken back to z by least squares (Härkönen et al. 2020, section 2). They are of 2,000 samples,
    of the class `label` where one is named. Signs are such that the largest number is positive. Raises `UserError`
    for more directions than the latent has numbers, and for a G that goes on from first frames.
    """
    if getattr(G.network, "given_channels", 0):
        raise UserError("this generator goes on from first frames, and directions are of those that start from noise")
    space = Space(G, None if label is None else G.label_number(label))
    latents = space.draw(0, SAMPLES)[0].cpu().double()
    dim = latents.shape[1]
    if not 1 <= num <= dim:
        raise UserError(f"--num is {num}, and must be from 1 to {dim}, as {space.name} has so many numbers")
    if method == "factorised":
        values, vectors = spectrum(factor(space))
    elif G.has_w:
        values, vectors = spectrum(torch.cov(latents.T))
    else:
        values, vectors = regressed(features(space), latents)
    vectors = vectors[:num]
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    if G.has_w:
        vectors = vectors * (latents @ vectors.T).std(0)[:, None]
    shares = values[:num] / values.sum()
    return Directions(vectors.float().numpy(), shares.float().numpy(), space.name, method)


def spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues `[n]` of a symmetric matrix, the largest first, and its eigenvectors as rows `[n, n]`."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0).clamp(min=0), vectors.T.flip(0)


def factor(space: Space) -> Tensor:
    """A^T A, float64 `[dim, dim]`."""
    (latents, _), total = space.draw(0, 1), torch.zeros((), dtype=torch.float64)
    for layer, shape, numbers in first_layers(space)[0]:
        at = (numbers >= 0).nonzero().squeeze(1)
        unit = latents.new_zeros(latents.shape[1] + 1, len(numbers))  # the last row stays 0, for the bias
        unit[numbers[at], at] = 1
        made = layer(unit.reshape(-1, *shape)).flatten(1).cpu().double()
        made = made[:-1] - made[-1:]
        total = total + made @ made.T
    return total


def features(space: Space) -> Tensor:
    """What the first layers, their norm and activation make of `SAMPLES` samples: `[SAMPLES, features]`.

    It is what the next layer is given; of a G without one, its images.
    """
    layer, found = first_layers(space)[1], []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].cpu())
        raise EnoughError

    handle = layer.register_forward_pre_hook(keep) if layer is not None else None
    try:
        for start in range(0, SAMPLES, BATCH):
            with suppress(EnoughError):
                found.append(space.images(*space.draw(start, min(BATCH, SAMPLES - start))).cpu())
    finally:
        if handle is not None:
            handle.remove()
    return torch.cat(found).reshape(SAMPLES, -1)


class EnoughError(Exception):
    """What is asked for is known, and the rest of G need not be computed."""


def regressed(features: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Variances `[N]` of the principal components of features `[N, F]`, and the z that goes with each: `[dim, dim]`.

    The coordinates of samples along different components are not correlated, so that least squares has one
    solution a component: the mean of z times the coordinate, here brought to length 1.
    """
    centred = features - features.mean(0)
    values, coordinates = spectrum((centred @ centred.T).double() / len(features))
    vectors = coordinates[: z.shape[1]] @ (z - z.mean(0))
    return values, nn.functional.normalize(vectors)


def first_layers(space: Space) -> tuple[list[tuple[nn.Module, torch.Size, Tensor]], nn.Module | None]:
    """The layers that are given numbers of the latent as they are, and the first one after them, if any.

    Each comes with the shape of what it is given for one image, and with which number of the latent each value of
    that is: `[values]`, -1 for none.
    """
    latents, _ = space.draw(0, 2)
    c = space.draw(0, 1)[1].expand(2, -1)  # so that what differs hangs on the latents
    calls: list[tuple[nn.Module, Tensor]] = []
    layers = [module for module in space.G.network.modules() if has_matrix(module)]
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: calls.append((layer, inputs[0]))) for layer in layers
    ]
    try:
        space.images(latents, c)
    finally:
        for handle in handles:
            handle.remove()
    first, later = [], []
    for layer, x in calls:
        each = x.reshape(len(latents), -1)  # frames come one after another
        numbers = which(each, latents)
        if len(x) == len(latents) and (numbers >= 0).any():
            first.append((layer, x.shape[1:], numbers))
        elif first and not torch.equal(*each):
            later.append(layer)
    return first, later[0] if later else None


def has_matrix(module: nn.Module) -> bool:
    """Whether it has weights that mix what it is given, as norms have not."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim > 1


def which(x: Tensor, latents: Tensor) -> Tensor:
    """Which number of its latent each value of x `[2, n]` is, by latents `[2, dim]`: `[n]`, -1 for none."""
    values, order = latents[0].sort()
    number = order[torch.searchsorted(values, x[0].contiguous()).clamp(max=len(values) - 1)]
    return torch.where((x == latents[:, number]).all(0), number, -1)


def draw_directions(
    G: "Generator",
    found: Directions,
    out: Path,
    seed: int = 0,
    label: int | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Writes what each direction does as a picture, and all in one, to the folder `out`.

    In `direction_01.png` a row is one image of the seed, and its columns are moved by -3 to 3 standard deviations; the
    middle one is the image itself. In `overview.png` a row is a direction, and each block another image. Of clips it
    is the first frame.
    """
    space = Space(G, None if label is None else G.label_number(label))
    latents, c = space.draw(0, SHOWN, seed)
    steps = torch.tensor(STEPS, device=G.device)[:, None, None]
    files, strips = [], []
    for i, vector in enumerate(torch.from_numpy(found.vectors).to(G.device)):
        moved = [space.images(latents + step * vector, c)[:, : G.channels] for step in steps]
        strips.append(np.stack([G.to_uint8(x) for x in moved], axis=1))
        files.append(out / f"direction_{i + 1:02}.png")
        save_grid(files[-1], [strips[-1].reshape(-1, *strips[-1].shape[2:])])
        if progress:
            progress(i + 1, len(found.vectors))
    blocks = [np.concatenate([strip[i] for strip in strips]) for i in range(SHOWN)]
    save_grid(out / "overview.png", blocks)
    return [*files, out / "overview.png"]


def save_grid(path: Path, blocks: Sequence[np.ndarray]) -> None:
    """Blocks of images `[N, C, R, R]` side by side, a column for each of `STEPS`."""
    picture = reduce(side_by_side, [grid(block, len(STEPS)) for block in blocks])
    write_with(path, lambda file: file.write(png(picture)))
