"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gannet.errors import UserError


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all."""
    with atomic(path) as file:
        file.write(text.encode())


def write_with(path: Path, write: Callable[[IO[bytes]], object], sync: bool = True) -> None:
    """Calls `write(file)` and keeps the result at `path`, whole or not at all."""
    with atomic(path, sync) as file:
        write(file)
