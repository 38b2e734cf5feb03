import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.noise import Stream, normal, philox

seeds = st.integers(0, 2**63 - 1)
streams = st.sampled_from(Stream)
dims = st.integers(1, 21)


@given(seeds, streams, dims, st.integers(0, 2**50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_block_is_the_slice_of_a_bigger_one(
    seed: int, stream: Stream, dim: int, start: int, before: int, num: int, after: int
) -> None:
    whole = normal(seed, stream, start, before + num + after, dim)
    part = normal(seed, stream, start + before, num, dim)
    assert part.dtype == np.float32
    assert part.shape == (num, dim)
    assert np.array_equal(part, whole[before : before + num])


@given(seeds, streams, dims)
def test_seeds_streams_and_numbers_differ(seed: int, stream: Stream, dim: int) -> None:
    z = normal(seed, stream, 0, 4, dim)
    others = [normal(seed, other, 0, 4, dim) for other in Stream if other != stream]
    for other in (normal(seed + 1, stream, 0, 4, dim), normal(seed, stream, 4, 4, dim), *others):
        assert not np.isclose(z, other, rtol=0, atol=1e-6).all()


@pytest.mark.parametrize("dim", [1, 2, 6, 100])
def test_box_and_muller_by_hand(dim: int) -> None:
    words = (dim + 3) // 4 * 4
    raw = np.random.Philox(key=[7, int(Stream.GRID)], counter=5 * words // 4).random_raw(words)
    uniform = [(int(word) // 2**11 + 0.5) / 2**53 for word in raw]
    pairs = list(zip(uniform[: words // 2], uniform[words // 2 :], strict=True))
    lengths = [(math.sqrt(-2 * math.log(u)), 2 * math.pi * v) for u, v in pairs]
    expected = [r * math.cos(a) for r, a in lengths] + [r * math.sin(a) for r, a in lengths]
    assert normal(7, Stream.GRID, 5, 1, dim)[0] == pytest.approx(expected[:dim], rel=1e-6)


def test_the_values_are_those_of_a_standard_normal() -> None:
    z = normal(3, Stream.TRAIN, 0, 4000, 50).astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    for bound, share in [(0.5, 0.38292), (1, 0.68269), (2, 0.95450), (3, 0.99730)]:
        assert abs((abs(z) < bound).mean() - share) < 5 * math.sqrt(share * (1 - share) / n)


def test_dimensions_and_neighbours_are_not_correlated() -> None:
    z = normal(11, Stream.SAMPLE, 0, 20_000, 8).astype(np.float64)
    both = np.concatenate([z[:-1], z[1:]], axis=1)
    correlations = np.corrcoef(both.T) - np.eye(16)
    assert abs(correlations).max() < 5.5 / math.sqrt(len(z))


def test_philox_counts_in_steps_of_four_words() -> None:
    whole = philox(9, Stream.ORDER).random_raw(12)
    assert np.array_equal(philox(9, Stream.ORDER, 2).random_raw(4), whole[8:])


def test_the_noise_never_changes() -> None:
    expected = [[2.2844414710998535, -1.5494507551193237], [1.1078064441680908, 1.594839334487915]]
    assert normal(0, Stream.SAMPLE, 0, 2, 2) == pytest.approx(np.array(expected), rel=1e-6)
