"""What lies in the cache of decoded images, and its removal."""

import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from gannet.data.slots import DIGESTS, IMAGES, INDEX, LEVELS, LOCK, SLOTS, num_noted
from gannet.errors import UserError
from gannet.files import patiently, size_of

DAY = 24 * 3600  # seconds
STALE = 7 * DAY  # since a building that was stopped last filled a slot
KEY = re.compile(r"[0-9a-f]{40}")
# The images first: where they cannot be removed, the entry stays whole.
FILES = (IMAGES, INDEX, SLOTS, DIGESTS, LEVELS)
# What `gannet evaluate` keeps there, and what a process that was killed was writing.
OTHERS = ("features-*.safetensors", ".features-*", *(f".{name}.*" for name in (IMAGES, INDEX, LEVELS)))


@dataclass(frozen=True)
class Entry:
    """One set of decoded images, or one whose building was stopped."""

    folder: Path
    source: str
    """Name of the folder, zip or data set; empty where the building was stopped."""
    num: int
    """Images; where the building was stopped, those that are decoded."""
    resolution: int
    size: int
    """Bytes on disk."""
    used: float
    """When it was last used, in seconds since 1970."""

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        facts = {"source": self.source, "num_images": self.num, "resolution": self.resolution, "bytes": self.size}
        used = datetime.fromtimestamp(self.used, UTC).isoformat(timespec="seconds")
        return {**facts, "last_used": used, "complete": bool(self.source), "folder": str(self.folder)}


def entries(folder: Path, days: float = 0.0) -> list[Entry]:
    """What `folder` holds that was last used `days` ago or earlier, newest first.

    Raises `UserError` when the folder cannot be read.
    """
    try:
        paths = [path for path in folder.iterdir() if KEY.fullmatch(path.name)] if folder.exists() else []
        found = [_entry(path) for path in paths if (path / LOCK).exists() or _files(path)]
    except OSError as error:
        raise UserError(f"cannot read the cache {folder}: {error.strerror or error}") from error
    latest = time.time() - days * DAY
    return sorted((entry for entry in found if entry.used <= latest or not days), key=lambda e: e.used, reverse=True)


def remove(found: Sequence[Entry]) -> tuple[int, list[Entry]]:
    """Removes the entries. Returns the bytes that this freed, and the entries that stay since they are in use.

    A run that reads an entry goes on: its images stay until it ends, and on Windows the entry does.
    Raises `UserError` when the disk refuses.
    """
    freed, kept = 0, []
    for entry in found:
        try:
            with FileLock(entry.folder / LOCK, timeout=0):
                for path in _files(entry.folder):
                    patiently(path.unlink)
                with contextlib.suppress(PermissionError):  # on Windows it goes when it is let go
                    (entry.folder / LOCK).unlink()
            freed += entry.size
            with contextlib.suppress(OSError):  # what is not the cache's stays
                entry.folder.rmdir()
        except (Timeout, PermissionError):
            kept.append(entry)
        except OSError as error:
            raise UserError(f"cannot remove {entry.folder}: {error.strerror or error}") from error
    return freed, kept


def table(folder: Path, found: Sequence[Entry]) -> str:
    """The entries for people to read."""
    lines = [f"{folder}: {_counted(len(found))}, {size_of(sum(entry.size for entry in found))}"]
    width = max((len(entry.source) for entry in found), default=0)
    for entry in found:
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        side, stopped = f"{entry.resolution}x{entry.resolution}", "" if entry.source else ", its building was stopped"
        lines.append(
            f"{entry.source:<{width}}  {entry.num:>9,} images  {side:>9}  {size_of(entry.size):>7}  "
            f"last used {used}{stopped}"
        )
    return "\n".join(lines)


def cleared(folder: Path, freed: int, removed: int, kept: Sequence[Entry]) -> str:
    """What `remove` has done, for people to read."""
    lines = [f"{folder}: {_counted(removed)} removed, {freed:,} bytes ({size_of(freed)}) freed"]
    lines += [f"in use or protected, and kept: {entry.source} ({entry.folder})" for entry in kept]
    return "\n".join(lines)


def _counted(num: int) -> str:
    return "1 entry" if num == 1 else f"{num:,} entries"


def remove_stale(folder: Path) -> None:
    """Removes from `folder` what buildings that were stopped a week ago or earlier have left."""
    for noted in folder.glob(f"*/{DIGESTS}"):
        with contextlib.suppress(OSError, UserError):
            if KEY.fullmatch(noted.parent.name) and time.time() - noted.stat().st_mtime > STALE:
                remove([_entry(noted.parent)])


def _files(folder: Path) -> list[Path]:
    """All files of an entry but its lock; other files are not the cache's."""
    others = [path for pattern in OTHERS for path in folder.glob(pattern)]
    return [path for path in (*(folder / name for name in FILES), *others) if path.exists()]


def _entry(folder: Path) -> Entry:
    files = [path.stat() for path in _files(folder)]
    size = sum(map(_bytes_on_disk, files))
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        used = (folder / INDEX).stat().st_mtime
        return Entry(folder, index["source"], index["shape"][0], index["shape"][-1], size, used)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        used = max((status.st_mtime for status in files), default=0.0)
        return Entry(folder, "", num_noted(folder), _resolution(folder / SLOTS), size, used)


def _bytes_on_disk(status: os.stat_result) -> int:
    """Less than its length where a file has holes: a building that was stopped has not filled its slots."""
    return min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)


def _resolution(slots: Path) -> int:
    try:
        return int(np.load(slots, mmap_mode="r").shape[-1])
    except (OSError, ValueError, EOFError):
        return 0
