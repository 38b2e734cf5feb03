"""The decoded images on disk: made once, memory-mapped ever after."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.config import Data
from gannet.data.decode import is_wide, to_array
from gannet.data.held_out import held_out
from gannet.data.levels import levels
from gannet.data.pool import Progress, each
from gannet.data.sources import Source
from gannet.errors import UserError

VERSION = 1  # of what lies in an entry; a change makes all entries new
BUILDING = ".building-"
WEEK = 7 * 24 * 3600  # seconds
BLOCK = 1024  # images moved at once
PIXEL_SETTINGS = ("resolution", "fit", "filter", "alpha", "range", "held_out")


def cache_folder() -> Path:
    """`$GANNET_CACHE`, or the folder that the system has for caches."""
    if folder := os.environ.get("GANNET_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gannet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gannet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gannet"


def cache_bytes(num: int, resolution: int, channels: int) -> int:
    """Bytes on disk of `num` decoded images."""
    return num * channels * resolution**2


def entry_key(source: Source, settings: Data, channels: int, groups: Sequence[str] | None) -> str:
    """Name of the entry, from all files and all that changes what is in it."""
    digest = hashlib.sha256()
    facts: dict[str, Any] = {name: getattr(settings, name) for name in PIXEL_SETTINGS}
    for part in (VERSION, channels, facts, groups if settings.held_out else None):
        digest.update(json.dumps(part).encode())
    for i in range(len(source)):
        digest.update(source.key(i).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()[:40]


def read_entry(folder: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Images `[N, C, R, R]` and index of an entry, or None where it is missing or damaged."""
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        complete = list(images.shape) == index["shape"] and len(index["names"]) == len(images)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return (images, index) if complete else None


def write_entry(
    folder: Path,
    source: Source,
    settings: Data,
    channels: int,
    groups: Sequence[str] | None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Decodes all images into a folder beside `folder`, and then gives it that name.

    Where another process was faster, its entry is used. Raises `UserError` when the disk refuses or
    no image can be read.
    """
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        # What is held out is moved behind the rest, for which both files stand side by side.
        copies = 2 if settings.held_out else 1
        _check_space(folder.parent, copies * cache_bytes(len(source), settings.resolution, channels))
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=BUILDING))
        _build(temporary, source, settings, channels, groups, progress)
        if folder.exists() and read_entry(folder) is None:
            shutil.rmtree(folder)
        if not folder.exists():
            _rename(temporary, folder)
    except OSError as error:
        raise UserError(
            f"cannot write the decoded images to {folder.parent}: {error.strerror or error}; "
            "choose another folder with --data.cache"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    entry = read_entry(folder)
    if entry is None:
        raise UserError(f"the decoded images in {folder} cannot be read back: remove that folder and start again")
    return entry


def _sweep(folder: Path) -> None:
    """Removes what builds that were killed a week ago and longer have left."""
    for left in folder.glob(f"{BUILDING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > WEEK:
                shutil.rmtree(left)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.exists():
            raise


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"the decoded images need {size / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left: "
            "choose another folder with --data.cache or a smaller --data.resolution"
        )


def _build(
    folder: Path, source: Source, settings: Data, channels: int, groups: Sequence[str] | None, progress: Progress | None
) -> None:
    """Writes images.npy, the training images first, and index.json."""
    shape = len(source), channels, settings.resolution, settings.resolution
    digests, failed = _decode(folder / "slots.npy", shape, source, settings, progress)
    readable = np.array([i for i in range(len(source)) if digests[i]], np.int64)
    unreadable = [(source.names[i], why) for i, why in failed.items()]
    if not len(readable):
        name, why = unreadable[0]
        raise UserError(f"none of the {len(source):,} images can be read: {name} ({why}), ...")
    aside = np.zeros(len(readable), bool)
    if settings.held_out:
        # Without groups, images with the same pixels stay together.
        first: dict[bytes, str] = {}
        units = [groups[i] if groups else first.setdefault(digests[i], source.names[i]) for i in readable]
        aside = held_out(units, settings.held_out)
    ordered = np.concatenate([readable[~aside], readable[aside]])
    _reorder(folder, ordered, shape)
    index = {
        "source": source.name,
        "shape": [len(ordered), *shape[1:]],
        "num_train": int((~aside).sum()),
        "names": [source.names[i] for i in ordered],
        "labels": source.labels[ordered].tolist(),
        "unreadable": unreadable,
        "content": hashlib.sha256(b"".join(digests[i] for i in ordered)).hexdigest(),
    }
    (folder / "index.json").write_text(json.dumps(index), "utf-8")


def _decode(
    path: Path, shape: tuple[int, ...], source: Source, settings: Data, progress: Progress | None
) -> tuple[list[bytes], dict[int, str]]:
    """Writes image i to slot i. Returns a hash of each one's pixels, empty where it is unreadable."""
    slots = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    scale: tuple[float, float] | None = None

    def decode(i: int, image: Image.Image) -> bytes:
        if is_wide(image) and scale is None:
            return b""
        slots[i] = to_array(image, settings, shape[1], scale)
        return hashlib.sha256(slots[i].tobytes()).digest()

    found, failed = each(source, range(len(source)), decode, progress)
    digests = [digest or b"" for digest in found]
    wide = [i for i, digest in enumerate(digests) if not digest and i not in failed]
    if wide:
        scale = levels(source, wide, settings.range, progress) or (0.0, 1.0)
        found, more = each(source, wide, decode, progress)
        failed |= more
        for i, digest in zip(wide, found, strict=True):
            digests[i] = digest or b""
    slots.flush()
    return digests, dict(sorted(failed.items()))


def _reorder(folder: Path, ordered: np.ndarray, shape: tuple[int, ...]) -> None:
    """slots.npy to images.npy, with the slots in `ordered` alone."""
    if not np.array_equal(ordered, np.arange(shape[0])):
        slots = np.load(folder / "slots.npy", mmap_mode="r")
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (len(ordered), *shape[1:]))
        for start in range(0, len(ordered), BLOCK):
            images[start : start + BLOCK] = slots[ordered[start : start + BLOCK]]
        images.flush()
        del slots, images
        os.unlink(folder / "slots.npy")
    else:
        os.rename(folder / "slots.npy", folder / "images.npy")
