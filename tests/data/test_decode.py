import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.decode import opaque, to_array

DATA = Data(resolution=4)


def reopened(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer)


def picture(values: object, mode: str | None = None) -> Image.Image:
    return Image.fromarray(np.array(values, np.uint8), mode)


def test_an_image_of_the_right_size_keeps_every_pixel() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for fit in ("crop", "pad", "stretch"):
        array = to_array(reopened(picture(pixels)), replace(DATA, fit=fit), 3, None)
        assert np.array_equal(array, pixels.transpose(2, 0, 1))


def test_colour_of_transparent_pixels_does_not_bleed() -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 1] = 255  # green, and fully transparent, on the left
    rgba[:, 4:] = (200, 0, 0, 255)
    array = to_array(reopened(picture(rgba)), replace(DATA, resolution=2), 4, None)
    assert array[1].max() == 0
    straight = array[0].astype(float) / np.maximum(array[3], 1) * 255
    assert abs(straight[:, 1] - 200).max() <= 1
    assert (array[:3] <= array[3]).all()


def test_half_transparent_pixels_are_premultiplied_and_opaque_ones_are_not_changed() -> None:
    rgba = np.full((4, 4, 4), 100, np.uint8)
    rgba[0, 0, 3] = 128
    rgba[1:, :, 3] = 255
    array = to_array(reopened(picture(rgba)), DATA, 4, None)
    assert array[:, 0, 0].tolist() == [50, 50, 50, 128]
    assert array[:, 2, 2].tolist() == [100, 100, 100, 255]


@pytest.mark.parametrize(("alpha", "value"), [("white", 255), ("black", 0), ("keep", 0)])
def test_transparent_images_are_laid_over_a_colour(alpha: Any, value: int) -> None:
    image = reopened(Image.new("RGBA", (4, 4), (9, 9, 9, 0)))
    assert to_array(image, replace(DATA, alpha=alpha), 3, None)[:, 1, 1].tolist() == [value] * 3


def test_images_without_alpha_are_opaque_in_four_channels() -> None:
    for mode in ("L", "RGB", "1", "P"):
        assert (to_array(reopened(Image.new(mode, (4, 4))), DATA, 4, None)[3] == 255).all()


def test_palette_with_transparency() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)
    array = to_array(reopened(image, transparency=0), DATA, 4, None)
    assert array[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert array[:, 0, 1].tolist() == [10, 20, 30, 255]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (3, 3)), (6, (0, 3)), (8, (3, 0))])
