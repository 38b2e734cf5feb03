"""From the decoded images to batches on the device: reals, labels and noise.

Which images, how they are enlarged, flipped and jittered, which z and which labels: all follow from (seed,
number of the image) alone, so micro-batches and ranks change nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.config import Data
from gannet.data.dataset import Dataset
from gannet.data.loader import order
from gannet.images import to_float
from gannet.noise import Stream, normal, uniform

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, as torchvision's adjust_contrast has it
RESIDENT_BLOCK = 4096  # images copied at once
RESIDENT_SHARE = 0.25  # of an accelerator's free memory that the images may fill
OTHER = 2**63  # added to the seed for the set that is unpaired: no run has such a seed


@dataclass(frozen=True)
class Noise:
    """What G starts from: z `[N, z_dim]`, one-hot labels c `[N, num_classes]` (width 0 without)."""

    z: Tensor
    c: Tensor


@dataclass(frozen=True)
class Batch(Noise):
    """Noise, as many reals x `[N, C, R, R]` in [-1, 1] that have the labels c, and what G is given, a.

    Of pairs a is `[N, C, R, R]`, flipped, enlarged and jittered as x; of unpaired sets an image of the other
    one; else of width 0, `[N, 0, R, R]`. The frames of clips stand one after another along the channels of x:
    `[N, frames * C, R, R]`.
    """

    x: Tensor
    a: Tensor


class Loader:
    """The images of a data set, and the noise of a run, by number."""

    def __init__(self, dataset: Dataset, settings: Data, seed: int, z_dim: int, device: torch.device):
        self.dataset, self.settings, self.seed, self.z_dim, self.device = dataset, settings, seed, z_dim, device
        self.num_classes = len(dataset.classes)
        self.other = type(self)(dataset.other, settings, seed + OTHER, 0, device) if dataset.other else None
        self.images: Tensor | None = None
        if device.type == "cuda" and dataset.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.images = torch.empty(dataset.images.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(dataset.images), RESIDENT_BLOCK):
                block = np.array(dataset.images[start : start + RESIDENT_BLOCK])
                self.images[start : start + len(block)] = torch.from_numpy(block).to(device)

    def reals(self, start: int, num: int) -> tuple[Tensor, Tensor]:
        """Reals number `start` to `start + num` of the run, enlarged, flipped and jittered, and their labels.

        Of pairs both images, as in `Dataset.images`.
        """
        x, c = self.at(order(self.seed, start, num, len(self.dataset.images), self.settings.replacement))
        if self.settings.enlarge:
            places = uniform(self.seed, Stream.CROP, start, num, 2)
            x = enlarged(x, self.settings.enlarge, places, self.settings.filter == "nearest")
        if self.settings.flip or self.settings.jitter:
            u = torch.from_numpy(uniform(self.seed, Stream.REALS, start, num, 4)).float()
            mirrored, *factors = u.to(self.device, non_blocking=True)[:, :, None, None, None].unbind(1)
            x = torch.where(mirrored < 0.5, x.flip(3), x) if self.settings.flip else x
            x = self.jittered(x, factors) if self.settings.jitter else x
        return x, c

    def jittered(self, x: Tensor, factors: list[Tensor]) -> Tensor:
        """All images of an item alike."""
        many = self.settings.num_frames
        each = x.unflatten(1, (many, -1)).flatten(0, 1)
        each = jitter(each, self.settings.jitter, *(factor.repeat_interleave(many, 0) for factor in factors))
        return each.unflatten(0, (-1, many)).flatten(1, 2)

    def given(self, x: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """a and x of a `Batch`, of the reals number `start` and on."""
        if self.settings.kind == "pairs":
            a, x = (half.contiguous(memory_format=torch.channels_last) for half in x.chunk(2, dim=1))
            return a, x
        return (self.other.reals(start, len(x))[0] if self.other else x[:, :0]), x

    def at(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """The images of these indices, as they are, and their labels."""
        if self.images is not None:
            x = self.images[torch.from_numpy(chosen).to(self.device, non_blocking=True)]
        else:
            x = torch.from_numpy(self.dataset.images[chosen]).to(self.device, non_blocking=True)
        x = to_float(x).contiguous(memory_format=torch.channels_last)
        return x, self.one_hot(self.dataset.labels[chosen])

    def fixed(self, num: int) -> tuple[Tensor, Tensor]:
        """a and x of `num` items that are always the same: of those held out where there are any, else of all."""
        dataset = self.dataset
        images = dataset.held_out if len(dataset.held_out) else dataset.images
        chosen = np.linspace(0, len(images) - 1, num).round().astype(int)
        x = to_float(torch.from_numpy(images[chosen]).to(self.device)).contiguous(memory_format=torch.channels_last)
        a, x = self.given(x, 0)
        return (self.other.fixed(num)[1] if self.other else a), x

    def noise(self, start: int, num: int, stream: Stream = Stream.TRAIN) -> Tensor:
        """z number `start` to `start + num` of the run."""
        return torch.from_numpy(normal(self.seed, stream, start, num, self.z_dim)).to(self.device, non_blocking=True)

    def labels(self, start: int, num: int) -> Tensor:
        """Labels for noise that comes without reals, as frequent as in the data."""
        numbers = order(self.seed + 1, start, num, len(self.dataset.images), True)
        return self.one_hot(self.dataset.labels[numbers])

    def one_hot(self, labels: np.ndarray) -> Tensor:
        """int64 `[N]` to float `[N, num_classes]`, of width 0 without classes."""
        classes = np.arange(self.num_classes)
        return torch.from_numpy((labels[:, None] == classes).astype(np.float32)).to(self.device, non_blocking=True)


class Draw:
    """One share of the batches of one iteration; each draw is a fresh one.

    `cur_nimg` reals and `num_z` noises came before this iteration; each draw of the iteration takes
    `batch` more, of which this share is `size`.
    """

    def __init__(
        self,
        loader: Loader,
        reseed: Callable[[int], None],
        cur_nimg: int,
        num_z: int,
        batch: int,
        share: int,
        size: int,
    ):
        self.loader, self.reseed, self.batch, self.size = loader, reseed, batch, size
        self.next_real, self.next_z = cur_nimg, num_z
        self.offset = share * size

    def __call__(self) -> Batch:
        start = self.next_real + self.offset
        x, c, z = self.take(lambda: self.loader.reals(start, self.size))
        self.next_real += self.batch
        a, x = self.loader.given(x, start)
        return Batch(x=x, c=c, z=z, a=a)

    def noise(self) -> Noise:
        c, z = self.take(lambda: (self.loader.labels(self.next_z + self.offset, self.size),))
        return Noise(z=z, c=c)

    def take(self, what: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        self.reseed(self.next_z)
        taken = (*what(), self.loader.noise(self.next_z + self.offset, self.size))
        self.next_z += self.batch
        return taken


def enlarged(x: Tensor, fraction: float, places: np.ndarray, nearest: bool) -> Tensor:
    """Each image enlarged by `fraction` and cut back to its size, which is the "random jitter" of pix2pix.

    The places, `[N, 2]` in (0, 1), say where: from the topmost to the lowest row, from the left to the right.
    Pixels are interpolated linearly, or repeated with `nearest` (Isola et al. 2017, appendix 6.2).
    """
    size = x.shape[2]
    more = round(size * fraction)
    mode = "nearest-exact" if nearest else "bilinear"
    x = interpolate(x, size=(size + more, size + more), mode=mode)
    first = torch.from_numpy((places * (more + 1)).astype(np.int64)).to(x.device, non_blocking=True)
    rows, columns = (first[:, :, None] + torch.arange(size, device=x.device)).unbind(1)
    item = torch.arange(len(x), device=x.device)
    return x[item[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def jitter(x: Tensor, strength: float, brightness: Tensor, contrast: Tensor, contrast_first: Tensor) -> Tensor:
    """Brightness and contrast of each image times its own factors from 1 - s to 1 + s, in either order.

    The factors and the order come as uniform numbers `[N, 1, 1, 1]` in (0, 1). In [0, 1] and clipped
    after each, as torchvision's `ColorJitter(brightness=s, contrast=s)`. Alpha, where there is a
    fourth channel, stays, and colour does not exceed it.
    """
    colour = (x[:, :3] + 1) / 2
    brightness, contrast = (1 + strength * (2 * u - 1) for u in (brightness, contrast))
    one = _contrast((colour * brightness).clamp_(0, 1), contrast)
    other = (_contrast(colour, contrast) * brightness).clamp_(0, 1)
    colour = torch.where(contrast_first < 0.5, other, one)
    if x.shape[1] == 4:
        colour = torch.minimum(colour, (x[:, 3:] + 1) / 2)
    return torch.cat([colour * 2 - 1, x[:, 3:]], dim=1)


def _contrast(colour: Tensor, factor: Tensor) -> Tensor:
    weights = colour.new_tensor(GREY if colour.shape[1] == 3 else (1.0,))
    mean = torch.einsum("nchw,c->nhw", colour, weights).mean((1, 2)).reshape(-1, 1, 1, 1)
    return (factor * colour + (1 - factor) * mean).clamp_(0, 1)
