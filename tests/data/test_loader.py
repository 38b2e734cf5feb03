import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gannet.data.loader import order

seeds = st.integers(0, 2**63 - 1)
sizes = st.integers(1, 50)


@given(seeds, sizes, st.integers(0, 200), st.lists(st.integers(0, 30), max_size=8), st.booleans())
def test_the_order_does_not_depend_on_the_batches(seed: int, size: int, start: int, cuts: list[int], rep: bool) -> None:
    parts, now = [], start
    for num in cuts:
        parts.append(order(seed, now, num, size, rep))
        now += num
    whole = order(seed, start, now - start, size, rep)
    assert whole.dtype == np.int64
    assert np.concatenate([*parts, np.empty(0, np.int64)]).tolist() == whole.tolist()


@given(seeds, sizes, st.integers(0, 5))
def test_each_epoch_has_each_image_once(seed: int, size: int, epoch: int) -> None:
    assert sorted(order(seed, epoch * size, size, size, False)) == list(range(size))


@given(seeds, sizes, st.integers(0, 2**40))
def test_replacement_stays_in_range(seed: int, size: int, start: int) -> None:
    drawn = order(seed, start, 20, size, True)
    assert drawn.min() >= 0 and drawn.max() < size


def test_epochs_and_seeds_differ() -> None:
    first = order(0, 0, 1000, 1000, False)
    assert not np.array_equal(first, order(0, 1000, 1000, 1000, False))
    assert not np.array_equal(first, order(1, 0, 1000, 1000, False))


def test_replacement_is_uniform() -> None:
    counts = np.bincount(order(5, 0, 100_000, 10, True), minlength=10)
    assert abs(counts - 10_000).max() < 500


def test_the_order_never_changes() -> None:
    assert order(0, 0, 8, 8, False).tolist() == [2, 4, 7, 5, 1, 6, 3, 0]
    assert order(0, 3, 6, 100, True).tolist() == [59, 9, 4, 10, 15, 60]
