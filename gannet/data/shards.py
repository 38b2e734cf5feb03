"""Shards: tar and Parquet files, on this machine or at an address that fsspec reads (`s3://`, `hf://`).

Shards from afar are copied whole into the cache folder before they are read, which costs the disk
their size and the memory nothing. After that everything goes through the decoded images as with any
folder, and so a run on shards is resumed exactly: no stream has a place to be found again.
"""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from gannet.data import SHARDS
from gannet.data.pool import Progress, reason
from gannet.data.sources import MAX_BYTES, Source, class_folders, is_hidden, is_image, natural, open_image, shown
from gannet.errors import UserError
from gannet.files import check_space, patiently, write_text

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAGIC = re.compile(r"[*?\[]")
REPOSITORY = re.compile(r"hf://(?!datasets/|buckets/)([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?::([\w.-]+))?")
TRAINING = re.compile(r"(?<![a-z])train(?![a-z])", re.IGNORECASE)
DONE = "shards.json"
LABEL_KEYS = ("label", "cls", "class")


class Tar(Source):
    """Images in tar files, in the order in which they lie there, each read at its place.

    In WebDataset's layout the files of a sample share the name before its first dot: the label of
    `000001.png` is the text of `000001.cls`, or "label", "cls" or "class" in `000001.json`. Without
    these, class folders inside become labels. Raises `UserError` for a file that is no tar, is
    compressed or ends too early.
    """

    def __init__(self, name: str, files: Sequence[Path], cache: Path):
        self.name = name
        self.files = [path.resolve() for path in files]
        self._places: list[tuple[int, int, int]] = []  # number of the shard, offset, size
        self._stats = [path.stat() for path in self.files]
        members: list[str] = []
        samples: list[str] = []
        values: dict[str, str | int] = {}
        for number, path in enumerate(self.files):
            for member in _members(path):
                sample, extension = _parts(member.name)
                sample = f"{number}/{sample}"
                if is_image(member.name):
                    members.append(member.name)
                    samples.append(sample)
                    self._places.append((number, member.offset_data, member.size))
                elif extension in ("cls", "json"):
                    value = _label(_read(path, member.offset_data, member.size), extension)
                    if value is not None and (extension == "cls" or sample not in values):
                        values[sample] = value
                else:
                    self.ignored += 1
        if not members:
            raise UserError(f"there are no images in the tar files of {name}")
        self.classes, self.labels = by_value([values.get(sample) for sample in samples])
        if not values:
            self.classes, self.labels = class_folders(members)[:2]
        several = len(self.files) > 1
        self.names = [
            shown(f"{self.files[number].stem}/{member}" if several else member)
            for (number, _, _), member in zip(self._places, members, strict=True)
        ]

    def open(self, i: int) -> Image.Image:
        """The image, its compressed bytes in memory."""
        number, offset, size = self._places[i]
        if not 0 < size <= MAX_BYTES:
            raise ValueError("the file is larger than 512 MiB" if size else "the file is empty")
        return open_image(BytesIO(_read(self.files[number], offset, size)), Path(self.names[i]).suffix)

    def key(self, i: int) -> str:
        """Path, size and time of the shard, and the place in it."""
        number, offset, size = self._places[i]
        status = self._stats[number]
        return f"{self.files[number]}|{status.st_size}|{status.st_mtime_ns}|{self.names[i]}|{offset}|{size}"


def by_value(values: Sequence[str | int | None]) -> tuple[tuple[str, ...], np.ndarray]:
    """Classes in natural order and labels int64 `[N]` from a value for each image.

    No classes, and zeros, where an image has no value or all have the same.
    """
    classes = tuple(sorted({str(value) for value in values}, key=natural))
    if None in values or len(classes) < 2:
        return (), np.zeros(len(values), np.int64)
    numbers = {name: i for i, name in enumerate(classes)}
    return classes, np.array([numbers[str(value)] for value in values], np.int64)


