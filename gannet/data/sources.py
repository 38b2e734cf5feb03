"""Where images come from: a folder, a zip, or a data set with a name."""

import io
import os
import re
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gannet.data import SOURCES
from gannet.data.dicom import DicomFile
from gannet.errors import UserError, nearest

# Formats that are pictures. The rest of what Pillow knows is left out because it hands the file to
# another program (EPS to Ghostscript) or needs one that is seldom there (WMF, HDF5, GRIB).
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO", "CUR", "ICNS", "DIB"),
    *("PCX", "DCX", "SGI", "SUN", "XBM", "XPM", "MSP", "QOI", "DDS", "PSD", "FITS", "IM", "SPIDER"),
)
DICOM = (".dcm", ".dicom")
MAX_BYTES = 2**30  # of one file in a zip, which could otherwise unpack to more than the memory


class Source(ABC):
    """Images by number, opened one at a time from any thread."""

    name: str
    """Short name, for display and for the run folder."""
    names: list[str]
    """Relative file names with `/`, in natural order; `circle/00012` for drawn sets."""
    classes: tuple[str, ...] = ()
    """Names of the class folders in natural order; empty when there are none."""
    labels: np.ndarray
    """int64 `[N]`, indices into `classes`; zeros when there are none."""
    ignored: int = 0
    """Files that are no images by their extension."""
    empty: tuple[str, ...] = ()
    """Class folders without a single image."""

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def open(self, i: int) -> Image.Image:
        """Image `i` with its header read. Raises whatever a bad file makes Pillow raise."""

    @abstractmethod
    def key(self, i: int) -> str:
        """Text that changes when image `i` may have changed."""


class _Files(Source):
    def _set_names(self, names: list[str], folders: Iterable[str]) -> None:
        self.names = names
        self.classes, self.labels, depth = class_folders(names)
        if self.classes:
            found = {tuple(name.split("/")[:depth]) for name in names}
            inside = {tuple(folder.split("/")[:depth]) for folder in folders if folder.count("/") >= depth - 1}
            self.empty = tuple(sorted((parts[-1] for parts in inside - found), key=natural))


class Folder(_Files):
    """All images in a folder and below it."""

    def __init__(self, path: Path):
        self.path = path
        self._real = os.path.realpath(path)
        self.name = os.path.basename(os.path.abspath(path)) or "data"
        folders: list[str] = []
        names: list[str] = []
        others: list[str] = []
        for name in _walk(path, folders):
            (names if is_image(name) else others).append(name)
        self.ignored = len(others)
        if not names:
            raise _no_images(path, others)
        self._set_names(sorted(names, key=natural), folders)

    def open(self, i: int) -> Image.Image:
        """The image, whose file stays open until it is loaded or closed."""
        path = self.path / self.names[i]
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        return _open(path, path.suffix)

    def key(self, i: int) -> str:
        """Path, size and time of the file."""
        path = f"{self._real}|{self.names[i]}"
        try:
            status = (self.path / self.names[i]).stat()
        except OSError:
            return f"{path}|missing"
        return f"{path}|{status.st_size}|{status.st_mtime_ns}"


class Zip(_Files):
    """All images in a zip, read from it without unpacking."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise UserError(f"cannot read {path} as a zip: {error}") from error
        self._lock = threading.Lock()
        members = {_tidy(info.filename): info for info in self._zip.infolist()}
        members = {name: info for name, info in members.items() if not any(map(is_hidden, name.split("/")))}
        files = [name for name, info in members.items() if not info.is_dir()]
        names = sorted(filter(is_image, files), key=natural)
        self.ignored = len(files) - len(names)
        if not names:
            raise _no_images(path, [name for name in files if not is_image(name)])
        self._members = [members[name] for name in names]
        if any(info.flag_bits & 1 for info in self._members):
            raise UserError(f"{path} is encrypted: unpack it with its password and give the folder instead")
        self._set_names(names, [name for name, info in members.items() if info.is_dir()])

    def open(self, i: int) -> Image.Image:
        """The image, its compressed bytes in memory."""
        info = self._members[i]
        if not 0 < info.file_size <= MAX_BYTES:
            raise ValueError("the file is larger than 1 GiB" if info.file_size else "the file is empty")
        with self._lock:
            data = self._zip.read(info)
        return _open(io.BytesIO(data), Path(self.names[i]).suffix)

    def key(self, i: int) -> str:
        """Name, checksum and size of the file."""
        info = self._members[i]
        return f"{self.names[i]}|{info.CRC:08x}|{info.file_size}"


def open_source(name: str, cache: Path) -> Source:
    """The images that `name` stands for: a data set, else a folder, else a zip.

    Downloads go to `cache`. A folder that has the name of a data set is meant by `./name`. Raises
    `UserError` when there is no such thing, or no image in it.
    """
    if name in SOURCES.rows:
        return SOURCES.find(name)(cache)
    path = Path(name).expanduser()
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        if zipfile.is_zipfile(path):
            return Zip(path)
        raise UserError(f"{path} is neither a folder nor a zip: give the folder or zip that holds the images")
    hint = nearest(name, SOURCES.rows)
    more = "" if "shapes" in hint else " ('shapes' is drawn and needs no files)"
    raise UserError(f"there is no folder, zip or data set '{name}'{hint}{more}")


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key by which `10` follows `9`."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))], name


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is left out, with all below it."""
    return part.startswith(".") or part == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether the extension says that the file is an image."""
    extension = Path(name).suffix.lower()
    Image.init()
    return extension in DICOM or Image.EXTENSION.get(extension) in (*FORMATS, "MPO")


def class_folders(names: list[str]) -> tuple[tuple[str, ...], np.ndarray, int]:
    """Classes, label of each name (int64 `[N]`), and the depth at which the class folders lie.

    Folders that hold everything else are passed by; below them, each image must lie in one of at
    least two folders. Otherwise there are no classes, and the labels are zeros.
    """
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(p) > depth + 1 and p[depth] == parts[0][depth] for p in parts):
        depth += 1
    if any(len(p) <= depth + 1 for p in parts):
        return (), np.zeros(len(names), np.int64), 0
    classes = tuple(sorted({p[depth] for p in parts}, key=natural))
    numbers = {name: i for i, name in enumerate(classes)}
    return classes, np.array([numbers[p[depth]] for p in parts], np.int64), depth + 1


def _walk(root: Path, folders: list[str]) -> Iterator[str]:
    """Relative names of all files below `root`; its sub-folders are added to `folders`."""
    seen: set[str] = set()
    todo = [("", root)]
    while todo:
        prefix, folder = todo.pop()
        # A link may lead back up: each real folder is entered once.
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name, reverse=True)
        except OSError as error:
            raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from error
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if os.path.isdir(entry.path):
                folders.append(prefix + entry.name)
                todo.append((f"{prefix}{entry.name}/", folder / entry.name))
            elif os.path.isfile(entry.path) or os.path.islink(entry.path):  # a broken link counts, as unreadable
                yield prefix + entry.name


def _tidy(name: str) -> str:
    """A name from a zip as a relative one, whichever system wrote it."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _open(file: Path | BinaryIO, extension: str) -> Image.Image:
    if extension.lower() in DICOM:
        return DicomFile(file)
    Image.init()
    return Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])


def _no_images(path: Path, others: list[str]) -> UserError:
    found = f"{len(others):,} files of other kinds, such as {sorted(others)[0]}" if others else "no files"
    return UserError(f"there are no images in {path} ({found}): give a folder or zip of PNG, JPEG or other pictures")
