"""The decoded images on disk: made once, memory-mapped ever after."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from gannet.config import Data
from gannet.data.decode import is_wide, to_array
from gannet.data.entries import remove_stale
from gannet.data.held_out import held_out
from gannet.data.levels import levels
from gannet.data.pool import Progress, each
from gannet.data.slots import DIGESTS, IMAGES, INDEX, LEVELS, LOCK, SLOTS, Slots, SlotsOnDisk, num_noted
from gannet.data.sources import Source, shown
from gannet.errors import UserError
from gannet.files import check_space, patiently, write_text

VERSION = 2  # of what lies in an entry; a change makes all entries new
OFF = "off"  # in place of a folder: nothing is written
LOOK = 0.5  # seconds between two looks at how far another process has come
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


def images_folder(cache: str) -> Path:
    """Where the entries are: in the folder `cache`, or in the user's where that is empty."""
    return (Path(cache).expanduser() if cache else cache_folder()) / "images"


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
    """Images `[N, frames * C, R, R]` and index of an entry, or None where it is missing or damaged."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        images = np.load(folder / IMAGES, mmap_mode="r")
        complete = list(images.shape) == index["shape"] and len(index["names"]) == len(images)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if not complete:
        return None
    with contextlib.suppress(OSError):  # a cache that others have made may be read-only
        os.utime(folder / INDEX)  # when it was last used
    return images, index


def write_entry(
    folder: Path,
    source: Source,
    settings: Data,
    channels: int,
    groups: Sequence[str] | None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Decodes all images into `folder`, where index.json comes last and makes the entry whole.

    Goes on where a build that was killed has stopped. Where another process is at it, waits and uses
    its work. Raises `UserError` when the disk refuses or no image can be read.
    """
    try:
        with _only_one(folder, len(source), progress):
            if entry := read_entry(folder):
                return entry
            remove_stale(folder.parent)
            # What is held out is moved behind the rest, for which both files stand side by side.
            copies = len(source) * (2 if settings.held_out else 1) - num_noted(folder)
            size = cache_bytes(copies, settings.resolution, channels * source.num_frames)
            check_space(
                folder,
                size,
                "the decoded images",
                "choose another folder with --data.cache or a smaller --data.resolution",
            )
            with closing(SlotsOnDisk(folder, _shape(source, settings, channels))) as slots:
                images, index = _build(slots, source, settings, groups, progress)
            write_text(folder / INDEX, json.dumps(index))
            for name in (SLOTS, DIGESTS, LEVELS):
                patiently(lambda: (folder / name).unlink(missing_ok=True))
            return images, index
    except OSError as error:
        raise UserError(
            f"cannot write the decoded images to {folder.parent}: {error.strerror or error}; "
            "choose another folder with --data.cache"
        ) from error


def decode_in_memory(
    source: Source, settings: Data, channels: int, groups: Sequence[str] | None, progress: Progress | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """What `write_entry` gives, with nothing written. Raises `UserError` likewise, and where memory is short."""
    return _build(Slots(_shape(source, settings, channels)), source, settings, groups, progress)


def _shape(source: Source, settings: Data, channels: int) -> tuple[int, ...]:
    return len(source), channels * source.num_frames, settings.resolution, settings.resolution


@contextlib.contextmanager
def _only_one(folder: Path, num: int, progress: Progress | None) -> Iterator[None]:
    """Waits until no other process builds the entry `folder`, and shows how far that has come.

    The system takes the lock from a process that dies.
    """
    lock = FileLock(folder / LOCK)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=LOOK)
            break
        except Timeout:
            if progress:
                progress(num_noted(folder), num)
    try:
        yield
    finally:
        lock.release()


def _build(
    slots: Slots, source: Source, settings: Data, groups: Sequence[str] | None, progress: Progress | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Images, those to train on first, and index of all that can be read."""
    failed = _decode(slots, source, settings, progress)
    readable = np.array([i for i, found in enumerate(slots.digests) if found], np.int64)
    unreadable = [(shown(source.names[i]), why) for i, why in failed.items()]
    if not len(readable):
        name, why = unreadable[0]
        raise UserError(f"none of the {len(source):,} {settings.items} can be read: {name} ({why}), ...")
    aside = np.zeros(len(readable), bool)
    if settings.held_out:
        # Without groups, images with the same pixels stay together.
        first: dict[bytes, str] = {}
        units = [groups[i] if groups else first.setdefault(slots.digests[i], source.names[i]) for i in readable]
        aside = held_out(units, settings.held_out)
    images = slots.finish(readable[~aside], readable[aside])
    ordered = np.concatenate([readable[~aside], readable[aside]])
    index = {
        "source": source.name,
        "shape": list(images.shape),
        "num_train": int((~aside).sum()),
        "names": [source.names[i] for i in ordered],
        "labels": source.labels[ordered].tolist(),
        "unreadable": unreadable,
        "content": hashlib.sha256(b"".join(slots.digests[i] for i in ordered)).hexdigest(),
    }
    return images, index


def _decode(slots: Slots, source: Source, settings: Data, progress: Progress | None) -> dict[int, str]:
    """Fills the slots that are empty. Returns why the images of those that remain so cannot be read."""
    todo = [i for i, found in enumerate(slots.digests) if not found]
    filled = len(source) - len(todo)
    wide: list[int] = []

    channels = slots.shape[1] // source.num_frames

    def decode(i: int, images: Iterable[Image.Image]) -> None:
        frames = []
        for image in images:
            if is_wide(image) and slots.levels is None:
                wide.append(i)
                return
            frames.append(to_array(image, settings, channels, slots.levels))
        slots.put(i, np.concatenate(frames))

    def show(done: int, _: int) -> None:
        if progress:
            progress(filled + done, len(source))

    _, failed = each(source, todo, decode, show)
    if wide:
        wide.sort()
        slots.keep_levels(levels(source, wide, settings.range, progress) or (0.0, 1.0))
        _, more = each(source, wide, decode, progress)
        failed |= more
    return dict(sorted(failed.items()))
