"""What people really have in their folders: each ends in a trained model or in one clear line."""

import io
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import TINY

import gannet.training.measure as measure
import gannet.training.run as run_module
from gannet import api
from gannet.config import Data
from gannet.data.dataset import prepare
from gannet.data.inspect import contact_sheet, inspect
from gannet.data.scan import scan
from gannet.data.sources import Folder, open_source
from gannet.errors import UserError

GOOD = 6
ONE_ITERATION = {
    **TINY,
    "train.length": "1 iterations",
    "samples.when": "at 1 iterations",
    "checkpoints.when": "at 1 iterations",
}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "time_iterations", lambda training: 0.01)
        patch.setattr(run_module, "save_curves", lambda *_: None)
        yield


def noise(size: tuple[int, int] = (16, 16), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def good(folder: Path, num: int = GOOD, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num):
        noise(seed=seed + i).save(folder / f"good {i}.png")
    return folder


def encoded(image: Image.Image | None = None, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or noise()).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    return encoded(noise(), kind, save_all=True, append_images=[noise(seed=1), noise(seed=2)])


def values(dtype: Any, *fill: float) -> Image.Image:
    return Image.fromarray(np.resize(np.array(fill, dtype), (16, 16)))


def exif(orientation: int, padding: int = 0) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = "x" * padding
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of a kind that Pillow does not write."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(width: int, height: int, sample_format: int, bits: int, samples: int, data: bytes) -> bytes:
    """An uncompressed TIFF of one strip; `sample_format` 3 is float."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 2 if samples == 3 else 1),
            (273, 4, 8), (277, 3, samples), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def sixteen_bits(colour: int, channels: int) -> bytes:
    row = b"\0" + b"".join(struct.pack(">H", 4000 * i) for i in range(16) for _ in range(channels))
    return png(16, 16, 16, colour, row * 16)


def palette(**options: Any) -> bytes:
    return encoded(noise().quantize(16), "PNG", **options)


# Odd, and to be read: file name -> what is in it.
ODD: dict[str, bytes | Callable[[], bytes]] = {
    "progressive.jpg": lambda: encoded(kind="JPEG", progressive=True),
    "cmyk.jpg": lambda: encoded(noise().convert("CMYK"), "JPEG"),
    "cmyk with a wrong profile.jpg": lambda: encoded(noise().convert("CMYK"), "JPEG", icc_profile=b"no profile" * 99),
    "cmyk.tif": lambda: encoded(noise().convert("CMYK"), "TIFF"),
    "lab.tif": lambda: encoded(Image.new("LAB", (16, 16), (99, 128, 128)), "TIFF"),
    "palette.png": palette,
    "palette with transparency.png": lambda: palette(transparency=0),
    "grey with alpha.png": lambda: encoded(noise().convert("LA")),
    "grey with alpha, 16 bits.png": lambda: sixteen_bits(4, 2),
    "colour, 16 bits.png": lambda: sixteen_bits(2, 3),
    "grey, 16 bits.png": lambda: encoded(values(np.uint16, 0, 4000, 60000)),
    "grey, 16 bits.tif": lambda: encoded(values(np.uint16, 0, 4000, 60000), "TIFF"),
    "grey, 16 bits, big-endian.tif": lambda: encoded(Image.new("I;16B", (16, 16), 300), "TIFF"),
    "grey, 32 bits.tif": lambda: encoded(values(np.int32, -5, 70000), "TIFF"),
    "float.tif": lambda: encoded(values(np.float32, -1.5, 0.25, 1e9), "TIFF"),
    "float with NaN.tif": lambda: encoded(values(np.float32, np.nan, 0.25, np.inf), "TIFF"),
    "one bit.png": lambda: encoded(noise().convert("1")),
    "one bit.bmp": lambda: encoded(noise().convert("1"), "BMP"),
    "animated.gif": lambda: animated("GIF"),
    "animated.webp": lambda: animated("WEBP"),
    "animated.png": lambda: animated("PNG"),
    "many pages.tif": lambda: animated("TIFF"),
    "turned by EXIF.jpg": lambda: encoded(noise((16, 24)), "JPEG", exif=exif(6)),
    "turned by an EXIF that is wrong.jpg": lambda: encoded(kind="JPEG", exif=exif(99)),
    "huge EXIF.jpg": lambda: encoded(kind="JPEG", exif=exif(8, padding=60_000)),
    "damaged EXIF.jpg": lambda: encoded(kind="JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "1 x 1.png": lambda: encoded(noise((1, 1))),
    "1 x 5000.png": lambda: encoded(noise((1, 5000))),
    "5000 x 1.png": lambda: encoded(noise((5000, 1))),
    "20,000 wide.png": lambda: encoded(Image.new("L", (20_000, 300))),
    "37 x 91.png": lambda: encoded(noise((37, 91))),
    "fully transparent.png": lambda: encoded(Image.new("RGBA", (16, 16))),
    "a grey one among colours.png": lambda: encoded(noise().convert("L")),
    "a JPEG.png": lambda: encoded(kind="JPEG"),
    "a PNG.jpg": encoded,
    "UPPER.PNG": encoded,
    "two.extensions.tar.gz.png": encoded,
    " spaces  before and after .png": encoded,
    "new\nline\r\n.png": encoded,
    os.fsdecode(b"not utf-8 \xff\xfe.png"): encoded,
    "-rf.png": encoded,
    "字 \N{SLIGHTLY SMILING FACE} [1]*?.png": encoded,
    "x" * 250 + ".png": encoded,
}


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_images_are_read_and_trained_on(tmp_path: Path, cache: Path, name: str) -> None:
    data = good(tmp_path / "data")
    written(data / name, ODD[name])
    report = inspected(data, tmp_path)
    assert report.inspection.scan.num == GOOD + 1
    assert report.inspection.scan.unreadable == []
    trained(data, tmp_path)


# Bad: file name -> what is in it (None: a link to nowhere), and why it cannot be read.
TEXT_BOMB = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**25)))
TEXT = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
BAD: dict[str, tuple[bytes | Callable[[], bytes] | str, str]] = {
    "truncated.jpg": (lambda: encoded(noise((64, 64)), "JPEG")[:-900], "truncated"),
    "truncated, progressive.jpg": (lambda: encoded(noise((64, 64)), "JPEG", progressive=True)[:-900], "truncated"),
    "truncated.png": (lambda: encoded(noise((64, 64)))[:-900], "truncated"),
    "truncated.tif": (lambda: encoded(noise((64, 64)), "TIFF")[:-900], "."),
    "truncated.webp": (lambda: encoded(noise((64, 64)), "WEBP")[:-900], "."),
    "truncated in its header.png": (lambda: encoded()[:20], "."),
    "zero bytes.png": (b"", "empty"),
    "nothing but zeros.jpg": (bytes(5000), "not an image"),
    "text.png": (TEXT, "not an image"),
    "web page.jpg": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image"),
    "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not an image"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image"),
    "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "not an image"),
    "text.dcm": (TEXT, "not a DICOM file"),
    "wrong checksum.png": (lambda: encoded()[:-17] + b"\0" + encoded()[-16:], "."),
    "no frames.gif": (b"GIF89a\x10\0\x10\0\xf0\0\0" + bytes(6) + b";", "."),
    "no height.png": (lambda: png(16, 0, 8, 2, b""), "."),
    "bomb.png": (lambda: png(30_000, 30_000, 8, 2, b""), "900000000 pixels"),
    "bomb in a text.png": (lambda: png(1, 1, 8, 0, bytes(2), TEXT_BOMB), "MAX_TEXT_CHUNK"),
    "nothing but NaN.tif": (lambda: encoded(values(np.float32, np.nan), "TIFF"), "no value"),
    "colour in floats.tif": (lambda: tiff(16, 16, 3, 32, 3, bytes(16 * 16 * 12)), "."),
    "link to nowhere.png": ("nowhere.png", "no such file"),
    "link to itself.png": ("itself", "symbolic links"),
    "bad\nname \N{RIGHT-TO-LEFT OVERRIDE}.png": (b"x", "not an image"),
    os.fsdecode(b"bad bytes \xff.png"): (b"x", "not an image"),
}


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_bad_files_are_counted_and_can_be_left_out(tmp_path: Path, cache: Path, name: str) -> None:
    content, why = BAD[name]
    data = good(tmp_path / "data")
    for copy in ("first ", "second "):
        written(data / (copy + name), content if content != "itself" else copy + name)
    report = inspected(data, tmp_path)
    unreadable = report.inspection.scan.unreadable
    assert len(unreadable) == 2
    assert re.search(why, unreadable[0][1])
    line = refused(lambda: trained(data, tmp_path))
    assert re.search(rf"^2 of {GOOD + 2} images cannot be read: first .*{why}.*max-unreadable", line)
    trained(data, tmp_path, {"data.max_unreadable": 1.0})


@dataclass(frozen=True)
class Case:
    """DATA as a whole: how it is made, the line that refuses it (none: it trains), and what inspect notes."""

    make: Callable[[Path], Path | str]
    says: str = ""
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def folder(*pieces: str, **contents: bytes) -> Callable[[Path], Path]:
    """A folder `data` with six good images in each of `pieces`, and files (`__` in a name is `/`)."""

    def make(root: Path) -> Path:
        (root / "data").mkdir()
        for i, piece in enumerate(pieces):
            good(root / "data" / piece, seed=100 * i)
        for name, content in contents.items():
            path = root / "data" / name.replace("__", "/").replace("_png", ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root / "data"

    return make


def zipped(names: Sequence[str], last: bytes | None = None, tamper: tuple[int, bytes] | None = None) -> Callable:
    """A zip of good images by these names; `last` is in the last one, whose record has bytes put in at a place."""

    def make(root: Path) -> Path:
        path = root / "data.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i, name in enumerate(names):
                content = last if last is not None and i == len(names) - 1 else encoded(noise(seed=i))
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        if tamper:
            data = bytearray(path.read_bytes())
            at = data.rindex(b"PK\x01\x02") + tamper[0]
            data[at : at + len(tamper[1])] = tamper[1]
            path.write_bytes(data)
        return path

    return make


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        written(root / name, content)
        return root / name

    return make


def beside(name: str, make: Callable[[Path], Path]) -> Callable[[Path], str]:
    """Not what `make` made, but something beside it."""
    return lambda root: str(make(root).parent / name)


def linked(name: str, target: str) -> Callable[[Path], Path]:
    """Good images, with a link in the folder."""

    def make(root: Path) -> Path:
        data = folder("")(root)
        good(root / "other", seed=50)
        try:
            (data / name).symlink_to(root / target)
        except OSError:
            assert sys.platform != "linux"
            pytest.skip("this system has no such links")
        return data

    return make


def renamed(name: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        try:
            return folder("")(root).rename(root / name)
        except OSError:
            assert sys.platform != "linux"
            pytest.skip("this system has no such names")

    return make


SIX = tuple(f"{i}.png" for i in range(GOOD))
LABELS = {"data.labels": True}
DATA: dict[str, Case] = {
    "empty folder": Case(folder(), "no images in .*no files"),
    "other files only": Case(folder(a=b"x", b=b"x"), "no images in .*2 files of other kinds, such as a"),
    "hidden files only": Case(folder(**{"._a_png": b"x", "__MACOSX__a_png": b"x"}), "no images in .*no files"),
    "files of the system beside": Case(folder("", **{"Thumbs.db": b"x", ".DS_Store": b"x"}), note="ignored: 1"),
    "a folder named as an image": Case(folder("", "x.png")),
    "one image": Case(lambda root: good(root / "data", 1), note="1 images are few"),
    "all alike": Case(folder(**dict.fromkeys(("a_png", "b_png", "c_png"), encoded())), note="2 .* exact copies"),
    "all transparent": Case(folder(a_png=encoded(Image.new("RGBA", (16, 16)))), note="4 channels"),
    "none can be read": Case(folder(a_png=b"x", b_png=b""), "none of the 2 files"),
    "grey, wide and coloured": Case(
        folder("", wide_png=encoded(values(np.uint16, 9, 999)), grey_png=encoded(values(np.uint8, 1, 2))), note="8 bits"
    ),
    "classes": Case(folder("a", "b"), settings=LABELS),
    "classes in folders": Case(folder("top/sub/a/1", "top/sub/a/2", "top/sub/b"), settings=LABELS),
    "one class": Case(folder("a"), "no class folders", settings=LABELS),
    "an empty class": Case(folder("a", "b", c__notes=b"x"), note="without a readable image: c;", settings=LABELS),
    "all classes empty but one": Case(folder("a", b__notes=b"x"), "no class folders", "image: b;", LABELS),
    "a class that cannot be read": Case(
        folder("a", "b", **{"c\nd__1_png": b"x", "c\nd__2_png": b""}),
        "2 of 14 images cannot be read",
        r"without a readable image: c\\nd;",
        LABELS,
    ),
    "and is left out": Case(
        folder("a", "b", c__1_png=b"x"), note="image: c;", settings=LABELS | {"data.max_unreadable": 1.0}
    ),
    "images beside the classes": Case(folder("a", "b", x_png=encoded()), note="1 images lie beside"),
    "images above the classes": Case(
        folder("", "top/a", "top/b"), "no class folders .*since 6 images lie beside them", "6 images lie beside", LABELS
    ),
    "link loop": Case(linked("loop", "data")),
    "link to a folder": Case(linked("more", "other")),
    "link to nothing": Case(linked("more.png", "nothing"), "1 of 7 images cannot be read: more.png"),
    "a name with a newline": Case(renamed("new\nline")),
    "a name that is not UTF-8": Case(renamed(os.fsdecode(b"caf\xe9")), r"'.*caf\\xe9' is not UTF-8.*rename"),
    "zip": Case(zipped(SIX)),
    "zip with names that lead out": Case(zipped(("/etc/a.png", "../../b.png", "C:\\c.png", "./d.png", "e/../f.png"))),
    "zip with an empty name": Case(zipped((*SIX, ".."))),
    "zip with names that differ by case": Case(zipped(("a.png", "A.png", "a.PNG"))),
    "zip with a long number": Case(zipped((*SIX, "9" * 5000 + ".png"))),
    "zip in a zip": Case(zipped(("inner.zip",)), "no images.*1 files of other kinds.*unpack inner.zip first"),
    "zip of folders": Case(zipped(("a/", "b/"), b""), "no images.*no files"),
    "zip with a bad file": Case(zipped((*SIX, "z.png"), b"x"), "1 of 7 images cannot be read: z.png", "1 files"),
    "zip with a wrong checksum": Case(zipped(SIX, tamper=(16, b"xxxx")), "1 of 6 .*CRC"),
    "zip bomb": Case(zipped(SIX, tamper=(24, b"\xfe" * 4)), "1 of 6 .*larger than 512 MiB"),
    "zip bomb that lies": Case(zipped(SIX, bytes(2**26), (24, struct.pack("<I", 1000))), "1 of 6 .*5.png"),
    "zip that is encrypted": Case(zipped(SIX, tamper=(8, b"\1")), "1 of 6 images in .* are encrypted.*password"),
    "zip of unknown compression": Case(zipped(SIX, tamper=(10, b"\x63")), "1 of 6 .*compression"),
    "zip of a later version": Case(zipped(SIX, tamper=(6, b"\xff")), "cannot read .* as a zip: .*version"),
    "zip that is cut off": Case(file("data.zip", b"PK\3\4" + bytes(99)), "no zip, or one cut off"),
    "7z named zip": Case(file("data.zip", b"7z\xbc\xaf'\x1c" + bytes(99)), "no zip, or one cut off"),
    "rar": Case(file("data.rar", b"Rar!"), "neither a folder nor a zip: unpack it"),
    "an image": Case(file("a.png", encoded()), "neither a folder nor a zip: give the folder"),
    "a table": Case(file("labels.csv", b"file,label"), "neither a folder nor a zip"),
    "nothing": Case(lambda _: "", "name of the data is empty"),
    "blanks": Case(lambda _: "  ", "."),
    "a misspelt folder": Case(beside("dta", folder("")), "no folder, zip or data set '.*dta'; did you mean '.*data'"),
    "a misspelt zip": Case(beside("Data", zipped(SIX)), "did you mean '.*data.zip'"),
    "a folder in a misspelt one": Case(beside("dta/train", folder("")), "'.*dta/train'; did you mean '.*data'"),
    "a folder in a zip": Case(beside("data.zip/train", zipped(SIX)), "did you mean '.*data.zip'"),
    "a folder that is nowhere": Case(beside("qqqqqq/train", folder("")), "no folder.*look into .* for its name"),
    "a name with NUL": Case(beside("da\0ta", folder("")), r"no folder.*da\\x00ta"),
    "a name too long": Case(beside("x" * 5000, folder("")), "no folder"),
    "somebody's home": Case(lambda _: "~nobody-of-this-name/data", "no folder"),
    "a link to nowhere": Case(lambda root: linked("x", "nowhere")(root) / "x", "link to .*nowhere, which is not there"),
}


@pytest.mark.parametrize("name", DATA)
def test_data_ends_in_a_model_or_in_one_line(tmp_path: Path, cache: Path, name: str) -> None:
    case = DATA[name]
    data = case.make(tmp_path)
    before = {path for path in tmp_path.rglob("*") if cache not in path.parents}
    try:
        notes = "\n".join(inspected(data, tmp_path).inspection.notes)
    except UserError as error:
        assert re.search(case.says, one_line(error))
        assert not case.note
    else:
        assert re.search(case.note, notes)
    if case.says:
        assert re.search(case.says, refused(lambda: trained(data, tmp_path, case.settings)))
    else:
        trained(data, tmp_path, case.settings)
    made = {path for path in tmp_path.rglob("*") if cache not in path.parents} - before
    assert {path.relative_to(tmp_path).parts[0] for path in made} <= {"run", "sheet.png", "cache"}


def test_a_file_without_permission_and_one_that_vanishes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = good(tmp_path / "data")
    source = open_source(str(data), cache)
    (data / "good 0.png").unlink()
    read = Folder.open

    def closed(self: Folder, i: int) -> Image.Image:
        if i == 1:
            raise PermissionError(13, "Permission denied", str(self.path / self.names[i]))
        return read(self, i)

    monkeypatch.setattr(Folder, "open", closed)
    unreadable = [("good 0.png", "no such file or directory"), ("good 1.png", "permission denied")]
    assert scan(source).unreadable == unreadable
    assert inspect(source).scan.unreadable == unreadable
    assert contact_sheet(source).size


def test_folders_without_permission_are_counted(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder("a", "b", "c")(tmp_path)
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if os.path.basename(path) in ("a", "b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    line = r"2 of 4 folders in .*data cannot be read, such as .*a \(Permission denied\)"
    assert re.search(line, refused(lambda: open_source(str(data), cache)))


@pytest.mark.parametrize("num", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_very_many_files(tmp_path: Path, cache: Path, num: int) -> None:
    data = good(tmp_path / "data", num // 20_000 + 1)
    originals = list(data.iterdir())
    for i in range(num - len(originals) - 2):
        # A file system has a limit to the links of one file, 65,000 on ext4.
        os.link(originals[i % len(originals)], data / f"{i}.png")
    written(data / "zero bytes.png", b"")
    written(data / "text.png", TEXT)
    assert len(inspected(data, tmp_path).inspection.scan.unreadable) == 2
    trained(data, tmp_path)


def written(path: Path, content: bytes | Callable[[], bytes] | str) -> None:
    try:
        if isinstance(content, str):
            path.symlink_to(path.with_name(content))
        else:
            path.write_bytes(content() if callable(content) else content)
    except OSError:
        assert sys.platform != "linux"
        pytest.skip("this system has no such names or links")


def inspected(data: Path | str, tmp_path: Path) -> api.Inspected:
    report = api.inspect(data, tmp_path / "sheet.png")
    assert str(report).encode()
    for note in report.inspection.notes:
        assert len(note.splitlines()) == 1 and note.encode()
    return report


def trained(data: Path | str, tmp_path: Path, settings: dict[str, Any] | None = None) -> None:
    result = api.train(data, recipe="dcgan-shapes", run=tmp_path / "run", settings=ONE_ITERATION | (settings or {}))
    assert result.finished
    assert (result.path / "generator" / "model.safetensors").exists()


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return one_line(caught.value)


def one_line(error: UserError) -> str:
    line = str(error)
    assert len(line.splitlines()) == 1 and line.encode()
    return line


def test_a_class_without_a_readable_image_is_no_class_anywhere(tmp_path: Path, cache: Path) -> None:
    data = folder("a", "c", b__1_png=b"x")(tmp_path)
    source = open_source(str(data), cache)
    assert source.classes == ("a", "b", "c")
    dataset = prepare(source, Data(resolution=16, labels=True, max_unreadable=1.0), 3)
    assert dataset.classes == tuple(scan(source).classes) == ("a", "c")
    assert dataset.labels.tolist() == [0] * GOOD + [1] * GOOD


def test_the_last_readable_class_cannot_be_trained_by_label(tmp_path: Path, cache: Path) -> None:
    data = folder("a", b__1_png=b"x")(tmp_path)
    settings = Data(resolution=16, labels=True, max_unreadable=1.0)
    assert re.search("images of one class only, a: add", refused(lambda: prepare(Folder(data), settings, 3)))
