import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.data import SOURCES
from gannet.data.shapes import NUM
from gannet.data.sources import Folder, Zip, class_folders, natural, open_source, shown
from gannet.errors import UserError


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def test_folder_finds_images_at_any_depth_and_leaves_out_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a/deep/er/c.JPG", ".hidden.png", ".git/d.png", "__MACOSX/e.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "x.png").mkdir()
    source = open_source(str(tmp_path), tmp_path)
    assert source.names == ["a/deep/er/c.JPG", "b.png"]
    assert source.ignored == 1
    assert source.classes == ()
    assert source.labels.tolist() == [0, 0]
    assert source.name == tmp_path.name


def test_samples_of_runs_below_a_folder_are_no_data(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png", "runs/first/samples/kimg1.png"):
        save(tmp_path / name)
    (tmp_path / "runs/first/recipe.toml").write_text("")
    source = Folder(tmp_path)
    assert (source.names, source.classes) == (["cat/a.png", "dog/b.png"], ("cat", "dog"))
    assert Folder(tmp_path / "runs/first/samples").names == ["kimg1.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_once_and_broken_ones_stay_in_the_list(tmp_path: Path) -> None:
    save(tmp_path / "data/a.png")
    save(tmp_path / "elsewhere/b.png")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/self").symlink_to(tmp_path / "data/self")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/broken.png").symlink_to(tmp_path / "nowhere.png")
    source = Folder(tmp_path / "data")
    assert source.names == ["a.png", "broken.png", "more/b.png"]
    assert "missing" in source.key(1)
    with pytest.raises(OSError):
        source.open(1)


@pytest.mark.parametrize("wrapper", ["", "top/", "top/images/"])
def test_class_folders_become_labels_in_natural_order(wrapper: str) -> None:
    names = [f"{wrapper}{k}/{i}.png" for k in ("10", "9", "2") for i in range(2)]
    classes, labels, _ = class_folders(names)
    assert classes == ("2", "9", "10")
    assert labels.tolist() == [2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "names", [["a.png", "b.png"], ["a/1.png", "a/2.png"], ["a/1.png", "b/2.png", "3.png"], ["x.png"]]
)
def test_no_classes_unless_all_images_lie_in_two_folders(names: list[str]) -> None:
    classes, labels, _ = class_folders(names)
    assert classes == ()
    assert not labels.any()


@pytest.mark.parametrize(
    ("names", "loose"),
    [
        (["a/1.png", "b/2.png", "3.png"], 1),
        (["top/a/1.png", "top/b/2.png", "top/3.png", "top/4.png"], 2),
        (["top/a/1.png", "top/b/2.png", "3.png"], 1),
        (["a/1.png", "2.png"], 0),
        (["1.png", "2.png"], 0),
        (["a/1.png", "b/2.png"], 0),
    ],
)
def test_images_beside_class_folders_are_loose(tmp_path: Path, names: list[str], loose: int) -> None:
    for name in names:
        save(tmp_path / name)
    assert Folder(tmp_path).loose == Zip(zipped(tmp_path, tmp_path.with_suffix(".zip"))).loose == loose


def test_labels_come_from_the_first_level_only() -> None:
    classes, labels, _ = class_folders(["cat/a/1.png", "cat/b/2.png", "dog/3.png"])
    assert classes == ("cat", "dog")
    assert labels.tolist() == [0, 0, 1]


def test_empty_class_folders_are_known(tmp_path: Path) -> None:
    save(tmp_path / "top/a/1.png")
    save(tmp_path / "top/b/deep/1.png")
    (tmp_path / "top/c").mkdir()
    (tmp_path / "top/c/raw").mkdir()  # part of what is told already
    (tmp_path / "top/a/raw").mkdir()
    (tmp_path / "test").mkdir()
    assert Folder(tmp_path).empty == ("test", "c")
    assert Zip(zipped(tmp_path, tmp_path / "z.zip")).empty == ("test", "c")


def test_zip_equals_the_folder_that_it_was_made_of(tmp_path: Path) -> None:
    for i, name in enumerate(["a/1.png", "a/10.png", "a/9.png", "b/1.png"]):
        save(tmp_path / "data" / name, 10 * i)
    folder = Folder(tmp_path / "data")
    packed = open_source(str(zipped(tmp_path / "data", tmp_path / "data.zip")), tmp_path)
    assert packed.names == folder.names == ["a/1.png", "a/9.png", "a/10.png", "b/1.png"]
    assert packed.classes == folder.classes == ("a", "b")
    assert packed.name == folder.name == "data"
    for i in range(len(folder)):
        assert packed.labels[i] == folder.labels[i]
        assert packed.open(i) == folder.open(i)


def test_zip_names_stay_inside(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "../../up.png")
        archive.write(tmp_path / "a.png", "/etc/root.png")
        archive.write(tmp_path / "a.png", "__MACOSX/._a.png")
    assert Zip(tmp_path / "z.zip").names == ["etc/root.png", "up.png"]


def test_encrypted_zip_is_one_line(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    data = bytearray((tmp_path / "z.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the encryption bit in the central directory
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(UserError, match="encrypted: unpack it"):
        open_source(str(tmp_path / "z.zip"), tmp_path)


def test_keys_change_with_the_file(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    before = Folder(tmp_path).key(0)
    assert Folder(tmp_path).key(0) == before
    os.utime(tmp_path / "a.png", ns=(1, 1))
    assert Folder(tmp_path).key(0) != before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mnst", "no folder, zip or data set 'mnst'; did you mean 'mnist'.*shapes"),
        ("qqqq", "choose from: .*shapes"),
        ("empty", "no images in .*empty.*no files"),
        ("texts", "no images in .*texts.*1 files of other kinds, such as a.heic"),
        ("a.tar", "neither a folder nor a zip: unpack it"),
        ("bad.zip", "bad.zip is no zip, or one cut off"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    tmp_path: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.heic").write_text("x")
    Path("a.tar").write_text("x")
    Path("bad.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(UserError, match=says) as caught:
        open_source(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_postscript_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    (tmp_path / "b.eps").write_text("%!PS")
    source = Folder(tmp_path)
    assert source.names == ["a.png"]
    with pytest.raises(OSError, match="cannot identify"):
        source.open(0)


def test_names_are_shown_on_one_line() -> None:
    assert shown(os.fsdecode(b"a b\n\xff\xc3\xa9")) == "a b\\n\\xff\N{LATIN SMALL LETTER E WITH ACUTE}"
    assert shown("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe") == "\\u202egnp.exe"


def test_natural_order() -> None:
    assert sorted(["9" * 5000, "1" + "0" * 5000, "8"], key=natural) == ["8", "9" * 5000, "1" + "0" * 5000]
    assert sorted(["a10", "a9", "b", "a", "10", "9", "09"], key=natural) == ["09", "9", "10", "a", "a9", "a10", "b"]


def test_shapes_are_as_described(tmp_path: Path) -> None:
    source = open_source("shapes", tmp_path)
    assert (len(source), source.classes) == (NUM, ())
    images = np.stack([np.asarray(source.open(i)) for i in range(0, NUM, 4)])
    assert images.shape[1:] == (32, 32, 3)
    assert images.dtype == np.uint8
    inside = images.any(-1)
    radius = np.sqrt(inside.sum((1, 2)) / np.pi)
    assert 5.8 < radius.min() < 6.3 and 11.7 < radius.max() < 12.2
    assert abs(radius.mean() - 9) < 0.3
    colours = images.reshape(len(images), -1, 3).max(1)
    assert colours.min() >= round(0.5 * 127.5) and colours.max() > 245
    assert abs(colours.mean() - 1.25 * 127.5) < 4
    assert source.open(7) == open_source("shapes", tmp_path).open(7)


def test_shapes_labelled_hold_circles_and_squares_of_like_area(tmp_path: Path) -> None:
    source = open_source("shapes-labelled", tmp_path)
    assert source.classes == ("circle", "square")
    assert np.bincount(source.labels).tolist() == [1000, 1000]
    assert source.names[1000] == "square/01000"
    areas = [[np.asarray(source.open(i)).any(-1).sum() for i in range(k, k + 200)] for k in (0, 1000)]
    assert abs(np.mean(areas[0]) / np.mean(areas[1]) - 1) < 0.1
    square = np.any(np.asarray(source.open(1500)), axis=-1)
    filled = np.any(square, axis=0).sum() * np.any(square, axis=1).sum()
    assert square.sum() == filled


def test_every_data_set_in_the_table_can_be_found() -> None:
    for name in SOURCES.rows:
        assert callable(SOURCES.find(name))
