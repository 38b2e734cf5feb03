"""Which image comes when: a function of the seed and the image's number in the run."""

from functools import lru_cache

import numpy as np

from gannet.noise import WORDS_PER_COUNTER, Stream, philox

EPOCH = 128  # bits: an epoch's number stands above them in Philox's counter of 256, so none meet


def order(seed: int, start: int, num: int, size: int, replacement: bool) -> np.ndarray:
    """Indices below `size` of images number `start` to `start + num` of a run, int64 `[num]`.

    Without replacement, one permutation of the data set follows another; with it, each index is
    drawn alone. Either way number i follows from (seed, i), however the run is cut into batches.
    """
    if replacement:
        first = start // WORDS_PER_COUNTER
        skip = start - first * WORDS_PER_COUNTER
        words = philox(seed, Stream.ORDER, first).random_raw(skip + num)[skip:]
        return ((words >> np.uint64(32)) * np.uint64(size) >> np.uint64(32)).astype(np.int64)
    parts = [np.empty(0, np.int64)]
    while num > 0:
        epoch, begin = divmod(start, size)
        parts.append(_permutation(seed, epoch, size)[begin : begin + num])
        start, num = start + len(parts[-1]), num - len(parts[-1])
    return np.concatenate(parts)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    # Sorting Philox's raw words, and not Generator.permutation, which numpy may change.
    words = philox(seed, Stream.ORDER, (epoch + 1) << EPOCH).random_raw(size)
    permutation = np.argsort(words, kind="stable").astype(np.int64)
    permutation.flags.writeable = False
    return permutation
