"""How far clips are from others: in what their frames show, and in how they move.

The usual measure is FVD (Unterthiner et al. 2018), in the features of I3D, a network for video whose weights
cannot be had without a download. These two are ours, in the features of a network for images. The first sees
single frames and no motion at all. The second sees motion as an image: three grey frames as red, green and blue,
so that what stands still is grey and what moves has fringes, as wide as it is fast. It does not see what takes
longer than three frames. (Of 100 drawn clips of 8 frames, those of half the speed are 4.0 times as far as real
ones, and frames in a wrong order 2.6 times; by the differences of the frames' features it was 1.5 and 1.2 times.)
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gannet.evaluation.estimate import Estimate
from gannet.evaluation.extractors import colours
from gannet.evaluation.frechet import Space, frechet_of

STEPS = (0, 1, 3)  # frames on, of red, green and blue
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Clips:
    """What is seen of `num` clips of `num_frames` that come batch by batch: in their frames, and in their motion.

    `extract` makes features `[N, d]` of uint8 images `[N, C, H, W]`.
    """

    def __init__(self, extract: Callable[[np.ndarray], Tensor], num: int, num_frames: int):
        self.extract, moving = extract, num_frames - steps_of(num_frames)[-1]
        self.frames, self.motion = Space(num, rows=num_frames), Space(num, rows=moving)

    def add(self, clips: np.ndarray) -> None:
        """Takes N more, uint8 `[N, T, C, H, W]`; of single frames (T of 1) there is no motion."""
        self.frames.add(self.extract(clips.reshape(-1, *clips.shape[2:])))
        if clips.shape[1] > 1:
            self.motion.add(self.extract(fringes(clips)))


def frame_distance(one: Clips, other: Clips, are_pairs: bool = False) -> Estimate:
    """The Frechet distance of the features of single frames, its interval over clips; see `frechet_of`."""
    return frechet_of(one.frames, other.frames, are_pairs)


def motion_distance(one: Clips, other: Clips, are_pairs: bool = False) -> Estimate:
    """The Frechet distance of the features of `fringes`: large for stills, leaps, flicker and another speed."""
    return frechet_of(one.motion, other.motion, are_pairs)


def fringes(clips: np.ndarray) -> np.ndarray:
    """Clips uint8 `[N, T, C, H, W]` to images of motion uint8 `[N * M, 3, H, W]`, of which each clip gives M.

    Each has the luma of frames t, t + 1 and t + 3 as its channels, or of frames as far as the clip reaches; t
    goes on as long as there are such frames. C is 1, 3 or 4: premultiplied colour lies over white.
    """
    num, frames = clips.shape[:2]
    rgb = colours(torch.from_numpy(clips.reshape(-1, *clips.shape[2:])))
    grey = torch.einsum("nchw,c->nhw", rgb, rgb.new_tensor(LUMA)).unflatten(0, (num, frames))
    steps = steps_of(frames)
    many = frames - steps[-1]
    images = torch.stack([grey[:, step : step + many] for step in steps], dim=2).flatten(0, 1)
    return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def steps_of(num_frames: int) -> list[int]:
    """How many frames on red, green and blue are, in clips of so many."""
    return [min(step, num_frames - 1) for step in STEPS]
