import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gannet.images import (
    GAP,
    grid,
    over_checkerboard,
    png,
    premultiply,
    side_by_side,
    to_float,
    to_pil,
    to_uint8,
    unpremultiply,
)

bytes_ = st.integers(0, 255)


def pixel(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(1, 1, len(values))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, 0), (1, 255), (-1.5, 0), (7, 255), (0.0, 128), (-0.001, 127), (0.0039, 128), (-0.99, 1), (0.5, 191)],
)
def test_floats_are_rounded_and_clipped(value: float, expected: int) -> None:
    assert to_uint8(torch.full((1, 1, 1, 1), value)).item() == expected


@given(bytes_)
def test_uint8_goes_through_floats_unchanged(value: int) -> None:
    x = to_float(torch.full((1, 3, 2, 2), value, dtype=torch.uint8))
    assert x.dtype == torch.float32
    assert x[0, 0, 0, 0].item() == pytest.approx(value / 127.5 - 1, abs=1e-6)
    assert (to_uint8(x) == value).all()


def test_to_uint8_leaves_its_input_and_orders_channels_first() -> None:
    x = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    before = x.detach().clone()
    images = to_uint8(x)
    assert torch.equal(x, before)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous and images.shape == (2, 3, 4, 5)
    assert to_uint8(x.bfloat16()).shape == (2, 3, 4, 5)


def test_premultiplied_by_hand() -> None:
    assert premultiply(pixel(200, 100, 1, 128)).ravel().tolist() == [100, 50, 1, 128]
    assert premultiply(pixel(200, 100, 1, 0)).ravel().tolist() == [0, 0, 0, 0]
    assert premultiply(pixel(200, 100, 1, 255)).ravel().tolist() == [200, 100, 1, 255]


def test_straight_again_by_hand() -> None:
    assert unpremultiply(pixel(100, 50, 1, 128)).ravel().tolist() == [199, 100, 2, 128]
    assert unpremultiply(pixel(0, 0, 0, 0)).ravel().tolist() == [0, 0, 0, 0]


def test_colour_over_alpha_is_clipped() -> None:
    assert unpremultiply(pixel(200, 128, 255, 128)).ravel().tolist() == [255, 255, 255, 128]
    assert unpremultiply(pixel(255, 1, 0, 0)).ravel().tolist() == [255, 255, 0, 0]


@given(bytes_, st.integers(1, 255))
def test_straight_colour_comes_back_within_the_rounding(colour: int, alpha: int) -> None:
    back = unpremultiply(premultiply(pixel(colour, colour, colour, alpha)))
    assert abs(int(back[0, 0, 0]) - colour) <= 127.5 / alpha + 0.5
    assert back[0, 0, 3] == alpha


def test_checkerboard_by_hand() -> None:
    clear = np.zeros((1, 4, 16, 16), np.uint8)
    board = over_checkerboard(clear)
    assert board.shape == (1, 3, 16, 16)
    assert board[0, 0, 0, [0, 1, 2, 3, 4]].tolist() == [153, 153, 204, 204, 153]
    assert board[0, 0, [0, 2, 4], 0].tolist() == [153, 204, 153]
    clear[:, 3], clear[:, :3] = 255, 77
    assert (over_checkerboard(clear) == 77).all()
    clear[:, 3], clear[:, :3] = 128, 50
    assert over_checkerboard(clear)[0, 0, 0, 0] == 50 + round(153 * 127 / 255)


def test_more_colour_than_alpha_stays_white() -> None:
    image = np.full((1, 4, 8, 8), 250, np.uint8)
    image[:, 3] = 10
    assert (over_checkerboard(image) == 255).all()


@pytest.mark.parametrize(
    ("num", "columns", "rows", "across"), [(1, 0, 1, 1), (5, 0, 2, 3), (9, 0, 3, 3), (6, 2, 3, 2), (7, 5, 2, 5)]
)
def test_a_grid_has_its_rows_and_columns(num: int, columns: int, rows: int, across: int) -> None:
    images = np.zeros((num, 3, 200, 100), np.uint8)
    picture = grid(images, columns)
    scale = max(1, round(256 / (across * (100 + GAP) + GAP)))
    assert picture.size == (scale * (across * (100 + GAP) + GAP), scale * (rows * (200 + GAP) + GAP))


def test_each_image_lies_at_its_place() -> None:
    images = np.stack([np.full((1, 10, 20), 10 * (i + 1), np.uint8) for i in range(5)])
    picture = grid(images, 3)
    width = 3 * 22 + 2
    scale = round(256 / width)
    small = np.asarray(picture)[::scale, ::scale]
    assert small.shape == (2 * 12 + 2, width)
    for i in range(5):
        top, left = 12 * (i // 3) + 2, 22 * (i % 3) + 2
        assert (small[top : top + 10, left : left + 20] == 10 * (i + 1)).all()
    assert set(np.unique(small)) == {10, 20, 24, 30, 40, 50}


def test_small_grids_are_enlarged_without_smoothing() -> None:
    picture = grid(np.full((1, 1, 8, 8), 200, np.uint8))
    assert 180 <= picture.width <= 400
    assert set(np.unique(np.asarray(picture))) == {24, 200}


def test_files_hold_straight_alpha_and_grids_none() -> None:
    image = np.array([100, 50, 1, 128], np.uint8).reshape(4, 1, 1).repeat(16, 1).repeat(16, 2)
    with Image.open(io.BytesIO(png(to_pil(image)))) as picture:
        assert picture.mode == "RGBA"
        assert picture.getpixel((3, 3)) == (199, 100, 2, 128)
    assert grid(image[None]).mode == "RGB"


def test_two_pictures_side_by_side() -> None:
    left, right = Image.new("L", (30, 20), 200), Image.new("L", (40, 50), 100)
    pixels = np.asarray(side_by_side(left, right).convert("L"))
    assert (pixels[:20, :30] == 200).all() and (pixels[:50, -40:] == 100).all()
    assert not (pixels[:, :35] == 100).any() and not (pixels[:, -45:] == 200).any()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_the_mode_of_a_picture_follows_its_channels(channels: int, mode: str) -> None:
    assert to_pil(np.zeros((channels, 5, 7), np.uint8)).mode == mode
    assert to_pil(np.zeros((channels, 5, 7), np.uint8)).size == (7, 5)