def shards_at(name: str) -> list[Path]:
    """The shards that a file, a folder without images, or a pattern on this machine stands for, if any.

    A pattern has `*`, `?`, `[...]` or `{0000..0009}` in its last part. Of a folder whose shards say
    which of them are for training, those alone. Raises `UserError` for a number that is missing.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        return _for_training(path, _below(path))
    if path.suffix not in SHARDS.rows:
        return []
    if os.path.isfile(path):
        return [path] if path.suffix != ".tar" or tarfile.is_tarfile(path) else []
    found: list[Path] = []
    for one in expanded(path.name):
        matching = sorted(path.parent.glob(one), key=lambda p: natural(p.name)) if MAGIC.search(one) else []
        found += matching or [path.parent / one]
    missing = [file for file in found if not file.is_file()]
    if missing and len(found) > 1:
        raise UserError(f"there is no {missing[0]}, which {name} names: mend the numbers")
    return [] if missing else found


def open_shards(name: str, files: Sequence[Path], cache: Path) -> Source:
    """The images in shards, which must all be tar or all Parquet."""
    kinds = sorted({file.suffix for file in files})
    if len(kinds) > 1:
        raise UserError(f"{name} holds shards of the kinds {' and '.join(kinds)}: name those of one kind, as in *.tar")
    return SHARDS.find(kinds[0])(_short(name), files, cache)


def open_address(address: str, cache: Path) -> Source:
    """The images of a data set on the Hugging Face hub, or of shards at an address, loaded unless they are here."""
    if part := _repository(address):
        from gannet.data.hf import hub  # which imports this file

        return hub(address, *part, cache)
    return open_shards(address, load_shards(address, cache), cache)


def load_address(address: str, cache: Path, progress: Progress | None = None) -> Path:
    """Loads what `open_address` reads into `cache`, and says into which folder."""
    if part := _repository(address):
        from gannet.data.hf import load_hub

        return load_hub(address, *part, cache)
    return load_shards(address, cache, progress)[0].parent


def load_shards(address: str, cache: Path, progress: Progress | None = None) -> list[Path]:
    """Local copies of the shards at an address; what is in `cache` needs no network.

    A copy that was broken off goes on with the shard that is missing; of several processes one
    copies and the others wait. `progress` gets the shards done and in all. Raises `UserError` when
    the address cannot be read, or the disk is too small.
    """
    folder = cache / "shards" / f"{_short(address)[:40]}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            names = _kept(folder) or _copied(address, folder, progress)
    except UserError:
        raise
    except Exception as error:  # each file system raises errors of its own
        raise UserError(
            f"cannot load {address} ({reason(error)}): mend the address, or run gannet fetch {address} "
            "where there is a network, with the same cache folder"
        ) from error
    return [folder / name for name in names]


def _kept(folder: Path) -> list[str]:
    """Names of the shards in a folder where all have been copied, else none."""
    done = folder / DONE
    names = json.loads(done.read_text("utf-8")) if done.is_file() else []
    return names if all((folder / name).is_file() for name in names) else []


def _copied(address: str, folder: Path, progress: Progress | None) -> list[str]:
    system, paths = _listed(address)
    names = [PurePosixPath(path).name for path in paths]
    if odd := [name for name in names if not re.fullmatch(r"[\w.-]+", name) or name.startswith(".")]:
        raise UserError(
            f"{address} holds a shard called {shown(odd[0])}: rename it to letters, digits, '.', '-' and '_'"
        )
    if len(set(names)) < len(names):
        names = [f"{i:05}-{name}" for i, name in enumerate(names)]
    missing = [(path, folder / name) for path, name in zip(paths, names, strict=True) if not (folder / name).is_file()]
    size = sum(system.size(path) or 0 for path, _ in missing)
    check_space(folder, size, "the shards", "choose another folder with the variable GANNET_CACHE")
    for number, (path, file) in enumerate(missing, len(names) - len(missing) + 1):
        part = file.with_name(f"{file.name}.part")
        system.get_file(path, str(part))
        patiently(lambda part=part, file=file: os.replace(part, file))
        if progress:
            progress(number, len(names))
    write_text(folder / DONE, json.dumps(names))
    return names


def expanded(pattern: str) -> list[str]:
    """`a-{08..10}.tar` as `a-08.tar`, `a-09.tar`, `a-10.tar`; what has no such range as itself."""
    match = RANGE.search(pattern)
    if not match:
        return [pattern]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    if not numbers:
        raise UserError(f"{pattern} counts from {first} to {last}: name the lower number first")
    rest = expanded(pattern[match.end() :])
    return [f"{pattern[: match.start()]}{n:0{len(first)}}{end}" for n in numbers for end in rest]


def _repository(address: str) -> tuple[str, str | None, str | None] | None:
    """Repository, configuration and split of `hf://OWNER/NAME[/CONFIG][:SPLIT]`."""
    match = REPOSITORY.fullmatch(address)
    if match and PurePosixPath(address).suffix not in SHARDS.rows:
        return match[1], match[2], match[3]
    if address.startswith("hf://") and not address.startswith(("hf://datasets/", "hf://buckets/")):
        raise UserError(
            f"{address} names nothing on the hub: write hf://OWNER/NAME, hf://OWNER/NAME:SPLIT, "
            "or hf://datasets/OWNER/NAME/*.tar for files"
        )
    return None


def _listed(address: str) -> tuple[Any, list[str]]:
    """The file system of an address, and its paths of the shards."""
    protocol = address.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        system, _ = url_to_fs(address)
    except ImportError as error:
        raise UserError(
            f"{protocol}:// addresses need a package ({reason(error)}): pip install 'gannet-gan[hf]' has those "
            "for hf:// and s3://"
        ) from error
    paths: list[str] = []
    for one in expanded(address):
        path = url_to_fs(one)[1]
        if MAGIC.search(path):
            paths += sorted(system.glob(path), key=natural)
        elif PurePosixPath(path).suffix in SHARDS.rows:
            paths.append(path)
        else:
            paths += sorted(system.find(path), key=natural)
    paths = [path for path in paths if PurePosixPath(path).suffix in SHARDS.rows]
    if not paths:
        raise UserError(f"there are no tar or Parquet files at {address}: name them, as in {protocol}://.../*.tar")
    return system, paths


def _below(folder: Path) -> list[Path]:
    """All shards in a folder and below it; none where there is any image."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted((name for name in folders if not is_hidden(name)), key=natural)
        for name in sorted((name for name in names if not is_hidden(name)), key=natural):
            if is_image(name):
                return []
            if Path(name).suffix in SHARDS.rows:
                found.append(Path(root) / name)
    return found


