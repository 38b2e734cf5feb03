"""A trained network that makes images of images, of any size: large ones in tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.config import Data
from gannet.errors import UserError
from gannet.images import to_float, to_uint8
from gannet.networks.translator import Translator

TILE = 512  # pixels that G makes at once, along each side
OVERLAP = 4  # a tile shares one such part of its side with the next
MARGIN = 4  # and of what they share, each leaves one such part at its edge to the other

Given = Literal["", "left half", "right half"]


@dataclass(frozen=True)
class ImageToImage:
    """A trained G that makes images of images, in eval mode and float32.

    Its dropout is off and batch norm has the statistics of training, so that an image becomes the same image
    each time, and tiles fit together. Isola et al. (2017, section 3.3) leave dropout on and take the statistics
    of what is translated.
    """

    network: Translator
    data: Data
    """How images were brought to the size of training: `resolution`, `fit`, `filter`, `alpha` and `range`."""
    channels: int
    device: torch.device
    tile: int = TILE
    """Pixels along the side of a tile, of what is made; at least those of training."""
    given: Given = ""
    """What of each image G was given, where it was trained on pairs side by side."""

    @property
    def scale(self) -> int:
        """How many times as wide and high G's images are as what it is given."""
        return self.network.scale

    @property
    def takes_whole(self) -> bool:
        """Whether an image is brought to the size of training, and what is made of it back to its own."""
        return self.scale == 1 and self.data.fit in ("stretch", "pad")

    @property
    def looks_at_all(self) -> bool:
        """Whether G halves its images down to one pixel, so that it is only given what is as large as in training."""
        return 1 < self.network.multiple == self.data.resolution // self.scale

    def in_parts(self, image: np.ndarray) -> bool:
        """Whether such a G is given uint8 `[H, W, C]` in parts, of which each may look other than the next."""
        parts = [len(self.cuts(side).starts) for side in image.shape[:2]]
        return self.looks_at_all and not self.takes_whole and max(parts) > 1

    def sample(self, *_: object, **__: object) -> NoReturn:
        """Raises `UserError`: there is no noise that it starts from."""
        raise UserError(
            "this G makes images of images, not of noise: use its translate(image), or gannet.translate for files"
        )

    def translate(self, image: np.ndarray) -> np.ndarray:
        """What G makes of an image, uint8 `[H, W, C]` to uint8 `[scale * H, scale * W, C]`.

        C is that of the training data; four channels are RGB premultiplied with alpha. Images may have any size.
        Where G was trained on whole images (`data.fit` stretch or pad) they are stretched or padded as there, and
        what is made of them gets their own size and aspect again; with crop or tiles, and where G enlarges, G
        sees them at their own size. What is smaller than in training, or no multiple of what G takes, goes on
        mirrored, and is cut back; what is larger is made in tiles (`in_tiles`). Raises `UserError` for an array
        of another kind.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels or not image.size:
            raise UserError(
                f"G takes images of uint8 [H, W, {self.channels}], and this one is {image.dtype} {list(image.shape)}:"
                " give the files to gannet.translate, which reads any image"
            )
        given = np.ascontiguousarray(image.transpose(2, 0, 1))
        made = self.fitted(given) if self.takes_whole else self.in_tiles(given)
        return np.ascontiguousarray(made.transpose(1, 2, 0))

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Stretched or padded as in training, translated, and back: uint8 `[C, H, W]`."""
        side, (height, width) = self.data.resolution, image.shape[1:]
        if self.data.fit == "stretch":
            made = self.in_tiles(resized(image, side, side, self.data.filter))
            return resized(made, height, width, self.data.filter)
        reduced = min(1.0, side / max(height, width))
        inner = max(1, round(height * reduced)), max(1, round(width * reduced))
        top, left = (side - inner[0]) // 2, (side - inner[1]) // 2
        square = np.full((len(image), side, side), 255 if self.data.alpha == "white" else 0, np.uint8)
        square[:, top : top + inner[0], left : left + inner[1]] = resized(image, *inner, self.data.filter)
        made = self.in_tiles(square)[:, top : top + inner[0], left : left + inner[1]]
        return resized(made, height, width, self.data.filter)

    @torch.inference_mode()
    def in_tiles(self, image: np.ndarray) -> np.ndarray:
        """uint8 `[C, H, W]` to uint8 `[C, scale * H, scale * W]`, each pixel a mean of the tiles that it lies in.

        From one tile to the next the weights change along a line, which begins and ends some way from the edges of
        both: what G makes there does not yet see far enough.
        """
        scale, (height, width) = self.scale, image.shape[1:]
        rows, columns = self.cuts(height), self.cuts(width)
        padded = np.pad(image, ((0, 0), (0, rows.size - height), (0, columns.size - width)), mode="reflect")
        made = np.empty((len(image), scale * rows.size, scale * columns.size), np.uint8)
        band = torch.zeros(len(image), scale * rows.side, scale * columns.size)  # that the tiles of a row lie in
        for top, below, down in zip(rows.starts, [*rows.starts[1:], rows.size], rows.weights(scale), strict=True):
            for left, across in zip(columns.starts, columns.weights(scale), strict=True):
                part = self.whole(padded[:, top : top + rows.side, left : left + columns.side])
                band[:, :, scale * left :][:, :, : part.shape[2]] += part * torch.from_numpy(np.outer(down, across))
            done = scale * (below - top)
            made[:, scale * top : scale * below] = to_uint8(band[None, :, :done])[0]
            band = torch.cat([band[:, done:], torch.zeros_like(band[:, :done])], dim=1)
        return made[:, : scale * height, : scale * width]

    def whole(self, tile: np.ndarray) -> Tensor:
        """G of one tile uint8 `[C, H, W]`, on CUDA too in whole float32, as float32 on the CPU."""
        a = to_float(torch.from_numpy(tile.copy()).to(self.device))[None]
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.network(a)[0].float().cpu()

    def cuts(self, num: int) -> "Cuts":
        """The tiles along a side of `num` pixels.

        Tiles begin at multiples of `multiple` where they overlap enough so, since G treats other shifts otherwise.
        To a G that `looks_at_all` they are as large as in training: of larger ones its innermost layers would see
        what they have never learned.
        """
        step, least = self.network.multiple, self.data.resolution // self.scale
        side = least if self.looks_at_all else max(self.tile // self.scale // step * step, least)
        if num <= side:
            size = max(rounded_up(num, step), least)
            return Cuts(size, size, [0])
        far = side - side // OVERLAP
        step = step if step <= far else 1
        size = rounded_up(num, step)
        return Cuts(size, side, [*range(0, size - side, far - far % step), size - side])


@dataclass(frozen=True)
class Cuts:
    """One side of an image, `size` pixels long, and the tiles of `side` pixels that cover it."""

    size: int
    side: int
    starts: Sequence[int]

    def weights(self, scale: int = 1) -> list[np.ndarray]:
        """How much each tile counts at its pixels, once enlarged: float32 `[scale * side]`; at each pixel 1 in all."""
        x = np.arange(scale * self.size) + 0.5
        begun = [np.ones(len(x))]
        for before, start in zip(self.starts, self.starts[1:], strict=False):
            margin = (before + self.side - start) // MARGIN
            low, high = scale * (start + margin), scale * (before + self.side - margin)
            begun.append(((x - low) / (high - low)).clip(0, 1))
        begun.append(np.zeros(len(x)))
        each = zip(self.starts, begun, begun[1:], strict=False)
        return [(own - later)[scale * start :][: scale * self.side].astype(np.float32) for start, own, later in each]


def rounded_up(num: int, step: int) -> int:
    """The first multiple of `step` from `num` on."""
    return -(-num // step) * step


def resized(image: np.ndarray, height: int, width: int, filter_: str) -> np.ndarray:
    """uint8 `[C, H, W]` to uint8 `[C, height, width]`, bicubic and antialiased, or nearest."""
    if image.shape[1:] == (height, width):
        return image
    x = to_float(torch.from_numpy(image.copy()))[None]
    if filter_ == "nearest":
        return to_uint8(interpolate(x, size=(height, width), mode="nearest-exact"))[0]
    return to_uint8(interpolate(x, size=(height, width), mode="bicubic", antialias=True))[0]
