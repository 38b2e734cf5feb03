"""Pairs of images: halves of one, or two of the same name; together in the cache, the split and the errors."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.dataset import Dataset, opened, prepare
from gannet.data.pairs import Halves, Matched, of_one_shape
from gannet.data.sources import Folder
from gannet.errors import UserError

ORIENTATION = 0x0112


@pytest.fixture
def settings(tmp_path: Path) -> Data:
    return Data(source=str(tmp_path / "a"), kind="pairs", resolution=4, cache=str(tmp_path / "cache"))


def save(path: Path, *values: int, size: int = 4) -> None:
    """Squares of these values side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(np.repeat(np.array([values], np.uint8), size, axis=0), size, axis=1)).save(path)


def decoded(settings: Data, channels: int = 1) -> Dataset:
    return prepare(opened(settings, Path()), settings, channels)


def values(images: np.ndarray) -> list[list[int]]:
    """The value of each image of each pair, which must be flat."""
    assert (images == images[:, :, :1, :1]).all()
    return images[:, :, 0, 0].tolist()


def test_the_left_half_comes_first_and_swap_turns_them(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "a/1.png", 10, 20)
    save(tmp_path / "a/2.png", 30, 40, size=9)
    dataset = decoded(settings)
    assert dataset.images.shape == (2, 2, 4, 4) and dataset.images.dtype == np.uint8
    assert values(dataset.images) == [[10, 20], [30, 40]]
    assert list(dataset.names) == ["1.png", "2.png"]
    swapped = decoded(replace(settings, swap=True))
    assert values(swapped.images) == [[20, 10], [40, 30]]
    assert swapped.fingerprint != dataset.fingerprint and swapped.cache != dataset.cache
    assert values(decoded(settings, 3).images) == [[10] * 3 + [20] * 3, [30] * 3 + [40] * 3]


def test_halves_are_cut_from_the_image_as_it_is_looked_at(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "a/upright.png", 10, 20)
    tags = Image.Exif()
    tags[ORIENTATION] = 6  # to be turned right by 90 degrees
    with Image.open(tmp_path / "a/upright.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a/turned.png", exif=tags)
    assert values(decoded(settings).images) == [[10, 20], [10, 20]]


def test_an_image_without_two_halves_is_named(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "a/1.png", 10, 20)
    Image.new("L", (7, 4)).save(tmp_path / "a/odd.png")
    dataset = decoded(replace(settings, max_unreadable=0.5))
    assert dataset.unreadable == [("odd.png", "7 pixels wide, which makes no two equal halves")]
    assert values(dataset.images) == [[10, 20]]


def test_two_folders_are_matched_by_name_without_extension(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "a/x/1.png", 1)
    save(tmp_path / "a/x/10.png", 10)
    save(tmp_path / "a/x/9.png", 9)
    save(tmp_path / "a/x/9.webp", 99)
    save(tmp_path / "a/alone.png", 7)
    save(tmp_path / "b/x/9.tif", 109, size=6)
    save(tmp_path / "b/x/10.bmp", 110)
    save(tmp_path / "b/x/1.png", 101)
    save(tmp_path / "b/1.png", 8)
    both = replace(settings, other=str(tmp_path / "b"))
    source = opened(both, Path())
    assert source.unmatched == ("a/alone.png", "a/x/9.webp", "b/1.png")
    assert list(source.names) == ["x/1.png", "x/9.png", "x/10.png"]
    assert values(prepare(source, both, 1).images) == [[1, 101], [9, 109], [10, 110]]
    swapped = decoded(replace(both, swap=True))
    assert values(swapped.images) == [[101, 1], [109, 9], [110, 10]]
    assert list(swapped.names) == list(source.names)


def test_folders_without_a_common_name_are_one_line(tmp_path: Path) -> None:
    save(tmp_path / "a/photo-1.png", 1)
    save(tmp_path / "b/map-1.png", 1)
    with pytest.raises(UserError, match=r"no image of a has the name of one of b.*photo-1.png and map-1.png") as caught:
        Matched(Folder(tmp_path / "a"), Folder(tmp_path / "b"))
    assert "\n" not in str(caught.value)


