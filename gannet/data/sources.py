"""Where images come from: a folder, a zip, or a data set with a name."""

import io
import os
import re
import struct
import threading
import unicodedata
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gannet.data import SOURCES
from gannet.data.dicom import DicomFile
from gannet.data.names import Names
from gannet.errors import UserError, nearest

# Formats that are pictures. The rest of what Pillow knows is left out because it hands the file to
# another program (EPS to Ghostscript) or needs one that is seldom there (WMF, HDF5, GRIB).
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO", "CUR", "ICNS", "DIB"),
    *("PCX", "DCX", "SGI", "SUN", "XBM", "XPM", "MSP", "QOI", "DDS", "PSD", "FITS", "IM", "SPIDER"),
)
DICOM = (".dcm", ".dicom")
MAX_BYTES = 2**29  # of one file in a zip: twice the largest RGB image that Pillow opens, unpacked
ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")
BAD_ZIP = (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error)
INVISIBLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories of control, surrogate, line and paragraph
DIRECTION = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

Wanted = Callable[[str], bool]


class Source(ABC):
    """Images by number, opened one at a time from any thread."""

    name: str
    """Short name, for display and for the run folder."""
    names: Sequence[str]
    """Relative file names with `/`, in natural order; `circle/00012` for drawn sets."""
    classes: tuple[str, ...] = ()
    """Names of the class folders in natural order, as `shown`; empty when there are none."""
    labels: np.ndarray
    """int64 `[N]`, indices into `classes`; zeros when there are none."""
    ignored: int = 0
    """Files that are no images by their extension."""
    empty: tuple[str, ...] = ()
    """Folders without a single image, beside those that hold all images or are classes."""
    loose: int = 0
    """Images beside what would be class folders, for which there are no classes."""
    num_frames: int = 1
    """Images that make one item: two of a pair, the frames of a clip."""
    origins: Sequence[str] | None = None
    """Name of the file that each item was cut from, where one file gives several."""
    other: "Source | None" = None
    """The set that G is given images of, where it is unpaired with this one."""
    unmatched: tuple[str, ...] = ()
    """Images that were left out for want of a partner, as `shown`."""

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def open(self, i: int) -> Image.Image:
        """Image `i` with its header read. Raises whatever a bad file makes Pillow raise."""

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """The `num_frames` images that make item `i`, each as `open` gives it and only until the next is asked for."""
        with self.open(i) as image:
            yield image

    @abstractmethod
    def key(self, i: int) -> str:
        """Text that changes when image `i` may have changed."""


class Several(Source):
    """Items of several images each."""

    @abstractmethod
    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """The images of item `i`, in order."""

    def open(self, i: int) -> Image.Image:
        """The first image of item `i`."""
        return first_of(self.frames(i))


class Chosen(Source):
    """The items of another source that have these numbers, in this order."""

    def __init__(self, source: Source, numbers: Sequence[int]):
        self.source, self.numbers = source, numbers
        self.name, self.num_frames, self.classes = source.name, source.num_frames, source.classes
        self.names, self.labels = Names([source.names[i] for i in numbers]), source.labels[list(numbers)]

    def open(self, i: int) -> Image.Image:
        """As the source opens it."""
        return self.source.open(self.numbers[i])

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """Those of the source."""
        yield from self.source.frames(self.numbers[i])

    def key(self, i: int) -> str:
        """That of the source."""
        return self.source.key(self.numbers[i])


class Files(Source):
    """Files of a folder or a zip, by their relative names."""

    @abstractmethod
    def file(self, i: int) -> Path | BinaryIO:
        """Where the bytes of file `i` are. Raises `ValueError` for a file that is empty or too large."""

    def open(self, i: int) -> Image.Image:
        """The image, whose file stays open until it is loaded or closed."""
        return open_image(self.file(i), Path(self.names[i]).suffix)

    def _set_names(self, names: list[str], folders: Iterable[str]) -> None:
        self.names = Names(names)
        self.classes, self.labels, depth = class_folders(names)
        loose = sum(name.count("/") <= depth for name in names)
        self.loose = loose if loose < len(names) else 0
        levels = range(1, depth + bool(self.classes) + 1)
        filled = {""} | {"/".join(name.split("/")[:k]) for name in names for k in levels}
        empty = {f for f in folders if f.count("/") < len(levels) and f not in filled and _parent(f) in filled}
        self.empty = tuple(shown(folder.rpartition("/")[2]) for folder in sorted(empty, key=natural))


