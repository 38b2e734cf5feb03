"""The same work on many images, in threads (Pillow and numpy work outside Python's lock)."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from gannet.data.sources import Source
from gannet.errors import UserError, one_line

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
CHUNK = 32


def each(
    source: Source,
    indices: Sequence[int],
    work: Callable[[int, Iterator[Image.Image]], Result],
    progress: Progress | None = None,
) -> tuple[list[Result | None], dict[int, str]]:
    """Calls `work(i, images)` for every index, with the images of the item, each opened and its pixels not yet read.

    Returns the results in the order of `indices`, None where an item cannot be read, and for each
    of these its index and the reason. `progress` gets the numbers done and in all.
    """
    failed: dict[int, str] = {}

    def some(part: Sequence[int]) -> list[Result | None]:
        results: list[Result | None] = []
        for i in part:
            try:
                with closing(source.frames(i)) as images:
                    results.append(work(i, images))
            except UserError:
                raise
            except Exception as error:  # Pillow's plugins raise nearly anything for a bad file
                failed[i] = reason(error)
                results.append(None)
        return results

    results: list[Result | None] = []
    parts = [indices[k : k + CHUNK] for k in range(0, len(indices), CHUNK)]
    pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for future in [pool.submit(some, part) for part in parts]:
                results += future.result()
                if progress:
                    progress(len(results), len(indices))
        finally:
            pool.shutdown(cancel_futures=True)
    return results, dict(sorted(failed.items()))


def reason(error: Exception) -> str:
    """Why an image cannot be read, in a few words on one line."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known kind"
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return (error.strerror or "cannot be opened").lower()
    return one_line(error)
