from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gannet.data.scan import evenly, left_out, scan
from gannet.data.sources import Folder, open_source

REAL = Path(__file__).parents[3] / "shared" / "data"


def sprites(folder: Path, scale: int = 1, mode: str = "RGBA") -> Path:
    """Symmetric creatures of 16x16 with an outline, four colours and no smoothing."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        palette = rng.integers(40, 256, (4, 3))
        body = np.hypot(*np.mgrid[-7.5:8.5, -7.5:8.5]) < rng.uniform(5, 7)
        half = rng.integers(0, 4, (16, 8))
        image = np.zeros((16, 16, 4), np.uint8)
        image[..., :3] = palette[np.concatenate([half, half[:, ::-1]], 1)]
        image[..., 3] = 255
        image[~body] = 0
        Image.fromarray(image.repeat(scale, 0).repeat(scale, 1)).convert(mode).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("ending", "num", "moves"),
    [("gif", 2, True), ("webp", 2, True), ("gif", 1, False), ("tif", 2, False), ("png", 2, False)],
)
def test_animations_are_told_from_images_and_pages(tmp_path: Path, ending: str, num: int, moves: bool) -> None:
    for name in "ab":
        first, *more = (Image.new("L", (9, 9), 99 * i) for i in range(num))
        first.save(tmp_path / f"{name}.{ending}", save_all=True, append_images=more)
    Image.new("L", (9, 9)).save(tmp_path / "still.png")
    assert scan(Folder(tmp_path)).animated == moves


def test_an_animation_torn_in_its_second_frame_is_an_image(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8)
    first, *more = map(Image.fromarray, random)
    first.save(tmp_path / "whole.gif", save_all=True, append_images=more)
    whole = (tmp_path / "whole.gif").read_bytes()
    second = whole.index(b"\x2c", whole.index(b"\x21\xf9", 1500))  # its descriptor, behind the first frame's pixels
    for cut in range(second + 1, second + 9):
        (tmp_path / "torn.gif").write_bytes(whole[:cut])
        found = scan(Folder(tmp_path))
        assert (found.num, found.unreadable) == (2, [])


def test_headers_and_channels(tmp_path: Path) -> None:
    Image.new("RGB", (10, 20), (5, 5, 5)).save(tmp_path / "a.png")
    Image.new("L", (30, 8)).save(tmp_path / "b.jpg")
    Image.new("L", (50, 60)).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_text("no image")
    (tmp_path / "e.txt").write_text("text")
    found = scan(Folder(tmp_path))
    assert found.num == 4
    assert found.formats == {"PNG": 2, "JPEG": 1}
    assert found.modes == {"L": 2, "RGB": 1}
    assert (found.width, found.height) == ((10, 30, 50), (8, 20, 60))
    assert found.channels == 1  # grey, though one is stored as RGB
    assert not found.wide
    assert found.unreadable == [("d.png", "not an image of a known kind")]
    assert found.ignored == 1
    Image.new("RGB", (10, 20), (5, 6, 5)).save(tmp_path / "a.png")
    assert scan(Folder(tmp_path)).channels == 3


def test_four_channels_only_where_something_is_transparent(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert scan(Folder(tmp_path)).channels == 3
    Image.new("LA", (8, 8), (1, 254)).save(tmp_path / "b.png")
    assert scan(Folder(tmp_path)).channels == 4


def test_wide_values_are_seen(tmp_path: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.uint16)).save(tmp_path / "a.tif")
    found = scan(Folder(tmp_path))
    assert found.wide
    assert found.channels == 1


def test_classes_count_what_can_be_read(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "b/2.png").write_bytes(b"")
    assert scan(Folder(tmp_path)).classes == {"a": 2, "b": 1}
    (tmp_path / "b/1.png").write_bytes(b"")
    (tmp_path / "c").mkdir()
    found = scan(source := Folder(tmp_path))
    assert found.classes == {"a": 2}
    assert left_out(source, found) == ["c", "b"]


def test_nothing_readable_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    found = scan(Folder(tmp_path))
    assert (found.num, found.width, len(found.unreadable)) == (1, (0, 0, 0), 1)


@pytest.mark.parametrize(("scale", "mode"), [(1, "RGBA"), (4, "RGBA"), (8, "RGB"), (1, "P"), (2, "1")])
def test_sprites_are_pixel_art(tmp_path: Path, scale: int, mode: str) -> None:
    assert scan(Folder(sprites(tmp_path / "s", scale, mode))).pixel_art


def test_smooth_pictures_of_few_colours_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        image = Image.new("L", (256, 256))
        x, y, r = rng.integers(90, 160, 3)
        ImageDraw.Draw(image).ellipse((x - r // 2, y - r // 2, x + r // 2, y + r // 2), fill=255)
        image.resize((32, 32), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    assert not scan(Folder(tmp_path)).pixel_art


def test_blank_and_large_images_are_not(tmp_path: Path) -> None:
    (tmp_path / "blank").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "blank/a.png")
    assert not scan(Folder(tmp_path / "blank")).pixel_art
    assert not scan(Folder(sprites(tmp_path / "s", 16))).pixel_art


@pytest.mark.parametrize(
    ("name", "channels", "classes"),
    [("mnist5k", 1, 10), ("emoji_google", 3, 10), ("skimage_faces25", 1, 2), ("glyphs_book", 1, 26)],
)
def test_real_images(name: str, channels: int, classes: int) -> None:
    if not (REAL / f"{name}.zip").exists():
        pytest.skip("shared/data is not on this machine")
    found = scan(open_source(str(REAL / f"{name}.zip"), Path()))
    assert not found.pixel_art
    assert found.channels == channels
    assert len(found.classes) == classes
    assert not found.unreadable


def test_evenly() -> None:
    assert evenly(range(5), 9) == [0, 1, 2, 3, 4]
    assert evenly(range(100), 3) == [0, 50, 99]
