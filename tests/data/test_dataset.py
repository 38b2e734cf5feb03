import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.dataset import Dataset, prepare
from gannet.data.sources import Folder, Zip
from gannet.errors import UserError


@pytest.fixture
def settings(tmp_path: Path) -> Data:
    return Data(resolution=8, cache=str(tmp_path / "cache"))


def fill(folder: Path, num: int = 20, classes: int = 0) -> Path:
    for i in range(num):
        path = folder / (f"c{i % classes}/{i}.png" if classes else f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 2 * i, 3 * i)).save(path)
    return folder


def first_values(dataset: Dataset) -> list[int]:
    return dataset.images[:, 0, 0, 0].tolist()


def test_images_labels_and_names_are_in_order(tmp_path: Path, settings: Data) -> None:
    source = Folder(fill(tmp_path / "d", 6, classes=2))
    dataset = prepare(source, replace(settings, labels=True), 3)
    assert dataset.images.shape == (6, 3, 8, 8)
    assert dataset.images.dtype == np.uint8
    assert first_values(dataset) == [0, 2, 4, 1, 3, 5]
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert list(dataset.names) == source.names
    assert dataset.classes == ("c0", "c1")
    assert isinstance(dataset.images, np.memmap)
    assert len(dataset.held_out) == 0


def test_without_labels_there_are_no_classes(tmp_path: Path, settings: Data) -> None:
    dataset = prepare(Folder(fill(tmp_path / "d", 6, classes=2)), settings, 3)
    assert dataset.classes == ()
    assert not dataset.labels.any()
    with pytest.raises(UserError, match="has no classes"):
        prepare(Folder(fill(tmp_path / "e")), replace(settings, labels=True), 3)


def test_labels_leave_the_hash_of_the_pixels_as_it_is(tmp_path: Path, settings: Data) -> None:
    source = Folder(fill(tmp_path / "d", 12, classes=3))
    plain, labelled = (prepare(source, replace(settings, labels=labels), 3) for labels in (False, True))
    assert plain.pixels == labelled.pixels and plain.fingerprint != labelled.fingerprint
    split = prepare(source, replace(settings, held_out=0.3), 3)
    assert len({plain.pixels, split.pixels, prepare(Folder(fill(tmp_path / "e", 11)), settings, 3).pixels}) == 3


def test_zip_and_folder_give_the_same_data(tmp_path: Path, settings: Data) -> None:
    folder = fill(tmp_path / "d", 12, classes=3)
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder).as_posix())
    settings = replace(settings, labels=True, held_out=0.3)
    a, b = prepare(Folder(folder), settings, 3), prepare(Zip(tmp_path / "d.zip"), settings, 3)
    assert a.fingerprint == b.fingerprint
    assert np.array_equal(a.images, b.images)
    assert np.array_equal(a.held_out, b.held_out)
    assert a.cache != b.cache


def spoil(folder: Path) -> None:
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) - 30])
    (folder / "3.png").write_bytes(b"")
    (folder / "5.png").write_text("not an image")


def test_bad_files_are_named_and_left_out(tmp_path: Path, settings: Data) -> None:
    folder = fill(tmp_path / "d")
    spoil(folder)
    with pytest.raises(UserError, match=r"3 of 20 images cannot be read: 1.png .*--data.max-unreadable 1") as caught:
        prepare(Folder(folder), settings, 3)
    assert "\n" not in str(caught.value)
    dataset = prepare(Folder(folder), replace(settings, max_unreadable=0.15), 3)
    assert [name for name, _ in dataset.unreadable] == ["1.png", "3.png", "5.png"]
    assert dict(dataset.unreadable)["3.png"] == "the file is empty"
    assert first_values(dataset) == [0, 2, 4, *range(6, 20)]
    assert list(dataset.names) == [f"{i}.png" for i in first_values(dataset)]


def test_nothing_readable_is_one_line(tmp_path: Path, settings: Data) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the 1 images can be read: a.png \(the file is empty\)"):
        prepare(Folder(tmp_path / "d"), replace(settings, max_unreadable=1), 3)


def wide_folder(folder: Path) -> Path:
    folder.mkdir()
    for i, (low, high) in enumerate([(1000, 2000), (2000, 3000)]):
        values = np.full((8, 8), low, np.uint16)
        values[4:] = high
        Image.fromarray(values).save(folder / f"{i}.png")
    return folder


def test_one_range_maps_all_wide_images(tmp_path: Path, settings: Data) -> None:
    folder = wide_folder(tmp_path / "d")
    dataset = prepare(Folder(folder), settings, 1)
    assert dataset.images[:, 0, [0, 7], 0].tolist() == [[0, 128], [128, 255]]
    Image.new("L", (8, 8), 77).save(folder / "2.png")
    mixed = prepare(Folder(folder), settings, 1)
    assert mixed.images[:, 0, 0, 0].tolist() == [0, 128, 77]


