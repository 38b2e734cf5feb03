"""Files of weights: loaded once into the cache folder, and known by their SHA-256."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from gannet.errors import UserError, one_line
from gannet.files import atomic, size_of, told

BLOCK = 1 << 20  # bytes at once
TIMEOUT = 30  # seconds without a byte
SHOWN = 16  # digits of a SHA-256 that a protocol shows

Progress = Callable[[int, int], None]
"""Gets how much is done, and all."""


class CannotBeHad(UserError):
    """Weights that must be loaded, and cannot be: another extractor may do."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that is loaded from an address, and what it must be."""

    name: str
    """For what: `gannet fetch NAME` loads it."""
    url: str
    num_bytes: int
    sha256: str

    def ready(self, cache: Path, progress: Progress | None = None) -> Path:
        """Where the file lies in `cache`, loaded once and checked at each call; of several processes one loads it.

        Raises `CannotBeHad` where it cannot be loaded, and `UserError` where another file lies in its place.
        """
        path = cache / self.name / self.url.rpartition("/")[2]
        if not path.exists():
            with told(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(path.parent / "lock"):
                    if not path.exists():
                        self._load(path, progress)
        if path.stat().st_size != self.num_bytes or sha256_of(path) != self.sha256:
            raise UserError(f"{path} is not the file of {self.url}: remove it, and run gannet fetch {self.name}")
        return path

    def _load(self, path: Path, progress: Progress | None) -> None:
        digest, done = hashlib.sha256(), 0
        with atomic(path) as file:
            for block in self._blocks(path):
                file.write(block)
                digest.update(block)
                done += len(block)
                if progress:
                    progress(done, self.num_bytes)
            if digest.hexdigest() != self.sha256:
                raise self._missing(path, f"what came, {size_of(done)} of {size_of(self.num_bytes)}, is not the file")

    def _blocks(self, path: Path) -> Iterator[bytes]:
        try:
            with urlopen(self.url, timeout=TIMEOUT) as response:
                while block := response.read(BLOCK):
                    yield block
        except (OSError, HTTPException) as error:
            raise self._missing(path, one_line(error)) from error

    def _missing(self, path: Path, why: str) -> CannotBeHad:
        return CannotBeHad(
            f"the weights of {self.name} cannot be had ({why}): run gannet fetch {self.name} where there is a network, "
            f"or put {self.url} to {path}"
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(sha256: str) -> str:
    """As much of a SHA-256 as a protocol has of it."""
    return sha256[:SHOWN]