def _for_training(folder: Path, files: list[Path]) -> list[Path]:
    return [file for file in files if TRAINING.search(file.relative_to(folder).as_posix())] or files


def _short(name: str) -> str:
    """A name for display, such as `shard-0000-0009`."""
    last = PurePosixPath(re.sub(r":[\w.-]+$", "", name).replace("\\", "/"))
    plain = re.sub(r"[^\w.-]+", "_", last.stem.replace("..", "-")).strip("_.-")
    return plain or re.sub(r"[^\w.-]+", "_", last.parent.name) or "shards"


def _members(path: Path) -> list[tarfile.TarInfo]:
    """The plain files in a tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            members = [member for member in tar if member.isreg()]
            # tarfile takes a damaged header for the end; at the true end there is nothing but zeros.
            end = tar.offset
        whole = not _read(path, end, tarfile.BLOCKSIZE).strip(b"\0")
    except (OSError, tarfile.TarError) as error:
        raise UserError(
            f"cannot read {path} as a tar ({reason(error)}): it must be whole and not compressed"
        ) from error
    if not whole:
        raise UserError(f"{path} is damaged after {members[-1].name if members else 'its start'}: copy it again")
    return [m for m in members if not any(is_hidden(part) for part in m.name.removeprefix("./").split("/"))]


def _parts(name: str) -> tuple[str, str]:
    """`a/0001.seg.png` as the sample `a/0001` and its extension `seg.png`."""
    folder, slash, file = name.rpartition("/")
    sample, _, extension = file.partition(".")
    return folder + slash + sample, extension.lower()


def _label(text: bytes, extension: str) -> str | int | None:
    try:
        if extension == "cls":
            return text.decode().strip() or None
        facts = json.loads(text)
    except ValueError:
        return None
    found = [facts[key] for key in LABEL_KEYS if key in facts] if isinstance(facts, dict) else []
    return found[0] if found and isinstance(found[0], (str, int)) else None


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