def test_percentiles_leave_extreme_values_out(tmp_path: Path, settings: Data) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    values = np.arange(1000, 1064, dtype=np.uint16).reshape(8, 8)
    values[0, 0], values[7, 7] = 0, 65535
    for i, scaled in enumerate([values, values.astype(np.float32) / 65535]):
        name = folder / f"{i}.tif"
        Image.fromarray(scaled).save(name)
        dataset = prepare(Folder(folder), replace(settings, range=(2.0, 98.0)), 1)
        got = dataset.images[0, 0].ravel().astype(int)
        assert got[0] == 0 and got[-1] == 255
        expected = np.clip((values.ravel().astype(float) - 1001) / 61 * 255, 0, 255)
        assert abs(got - expected).max() <= 5
        name.unlink()


def test_held_out_images_are_apart_and_stay_so(tmp_path: Path, settings: Data) -> None:
    folder = fill(tmp_path / "d", 80)
    settings = replace(settings, held_out=0.25)
    dataset = prepare(Folder(folder), settings, 3)
    train, aside = set(first_values(dataset)), set(dataset.held_out[:, 0, 0, 0].tolist())
    assert not train & aside
    assert len(train) + len(aside) == 80
    assert 10 <= len(aside) <= 30
    for i in range(80):
        os.utime(folder / f"{i}.png", ns=(10**18, 10**18))
    Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / "a new one.png")
    later = set(prepare(Folder(folder), settings, 3).held_out[:, 0, 0, 0].tolist())
    assert later - {200} == aside


def test_copies_of_an_image_stay_on_one_side(tmp_path: Path, settings: Data) -> None:
    folder = fill(tmp_path / "d", 40)
    for i in range(40):
        (folder / f"copy {i}.png").write_bytes((folder / f"{i}.png").read_bytes())
    dataset = prepare(Folder(folder), replace(settings, held_out=0.5), 3)
    assert not set(first_values(dataset)) & set(dataset.held_out[:, 0, 0, 0].tolist())


@pytest.mark.parametrize("by", ["regex", "csv"])
def test_groups_never_straddle_the_split(tmp_path: Path, settings: Data, by: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for i in range(60):
        Image.new("RGB", (8, 8), (i // 4, i, 0)).save(folder / f"p{i // 4}_{i}.png")
    table = tmp_path / "groups.csv"
    table.write_text("file,group\n" + "".join(f"p{i // 4}_{i}.png,{i // 4}\n" for i in range(60)))
    group_by = r"^(p\d+)_" if by == "regex" else str(table)
    dataset = prepare(Folder(folder), replace(settings, held_out=0.3, group_by=group_by), 3)
    train, aside = set(first_values(dataset)), set(dataset.held_out[:, 0, 0, 0].tolist())
    assert train and aside and not train & aside
    assert train | aside == set(range(15))


@pytest.mark.parametrize(
    ("group_by", "says"),
    [
        ("(", "not a regular expression"),
        ("abc", r"has no \(...\)"),
        ("^(x)", "does not match 20 of 20 files, such as '0.png'"),
        (r"^(1)", "does not match 9 of 20 files, such as '0.png'"),
        (r"()", "all images belong to one"),
        ("missing.csv", "cannot read data.group_by"),
        ("columns.csv", "columns file,group"),
        ("part.csv", "has no group for 19 of 20 files, such as '1.png'"),
        ("twice.csv", "puts '0.png' into two groups"),
    ],
)
def test_a_split_that_cannot_be_made_is_one_line(tmp_path: Path, settings: Data, group_by: str, says: str) -> None:
    (tmp_path / "columns.csv").write_text("name,who\na,b\n")
    (tmp_path / "part.csv").write_text("file,group\n0.png,b\n")
    (tmp_path / "twice.csv").write_text("file,group\n0.png,a\n0.png,b\n")
    group_by = str(tmp_path / group_by) if group_by.endswith(".csv") else group_by
    with pytest.raises(UserError, match=says) as caught:
        prepare(Folder(fill(tmp_path / "d")), replace(settings, held_out=0.2, group_by=group_by), 3)
    assert "\n" not in str(caught.value)


def test_progress_ends_with_all(tmp_path: Path, settings: Data) -> None:
    calls: list[tuple[int, int]] = []
    prepare(Folder(fill(tmp_path / "d", 70)), settings, 3, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (70, 70)
    assert calls == sorted(calls)


def test_what_is_held_out_has_its_labels(tmp_path: Path, settings: Data) -> None:
    """Image i is of class i modulo 2, and its first value is i."""
    folder = Folder(fill(tmp_path / "images", classes=2))
    dataset = prepare(folder, replace(settings, labels=True, held_out=0.4), 3)
    assert len(dataset.held_out) and (dataset.held_out[:, 0, 0, 0] % 2 == dataset.held_out_labels).all()


def test_a_class_that_is_held_out_altogether_is_none(tmp_path: Path, settings: Data) -> None:
    folder = Folder(fill(tmp_path / "images", classes=3))
    split = replace(settings, labels=True, held_out=1e-9, group_by="c(.)/")
    dataset = prepare(folder, split, 3)
    assert len(dataset.classes) == 2 and set(dataset.labels) == {0, 1}
    assert len(dataset.held_out) and (dataset.held_out_labels == -1).all()
