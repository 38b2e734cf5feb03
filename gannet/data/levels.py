"""The one range by which all greys of more than 8 bits in a set become 0 to 255."""

import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from gannet.data.decode import is_wide, upright, wide_values
from gannet.data.pool import Progress, each
from gannet.data.sources import Source

BINS = 65536


def levels(
    source: Source, indices: Sequence[int], percentiles: tuple[float, float], progress: Progress | None = None
) -> tuple[float, float] | None:
    """The two percentiles (0 to 100) of all values of the wide images at `indices`.

    Exact for values of 16 bits; others are counted in 65,536 equal steps from the lowest to the
    highest. None when no image can be read.
    """
    spans, _ = each(source, indices, lambda _, images: [_span(values) for values in _wide(images)], progress)
    known = [span for item in spans for span in item or ()]
    if not known:
        return None
    low, high = min(s[0] for s in known), max(s[1] for s in known)
    if percentiles == (0, 100) or low == high:
        return low, high
    if low >= 0 and high < BINS and all(whole for _, _, whole in known):
        low, high = 0.0, BINS - 1.0
    step = (high - low) / (BINS - 1)

    counts = np.zeros(BINS, np.int64)
    lock = threading.Lock()

    def count(_: int, images: Iterable[Image.Image]) -> None:
        for values in _wide(images):
            bins = np.rint((values - low) / step).astype(np.int64)
            found = np.bincount(bins.ravel(), minlength=BINS)
            with lock:
                np.add(counts, found, out=counts)

    each(source, indices, count)
    first, last = (low + step * _percentile(counts, p) for p in percentiles)
    return first, last


def _wide(images: Iterable[Image.Image]) -> Iterator[np.ndarray]:
    """The values of those images that are wide."""
    return (wide_values(upright(image)) for image in images if is_wide(image))


def _span(values: np.ndarray) -> tuple[float, float, bool]:
    return float(values.min()), float(values.max()), bool((values == np.rint(values)).all())


def _percentile(counts: np.ndarray, percent: float) -> int:
    """The bin of the value below which `percent` of all values lie."""
    rank = percent / 100 * (counts.sum() - 1)
    return int(np.searchsorted(np.cumsum(counts), rank, side="right"))
