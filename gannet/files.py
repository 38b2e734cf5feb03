"""Files and folders that are written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gannet.errors import UserError

PART = ".part"  # how a file's name ends while it is written
WAITS = [0.01 * 2**k for k in range(7)]  # seconds, 1.3 in all


def patiently(action: Callable[[], object]) -> None:
    """Calls `action`, and again for a second where the system says that it may not.

    Windows does not rename or remove a file while it is open, and virus scanners and indexers open
    every new file for a moment. Raises the last `PermissionError`.
    """
    for wait in WAITS:
        try:
            action()
            return
        except PermissionError:
            time.sleep(wait)
    action()


def size_of(num_bytes: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def check_space(folder: Path, num_bytes: int, what: str, advice: str) -> None:
    """Raises `UserError` where the disk of `folder`, which need not be there yet, has no room for `what`."""
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    if num_bytes > free:
        raise UserError(f"{what} need {size_of(num_bytes)} and {folder.parent} has {size_of(free)} left: {advice}")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Raises `UserError` in one line where the disk refuses `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def atomic(path: Path, sync: bool = True) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside `path`; at the end it is synced and renamed to `path`.

    What can be made anew, such as a picture, need not wait for the disk (`sync`).

    Whatever stops the write (a kill, a full disk) leaves the old file as it was. Raises
    `UserError` when the disk refuses.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        patiently(lambda: os.replace(temporary, path))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            patiently(lambda: os.unlink(temporary))


def remove_parts(folder: Path) -> None:
    """Removes what a process that was killed was writing, anywhere below the folder."""
    for path in list(folder.rglob(f".*{PART}")):
        with contextlib.suppress(OSError):
            (shutil.rmtree if path.is_dir() else os.unlink)(path)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder to fill; at the end it takes the place of the folder `path`.

    Whatever stops that leaves the old folder or the new one whole. A kill in the instant between its two
    renames leaves the old one under another name: `put_back` gives it its own again. Raises `UserError` when the
    disk refuses.
    """
    new = path.with_name(f".{path.name}{PART}")
    try:
        with told(path):
            put_back(path)
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            yield new
            if path.exists():
                patiently(lambda: os.rename(path, aside(path)))
            patiently(lambda: os.rename(new, path))
    finally:
        shutil.rmtree(new, ignore_errors=True)
        put_back(path)


@contextlib.contextmanager
def place_for(folder: Path, is_new: bool = False) -> Iterator[None]:
    """Makes the folder; at a `UserError` it goes again where nothing is in it, and so do those above it.

    Only those that were not there before, but for the folder itself where `is_new`. Raises `UserError` where the disk
    refuses.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists() or (is_new and path == folder)]
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except UserError:
        for path in new:
            with contextlib.suppress(OSError):  # somebody has put something into it
                path.rmdir()
        raise


@contextlib.contextmanager
def unless_refused(folder: Path, is_begun: Callable[[], bool]) -> Iterator[None]:
    """Where a `UserError` comes before `is_begun()`, all that was made in the folder goes again.

    Only for who is alone in the folder: what another process makes there meanwhile would go too.
    """
    before = set(folder.iterdir())
    try:
        yield
    except UserError:
        if not is_begun():
            for path in set(folder.iterdir()) - before:
                with contextlib.suppress(OSError):  # what cannot be removed must not hide the reason
                    (shutil.rmtree if path.is_dir() else os.unlink)(path)
        raise


def put_back(path: Path) -> None:
    """Mends what a kill in `whole_folder` may have left: the folder before has its name, or is removed."""
    if not aside(path).exists():
        return
    if path.exists():
        shutil.rmtree(aside(path))
    else:
        patiently(lambda: os.rename(aside(path), path))


def aside(path: Path) -> Path:
    """Where the folder before is while another takes its place."""
    return path.with_name(f".{path.name}.old")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all."""
    with atomic(path) as file:
        file.write(text.encode())


def write_with(path: Path, write: Callable[[IO[bytes]], object], sync: bool = True) -> None:
    """Calls `write(file)` and keeps the result at `path`, whole or not at all."""
    with atomic(path, sync) as file:
        write(file)