class Folder(Files):
    """All images in a folder and below it."""

    def __init__(self, path: Path, wanted: Wanted | None = None):
        wanted = wanted or is_image
        self.path = path
        self._real = os.path.realpath(path)
        self.name = shown(os.path.basename(os.path.abspath(path))) or "data"
        folders: list[str] = []
        names: list[str] = []
        others: list[str] = []
        closed: list[str] = []
        for name in _walk(path, folders, closed):
            (names if wanted(name) else others).append(name)
        if closed:
            raise UserError(
                f"{len(closed):,} of {len(folders) + 1:,} folders in {shown(path)} cannot be read, "
                f"such as {closed[0]}: make them readable, or move them away"
            )
        self.ignored = len(others)
        if not names:
            raise _no_images(path, others)
        self._set_names(sorted(names, key=natural), folders)

    def file(self, i: int) -> Path:
        """The path of the file."""
        path = self.path / self.names[i]
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        return path

    def key(self, i: int) -> str:
        """Path, size and time of the file."""
        path = f"{self._real}|{self.names[i]}"
        try:
            status = (self.path / self.names[i]).stat()
        except OSError:
            return f"{path}|missing"
        return f"{path}|{status.st_size}|{status.st_mtime_ns}"


class Zip(Files):
    """All images in a zip, read from it without unpacking."""

    def __init__(self, path: Path, wanted: Wanted | None = None):
        wanted = wanted or is_image
        self.path = path
        self.name = shown(path.stem)
        try:
            self._zip = zipfile.ZipFile(path)
        except BAD_ZIP as error:
            raise UserError(f"cannot read {shown(path)} as a zip: {error}; make or copy it again") from error
        self._lock = threading.Lock()
        members = {_tidy(info.filename): info for info in self._zip.infolist()}
        members = {name: info for name, info in members.items() if name and not any(map(is_hidden, name.split("/")))}
        files = [name for name, info in members.items() if not info.is_dir()]
        names = sorted(filter(wanted, files), key=natural)
        self.ignored = len(files) - len(names)
        if not names:
            raise _no_images(path, [name for name in files if not wanted(name)])
        self._members = [members[name] for name in names]
        if locked := sum(info.flag_bits & 1 for info in self._members):
            raise UserError(
                f"{locked:,} of {len(names):,} images in {shown(path)} are encrypted: unpack it with its password "
                "and give the folder instead"
            )
        self._set_names(names, [name for name, info in members.items() if info.is_dir()])

    def file(self, i: int) -> BinaryIO:
        """The bytes of the file, in memory."""
        info = self._members[i]
        if not 0 < info.file_size <= MAX_BYTES:
            raise ValueError("the file is larger than 512 MiB" if info.file_size else "the file is empty")
        # As many bytes as the zip says and no more, whatever they unpack to.
        with self._lock, self._zip.open(info) as file:
            return io.BytesIO(file.read(info.file_size))

    def key(self, i: int) -> str:
        """Name, checksum and size of the file."""
        info = self._members[i]
        return f"{self.names[i]}|{info.CRC:08x}|{info.file_size}"


