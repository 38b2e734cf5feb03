"""Distances of clips on drawn ones that are made to have a fault."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gannet.data.drawn import Moving
from gannet.evaluation.video import Clips, frame_distance, fringes, motion_distance

FRAMES = 8
NUM = 60
Fault = Callable[[np.ndarray], np.ndarray]


def pixels(images: np.ndarray) -> Tensor:
    """Features that need no network: how bright blocks of 8x8 are, and how colourful, `[N, 96]`."""
    x = torch.from_numpy(images).double() / 255
    return avg_pool2d(torch.cat([x, (x - x.roll(1, dims=1)).abs()], dim=1), 8).flatten(1)


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    """Twice `NUM` drawn clips, uint8 `[2 * NUM, FRAMES, 3, 32, 32]`."""
    videos = Moving()
    chosen = np.linspace(0, len(videos) - 1, 2 * NUM).round().astype(int)
    clips = [[np.asarray(frame) for frame in islice(videos.video(i), FRAMES)] for i in chosen]
    return np.array(clips).transpose(0, 1, 4, 2, 3)


@pytest.fixture(scope="module")
def unseen(moving: np.ndarray) -> Clips:
    return clips(moving[1::2])


def clips(some: np.ndarray) -> Clips:
    found = Clips(pixels, *some.shape[:2])
    for start in range(0, len(some), 25):
        found.add(some[start : start + 25])
    return found


def shuffled(some: np.ndarray) -> np.ndarray:
    """Each clip's frames in an order of its own."""
    random = np.random.Generator(np.random.Philox(1))
    return np.stack([clip[random.permutation(FRAMES)] for clip in some])


def still(some: np.ndarray) -> np.ndarray:
    return some[:, [0] * FRAMES]


def flickering(some: np.ndarray) -> np.ndarray:
    """Two frames in turn: each step is one of the data, and none leads anywhere."""
    return some[:, [0, 1] * (FRAMES // 2)]


def slower(some: np.ndarray) -> np.ndarray:
    """Half the speed."""
    return some[:, [i // 2 for i in range(FRAMES)]]


@pytest.mark.parametrize("fault", [shuffled, still, flickering, slower])
def test_clips_that_move_wrongly_are_far_from_real_ones(fault: Fault, moving: np.ndarray, unseen: Clips) -> None:
    right, wrong = clips(moving[::2]), clips(fault(moving[::2]))
    assert motion_distance(wrong, unseen).value > 1.5 * motion_distance(right, unseen).value


def test_the_order_of_frames_is_nothing_to_single_frames(moving: np.ndarray, unseen: Clips) -> None:
    right, wrong = clips(moving[::2]), clips(shuffled(moving[::2]))
    assert frame_distance(wrong, unseen).value == pytest.approx(frame_distance(right, unseen).value, rel=1e-6)


def test_faded_frames_are_far_from_real_ones(moving: np.ndarray, unseen: Clips) -> None:
    assert frame_distance(clips(moving[::2] // 2), unseen).value > 2 * frame_distance(clips(moving[::2]), unseen).value


def test_clips_are_as_far_from_themselves_as_nothing(unseen: Clips) -> None:
    assert frame_distance(unseen, unseen).value == pytest.approx(0, abs=1e-6)
    assert motion_distance(unseen, unseen).value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("frames", "shown"), [(5, [[0, 10, 30], [10, 20, 40]]), (4, [[0, 10, 30]]), (3, [[0, 10, 20]]), (2, [[0, 10, 10]])]
)
def test_fringes_are_frames_as_colours(frames: int, shown: list[list[int]]) -> None:
    """Frame t is flat, of level 10 t; grey and RGB alike."""
    clip = np.broadcast_to(10 * np.arange(frames, dtype=np.uint8)[None, :, None, None, None], (1, frames, 1, 2, 2))
    for channels in (1, 3):
        images = fringes(clip.repeat(channels, axis=2))
        assert images.dtype == np.uint8 and (images == images[..., :1, :1]).all()
        assert images[:, :, 0, 0].tolist() == shown


def test_what_stands_still_is_grey(moving: np.ndarray) -> None:
    images = fringes(still(moving[:2]))
    assert len(images) == 2 * (FRAMES - 3) and (images == images[:, :1]).all() and images.max() > 100


def test_colour_counts_by_its_luma_and_transparency_is_white() -> None:
    red = np.zeros((1, 2, 3, 1, 1), np.uint8)
    red[:, :, 0] = 255
    assert fringes(red).flatten().tolist() == [76, 76, 76]
    assert fringes(np.zeros((1, 2, 4, 1, 1), np.uint8)).flatten().tolist() == [255, 255, 255]


def test_single_frames_have_no_motion(moving: np.ndarray) -> None:
    alone = clips(moving[:, :1])
    assert alone.frames.gaussian.num == 2 * NUM and alone.motion.gaussian.num == 0
