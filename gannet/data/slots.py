"""Where images lie while a set of them is decoded: image i in slot i, with a hash of its pixels."""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import IO

import numpy as np

from gannet.errors import UserError
from gannet.files import atomic, patiently, write_text

SLOTS, DIGESTS, LEVELS = "slots.npy", "digests.npy", "levels.json"  # of an entry while it is built
IMAGES, INDEX, LOCK = "images.npy", "index.json", "lock"  # of an entry that is whole
DIGEST = hashlib.sha256().digest_size  # bytes
BLOCK = 1024  # images moved at once


class Slots:
    """Slots in memory, uint8 `shape` = `[N, C, R, R]`. Raises `UserError` when they do not fit."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self.levels: tuple[float, float] | None = None
        """The values that become 0 and 255 in all images of more than 8 bits, once they are known."""
        self._open()
        self.digests = self._filled()
        """Hash of the pixels in each slot; empty where there is no image (yet)."""

    def _open(self) -> None:
        try:
            self._images = np.empty(self.shape, np.uint8)
        except MemoryError as error:
            size = np.prod(self.shape, dtype=float) / 1e9
            raise UserError(
                f"the decoded images need {size:.1f} GB of memory: leave out --data.cache off, or choose a smaller "
                "--data.resolution"
            ) from error

    def _filled(self) -> list[bytes]:
        return [b""] * self.shape[0]

    def put(self, i: int, image: np.ndarray) -> None:
        """Keeps image `i`; from any thread. Raises `UserError` when the disk refuses."""
        self._images[i] = image
        self.digests[i] = digest(image)

    def keep_levels(self, levels: tuple[float, float]) -> None:
        """Sets `levels`, before the first image that needs them."""
        self.levels = levels

    def finish(self, train: np.ndarray, aside: np.ndarray) -> np.ndarray:
        """The images of slots `train` and then `aside`, both int64 and ascending; the slots are gone."""
        # In place, as there may be no memory for a second copy: what moves forward never meets what is to move.
        last = self._images[aside]
        for start in range(0, len(train), BLOCK):
            chosen = train[start : start + BLOCK]
            self._images[start : start + len(chosen)] = self._images[chosen]
        self._images[len(train) : len(train) + len(aside)] = last
        return self._images[: len(train) + len(aside)]


class SlotsOnDisk(Slots):
    """Slots in a folder. Those that a build which was killed has filled there are kept.

    A slot counts as filled where its bytes have the hash that was noted, so it does not matter in
    which order a system that died had written them.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]):
        self.folder = folder
        super().__init__(shape)

    def _open(self) -> None:
        self._lock = threading.Lock()
        for left in self.folder.glob(f".{IMAGES}.*"):
            left.unlink()
        if (self.folder / LEVELS).exists():
            low, high = json.loads((self.folder / LEVELS).read_text("utf-8"))
            self.levels = low, high
        # Written as files and not through memory, where a full disk would kill the process.
        self._files: list[tuple[IO[bytes], int, int]] = []
        for name, shape in ((SLOTS, self.shape), (DIGESTS, (self.shape[0], DIGEST))):
            start = _rows(self.folder / name, shape).offset
            self._files.append(((self.folder / name).open("r+b"), start, int(np.prod(shape[1:]))))

    def _filled(self) -> list[bytes]:
        noted = [row.tobytes() for row in np.load(self.folder / DIGESTS, mmap_mode="r")]
        slots = np.load(self.folder / SLOTS, mmap_mode="r")
        return [found if any(found) and digest(slots[i]) == found else b"" for i, found in enumerate(noted)]

    def put(self, i: int, image: np.ndarray) -> None:
        row, found = image.tobytes(), digest(image)
        try:
            with self._lock:
                for (file, start, size), data in zip(self._files, (row, found), strict=True):
                    file.seek(start + i * size)
                    file.write(data)
                    file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write the decoded images to {self.folder}: {error.strerror or error}; make room and start "
                "again (it goes on from here), or choose another folder with --data.cache"
            ) from error
        self.digests[i] = found

    def keep_levels(self, levels: tuple[float, float]) -> None:
        write_text(self.folder / LEVELS, json.dumps(levels))
        super().keep_levels(levels)

    def close(self) -> None:
        for file, _, _ in self._files:
            file.close()

    def finish(self, train: np.ndarray, aside: np.ndarray) -> np.ndarray:
        ordered = np.concatenate([train, aside])
        os.fsync(self._files[0][0].fileno())
        self.close()
        slots, images = self.folder / SLOTS, self.folder / IMAGES
        if np.array_equal(ordered, np.arange(self.shape[0])):
            patiently(lambda: os.replace(slots, images))
            return np.load(images, mmap_mode="r")
        source = np.load(slots, mmap_mode="r")
        with atomic(images) as file:
            _write_header(file, (len(ordered), *self.shape[1:]))
            for start in range(0, len(ordered), BLOCK):
                file.write(source[ordered[start : start + BLOCK]].tobytes())
        return np.load(images, mmap_mode="r")


def digest(image: np.ndarray) -> bytes:
    """Hash of the pixels."""
    return hashlib.sha256(image.tobytes()).digest()


def num_noted(folder: Path) -> int:
    """How many slots the build in `folder` has filled so far."""
    try:
        return int(np.load(folder / DIGESTS, mmap_mode="r").any(1).sum())
    except (OSError, ValueError, EOFError):
        return 0


def _rows(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """The uint8 array in the file `path`; made, of zeros, where there is none."""
    for _ in range(2):
        try:
            rows = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            rows = None
        if isinstance(rows, np.memmap) and rows.shape == shape and rows.dtype == np.uint8:
            return rows
        with path.open("wb") as file:
            _write_header(file, shape)
            file.truncate(file.tell() + int(np.prod(shape)))
    raise OSError(f"{path} cannot be read back")


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