def test_the_key_changes_with_either_file(tmp_path: Path) -> None:
    def key() -> str:
        return Matched(Folder(tmp_path / "a"), Folder(tmp_path / "b")).key(0)

    save(tmp_path / "a/1.png", 1)
    save(tmp_path / "b/1.png", 2)
    before = key()
    assert key() == before
    os.utime(tmp_path / "a/1.png", ns=(1, 1))
    between = key()
    os.utime(tmp_path / "b/1.png", ns=(1, 1))
    assert len({before, between, key()}) == 3
    one = Folder(tmp_path / "a")
    assert len({one.key(0), Halves(one).key(0), Halves(one, swap=True).key(0)}) == 3


def test_a_pair_with_a_bad_image_is_left_out_whole(tmp_path: Path, settings: Data) -> None:
    for i in range(4):
        save(tmp_path / f"a/{i}.png", i)
        save(tmp_path / f"b/{i}.png", 100 + i)
    (tmp_path / "a/1.png").write_bytes(b"")
    (tmp_path / "b/2.png").write_text("no image")
    dataset = decoded(replace(settings, other=str(tmp_path / "b"), max_unreadable=0.5))
    assert dataset.unreadable == [("1.png", "the file is empty"), ("2.png", "not an image of a known kind")]
    assert values(dataset.images) == [[0, 100], [3, 103]]


@pytest.mark.parametrize("swap", [False, True])
def test_partners_of_other_shapes_are_named_unless_they_are_stretched(
    tmp_path: Path, settings: Data, swap: bool
) -> None:
    """A crop would show a part of the one beside the whole of the other. The name is of the first folder."""
    save(tmp_path / "a/1.png", 1)
    save(tmp_path / "b/1.png", 2, 2)
    save(tmp_path / "a/2.png", 3, 3)
    save(tmp_path / "b/2.png", 4, 4, size=9)
    both = replace(settings, other=str(tmp_path / "b"), swap=swap)
    dataset = decoded(replace(both, max_unreadable=0.5))
    reason = "it has 4x4 pixels, and its partner 8x4: crop both alike, or set --data.fit stretch"
    assert dataset.unreadable == [("1.png", reason)]
    assert len(dataset.images) == 1
    with pytest.raises(UserError, match=r"1 of 2 pairs cannot be read: 1\.png") as caught:
        decoded(both)
    assert "\n" not in str(caught.value)
    assert len(decoded(replace(both, fit="stretch")).images) == 2


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((100, 75), (33, 25), True), ((33, 25), (100, 76), True), ((4, 4), (6, 6), True), ((640, 480), (480, 640), False)],
)
def test_a_size_is_another_one_enlarged(one: tuple[int, int], other: tuple[int, int], expected: bool) -> None:
    assert of_one_shape(one, other) == of_one_shape(other, one) == expected


def test_held_out_pairs_stay_together(tmp_path: Path, settings: Data) -> None:
    for i in range(40):
        save(tmp_path / f"a/{i}.png", i)
        save(tmp_path / f"b/{i}.png", 100 + i)
    both = replace(settings, other=str(tmp_path / "b"), held_out=0.3)
    dataset = decoded(both)
    train, aside = values(dataset.images), values(dataset.held_out)
    assert 4 <= len(aside) <= 20 and len(train) + len(aside) == 40
    assert all(b == a + 100 for a, b in train + aside)
    assert decoded(replace(both, swap=True)).held_out[:, ::-1].tolist() == dataset.held_out.tolist()


def test_greys_of_16_bits_are_mapped_beside_those_of_8(tmp_path: Path, settings: Data) -> None:
    (tmp_path / "a").mkdir()
    for i, value in enumerate((1000, 2000)):
        Image.fromarray(np.full((4, 4), value, np.uint16)).save(tmp_path / f"a/{i}.png")
        save(tmp_path / f"b/{i}.png", 77)
    dataset = decoded(replace(settings, other=str(tmp_path / "b")))
    assert values(dataset.images) == [[0, 77], [255, 77]]


def test_pairs_have_no_labels(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "a/x/1.png", 1, 2)
    save(tmp_path / "a/y/1.png", 1, 2)
    assert opened(settings, Path()).classes == ()
    with pytest.raises(UserError, match="has no classes"):
        decoded(replace(settings, labels=True))