def open_source(name: str, cache: Path, wanted: Wanted | None = None) -> Source:
    """The images that `name` stands for: a data set, an address, shards, else a folder, else a zip.

    Downloads go to `cache`. A folder that has the name of a data set is meant by `./name`. `wanted` says
    which files of a folder or zip are meant, by their names; images where it is None. Raises `UserError` when
    there is no such thing, or no image in it.
    """
    if name in SOURCES.rows:
        return SOURCES.find(name)(cache)
    if not name.strip():
        raise UserError("the name of the data is empty: name a folder, a zip, or shapes")
    if any(unicodedata.category(c) == "Cs" for c in name):
        raise UserError(f"the name '{shown(name)}' is not UTF-8, and no recipe can hold it: rename it")
    from gannet.data import shards  # which imports this file

    if "://" in name:
        return shards.open_address(name, cache)
    if files := shards.shards_at(name):
        return shards.open_shards(name, files, cache)
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        return Folder(path, wanted)
    if os.path.isfile(path):
        return _open_file(path, wanted)
    raise _missing(name, path)


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key by which `10` follows `9`."""
    parts = re.split(r"(\d+)", name)
    # Longer numbers are larger; int() would refuse those of thousands of digits, which a zip may hold.
    return [(len(n := part.lstrip("0")), n) if i % 2 else part for i, part in enumerate(parts)], name


def shown(name: str | Path) -> str:
    """A name of a file as it can be printed on one line: what has no look of its own as `\\n` or `\\xff`."""
    return "".join(_escaped(c) if unicodedata.category(c) in INVISIBLE or c in DIRECTION else c for c in str(name))


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is left out, with all below it."""
    return part.startswith(".") or part == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether the extension says that the file is an image."""
    extension = Path(name).suffix.lower()
    Image.init()
    return extension in DICOM or Image.EXTENSION.get(extension) in (*FORMATS, "MPO")


def class_folders(names: list[str]) -> tuple[tuple[str, ...], np.ndarray, int]:
    """Classes, label of each name (int64 `[N]`), and the number of folders above the class folders.

    A folder that is the only one beside any loose images is passed by; below it, each image must lie
    in one of at least two folders, and none be loose. Otherwise there are no classes, and the labels
    are zeros.
    """
    parts = [name.split("/") for name in names]
    depth = 0
    while len(folders := {p[depth] for p in parts if len(p) > depth + 1}) == 1:
        depth += 1
    if any(len(p) <= depth + 1 for p in parts):
        return (), np.zeros(len(names), np.int64), depth
    numbers = {name: i for i, name in enumerate(sorted(folders, key=natural))}
    return tuple(map(shown, numbers)), np.array([numbers[p[depth]] for p in parts], np.int64), depth


def _walk(root: Path, folders: list[str], closed: list[str]) -> Iterator[str]:
    """Relative names of all files below `root`, but for those of runs: their samples are no data.

    Its sub-folders are added to `folders`, and those that cannot be read, with the reason, to `closed`.
    """
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
            closed.append(f"{shown(folder)} ({error.strerror or error})")
            continue
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if os.path.isdir(entry.path):
                if os.path.exists(os.path.join(entry.path, "recipe.toml")):
                    continue
                folders.append(prefix + entry.name)
                todo.append((f"{prefix}{entry.name}/", folder / entry.name))
            elif os.path.isfile(entry.path) or os.path.islink(entry.path):  # a broken link counts, as unreadable
                yield prefix + entry.name


def _tidy(name: str) -> str:
    """A name from a zip as a relative one, whichever system wrote it."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def first_of(images: Generator[Image.Image, None, None]) -> Image.Image:
    """The first of some images, loaded, since its file is closed with the rest."""
    with closing(images):
        first = next(images)
        first.load()
        return first


def open_image(file: Path | BinaryIO, extension: str) -> Image.Image:
    if extension.lower() in DICOM:
        return DicomFile(file)
    Image.init()
    return Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])


def _no_images(path: Path, others: list[str]) -> UserError:
    found = f"{len(others):,} files of other kinds, such as {shown(min(others))}" if others else "no files"
    packed = [name for name in others if Path(name).suffix.lower() in ARCHIVES]
    advice = f"unpack {shown(packed[0])} first" if packed else "give a folder or zip of PNG, JPEG or other pictures"
    return UserError(f"there are no images in {shown(path)} ({found}): {advice}")


def _open_file(path: Path, wanted: Wanted | None) -> Source:
    name = shown(path)
    try:
        with path.open("rb") as file:
            packed = zipfile.is_zipfile(file)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from error
    if packed:
        return Zip(path, wanted)
    if path.suffix.lower() == ".zip":
        raise UserError(f"{name} is no zip, or one cut off: copy it again, or unpack it and give the folder")
    if path.suffix.lower() in ARCHIVES:
        raise UserError(f"{name} is neither a folder nor a zip: unpack it and give the folder")
    raise UserError(f"{name} is neither a folder nor a zip: give the folder or zip that holds the images")


def _missing(name: str, path: Path) -> UserError:
    """What to say where there is nothing at `path`: the nearest name that there is, where one is near."""
    if os.path.islink(path):
        return UserError(f"{shown(path)} is a link to {shown(os.readlink(path))}, which is not there: mend the link")
    lost, parent = path, path.parent
    while not os.path.isdir(parent) and parent != parent.parent:
        lost, parent = parent, parent.parent
    known = {folder.name.casefold(): str(folder) for folder in _openable(parent)}
    if path.name == name:
        known |= {row: row for row in SOURCES.rows}
    close = get_close_matches(lost.name.casefold(), known, n=1, cutoff=0.5)
    if close:
        hint = f"; did you mean '{shown(known[close[0]])}'?"
    elif path.name == name:
        hint = nearest(name, SOURCES.rows)
    else:
        hint = f": look into {shown(parent)} for its name"
    more = "" if "shapes" in hint else " ('shapes' is drawn and needs no files)"
    return UserError(f"there is no folder, zip or data set '{shown(name)}'{hint}{more}")


def _openable(folder: Path) -> list[Path]:
    """The folders and zips in a folder; none where it cannot be read."""
    try:
        entries = [folder / entry.name for entry in os.scandir(folder) if not is_hidden(entry.name)]
    except OSError:
        return []
    return [path for path in entries if path.suffix.lower() == ".zip" or os.path.isdir(path)]


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]


def _escaped(character: str) -> str:
    # Python holds a byte that is no UTF-8 as a surrogate, U+DC80 to U+DCFF.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
