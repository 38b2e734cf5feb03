"""Large images cut into tiles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.cut import Tiles
from gannet.data.dataset import opened, prepare
from gannet.data.sources import Folder


class Counted(Folder):
    """A folder that notes which images are opened."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.opened: list[int] = []

    def open(self, i: int) -> Image.Image:
        self.opened.append(i)
        return super().open(i)


@pytest.fixture
def settings(tmp_path: Path) -> Data:
    return Data(source=str(tmp_path / "d"), fit="tiles", resolution=4, cache=str(tmp_path / "cache"))


def save(path: Path, width: int, height: int, first: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(width * height) + first).astype(np.uint8).reshape(height, width)
    Image.fromarray(pixels).save(path)
    return pixels


def test_tiles_lie_in_the_middle_from_left_to_right_and_down(tmp_path: Path, settings: Data) -> None:
    pixels = save(tmp_path / "d/a.png", 15, 9)
    dataset = prepare(opened(settings, Path()), settings, 1)
    corners = [(0, 1), (0, 5), (0, 9), (4, 1), (4, 5), (4, 9)]  # 15 = 1 + 3 * 4 + 2, and 9 = 0 + 2 * 4 + 1
    expected = [pixels[top : top + 4, left : left + 4] for top, left in corners]
    assert np.array_equal(dataset.images[:, 0], expected)
    assert list(dataset.names) == [f"a.png#{i}" for i in range(6)]


def test_turned_images_are_cut_as_they_are_looked_at(tmp_path: Path) -> None:
    pixels = save(tmp_path / "d/a.png", 8, 4)
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "d/b.png", exif=tags)
    source = Tiles(Folder(tmp_path / "d"), 4)
    assert len(source) == 4
    tiles = [np.asarray(source.open(i)) for i in range(4)]
    assert np.array_equal(tiles[:2], tiles[2:]) and np.array_equal(np.hstack(tiles[:2]), pixels)


def test_what_holds_no_tile_is_named(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "d/a.png", 4, 4)
    save(tmp_path / "d/small.png", 40, 3)
    (tmp_path / "d/void.png").write_bytes(b"")
    dataset = prepare(opened(settings, Path()), replace(settings, max_unreadable=0.7), 1)
    assert dataset.unreadable == [
        ("small.png", "40x3 is smaller than a tile of 4x4"),
        ("void.png", "the file is empty"),
    ]
    assert list(dataset.names) == ["a.png"]


def test_each_image_is_opened_once_to_be_cut(tmp_path: Path, settings: Data) -> None:
    for i in range(3):
        save(tmp_path / f"d/{i}.png", 12, 8)
    folder = Counted(tmp_path / "d")
    source = Tiles(folder, 4)
    folder.opened.clear()
    assert len(prepare(source, settings, 1).images) == 18
    assert sorted(folder.opened) == [0, 1, 2]


def test_labels_and_the_split_follow_the_image(tmp_path: Path, settings: Data) -> None:
    for i in range(20):
        save(tmp_path / f"d/{'xy'[i % 2]}/{i}.png", 8, 8, first=i)
    settings = replace(settings, held_out=0.3, labels=True)
    dataset = prepare(opened(settings, Path()), settings, 1)
    assert dataset.classes == ("x", "y")
    assert len(dataset.images) + len(dataset.held_out) == 80
    train = {name.split("#")[0] for name in dataset.names}
    assert len(dataset.images) == 4 * len(train) and 0 < len(train) < 20
    assert all(name.startswith("xy"[label]) for name, label in zip(dataset.names, dataset.labels, strict=True))


def test_keys_tell_the_tiles_and_the_sides_apart(tmp_path: Path) -> None:
    save(tmp_path / "d/a.png", 8, 8)
    folder = Folder(tmp_path / "d")
    keys = [source.key(i) for source in (Tiles(folder, 4), Tiles(folder, 2)) for i in range(len(source))]
    assert len(set(keys)) == len(keys) == 4 + 16