def test_exif_orientation_turns_the_image(orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("L", (4, 4))
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = to_array(reopened(image, exif=exif), DATA, 1, None)
    assert np.argwhere(array[0]).tolist() == [list(corner)]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_image() -> None:
    image = reopened(Image.new("L", (4, 4), 7), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert (to_array(image, DATA, 1, None) == 7).all()


def test_cmyk_grey_alpha_lab_and_one_bit() -> None:
    cyan = reopened(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF")
    assert to_array(cyan, DATA, 3, None)[:, 0, 0].tolist() == [0, 255, 255]
    grey = reopened(Image.new("LA", (4, 4), (100, 255)))
    assert to_array(grey, DATA, 1, None)[0, 0, 0] == 100
    one_bit = reopened(Image.new("1", (4, 4), 1))
    assert to_array(one_bit, DATA, 3, None).min() == 255
    lab = to_array(reopened(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF"), DATA, 3, None)
    assert lab.min() > 250
    assert opaque(Image.new("YCbCr", (4, 4), (255, 128, 128)), "black").getpixel((0, 0)) == (255, 255, 255)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    image = reopened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert to_array(image, DATA, 3, None)[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_made_of_colour_and_colour_made_of_grey() -> None:
    assert to_array(reopened(Image.new("RGB", (4, 4), (255, 0, 0))), DATA, 1, None)[0, 0, 0] == 76  # Rec. 601
    assert to_array(reopened(Image.new("L", (4, 4), 9)), DATA, 3, None)[:, 0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_mapped_by_the_levels_given(channels: int) -> None:
    values = np.array([[1000, 2000], [3000, 5000]], np.uint16).repeat(2, 0).repeat(2, 1)
    array = to_array(reopened(Image.fromarray(values)), DATA, channels, (1000, 3000))
    assert array[0, ::2, ::2].tolist() == [[0, 128], [255, 255]]  # 127.5 rounds to even
    assert array.shape == (channels, 4, 4)
    assert channels != 4 or (array[3] == 255).all()


def test_big_endian_float_and_integer_images() -> None:
    for image in (Image.fromarray(np.full((4, 4), 0.5, np.float32)), Image.new("F", (4, 4), 0.5)):
        assert to_array(reopened(image, "TIFF"), DATA, 1, (0, 1))[0, 0, 0] == 128
    wide = Image.new("I;16B", (4, 4), 300)
    assert to_array(reopened(wide, "TIFF"), DATA, 1, (0, 600))[0, 0, 0] == 128
    assert to_array(reopened(Image.new("I", (4, 4), -5), "TIFF"), DATA, 1, (-10, 0))[0, 0, 0] == 128


def test_values_that_are_no_numbers() -> None:
    values = np.array([[np.nan, 1], [np.inf, 3]], np.float32)
    array = to_array(Image.fromarray(values), replace(DATA, resolution=2), 1, (1, 3))
    assert array[0].tolist() == [[0, 0], [0, 255]]
    with pytest.raises(ValueError, match="no value"):
        to_array(Image.fromarray(values[:1, :1]), DATA, 1, (1, 3))


def test_crop_takes_the_centre() -> None:
    columns = np.arange(8, dtype=np.uint8)[None].repeat(4, 0)
    assert to_array(reopened(picture(columns)), DATA, 1, None)[0, 0].tolist() == [2, 3, 4, 5]
    assert to_array(reopened(picture(columns.T)), DATA, 1, None)[0, :, 0].tolist() == [2, 3, 4, 5]


def test_pad_shrinks_the_longer_side_and_leaves_small_images_at_their_size() -> None:
    wide = to_array(reopened(Image.new("L", (8, 4), 255)), replace(DATA, fit="pad"), 1, None)[0]
    assert wide.tolist() == [[0] * 4, [255] * 4, [255] * 4, [0] * 4]
    small = to_array(reopened(Image.new("L", (2, 1), 255)), replace(DATA, fit="pad"), 1, None)[0]
    assert np.argwhere(small).tolist() == [[1, 1], [1, 2]]
    clear = to_array(reopened(Image.new("RGBA", (2, 2), (255, 0, 0, 255))), replace(DATA, fit="pad"), 4, None)
    assert clear[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert clear[:, 1, 1].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "F"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pad_is_white_where_transparency_is(mode: str, channels: int) -> None:
    settings = replace(DATA, fit="pad", alpha="white")
    image = Image.new(mode, (2, 4), 0 if mode in "LF" else (0, 0, 0, 255)[: len(mode)])
    array = to_array(image, settings, channels, (0, 1))
    assert (array[:, :, [0, 3]] == 255).all()
    assert (array[:3, :, 1:3] == 0).all()


def test_stretch_keeps_both_ends() -> None:
    columns = np.array([0] * 4 + [255] * 4, np.uint8)[None].repeat(4, 0)
    array = to_array(reopened(picture(columns)), replace(DATA, fit="stretch", filter="nearest"), 1, None)
    assert array[0, 0].tolist() == [0, 0, 255, 255]


def test_nearest_makes_no_new_colours_and_bicubic_averages() -> None:
    stripes = np.array([0, 255] * 32, np.uint8)[None].repeat(64, 0)
    image = picture(stripes)
    assert set(np.unique(to_array(reopened(image), replace(DATA, filter="nearest"), 1, None))) <= {0, 255}
    assert abs(to_array(reopened(image), DATA, 1, None).astype(int) - 127).max() < 10


def test_one_pixel_and_thin_images() -> None:
    for size in ((1, 1), (300, 1), (1, 300)):
        for fit in ("crop", "pad", "stretch"):
            assert to_array(Image.new("RGB", size, "red"), replace(DATA, fit=fit), 3, None).shape == (3, 4, 4)


def test_large_jpeg_is_near_to_what_full_decoding_gives() -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    jpeg = reopened(picture(ramp), "JPEG", quality=95)
    array = to_array(jpeg, replace(DATA, resolution=32), 1, None)
    exact = to_array(reopened(picture(ramp)), replace(DATA, resolution=32), 1, None)
    assert abs(array.astype(int) - exact).max() <= 2


def test_files_on_disk_close(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        to_array(image, DATA, 1, None)
    (tmp_path / "a.png").unlink()
