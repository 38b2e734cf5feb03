"""Looks, spans and changes, by hand."""

import numpy as np
import pytest

from gannet.diagnosis.series import (
    GROWTH,
    Log,
    Look,
    Series,
    flattened,
    last_change,
    lasting,
    look,
    moments,
    roughness,
    spans,
)


def test_a_look_by_hand() -> None:
    found = look(np.arange(101.0))
    assert found is not None and found == Look(10.0, 50.0, 90.0)
    assert (found.spread, found.skew) == (80.0, 0.0)
    assert Look(0.0, 1.0, 10.0).skew == pytest.approx(0.8)
    assert Look(3.0, 3.0, 3.0).skew == 0.0
    assert look(np.arange(11.0)) is None


def test_an_exponential_has_the_skew_that_the_threshold_is_named_by() -> None:
    found = look(-np.log(1 - (np.arange(1000) + 0.5) / 1000))
    assert found is not None and found.skew == pytest.approx(0.465, abs=0.005)


def test_windows_are_open_at_their_beginning() -> None:
    series = Series(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 30, 40]))
    assert series.between(1, 3).tolist() == [20, 30]
    assert series.until(2).values.tolist() == [10, 20]
    assert len(Series(np.arange(1e5), np.zeros(100_000)).between(0, 1e5)) <= 8000


def test_moments_end_with_the_log() -> None:
    times = moments(Log({"loss D": Series(np.arange(1.0, 101.0), np.zeros(100))}))
    assert times[-1] == 100 and times[0] == pytest.approx(3, rel=0.05)
    assert times[1:] / times[:-1] == pytest.approx(GROWTH)
    assert len(moments(Log({}))) == 0


def test_spans_bridge_short_gaps_and_leave_out_what_is_short() -> None:
    times = GROWTH ** np.arange(40.0)
    holds = np.zeros(40, bool)
    holds[[2, 3]] = True
    holds[10:20] = holds[22:30] = True
    assert spans(times, holds) == [pytest.approx((times[10], times[29]))]
    assert lasting(times, holds) == pytest.approx((times[10], times[29], times[29]))
    held = lasting(times[:30], holds[:30])
    assert held is not None and held[2] is None  # to the end
    holds[10:20] = False
    assert lasting(times, holds) is None  # passed, and too short


def test_the_change_is_found_where_it_was_made() -> None:
    random = np.random.Generator(np.random.Philox(0))
    at = np.arange(1.0, 1001.0)
    level = Series(at, random.normal(size=1000) + 1.5 * (at > 300))
    assert last_change(level) == pytest.approx(300, abs=30)
    width = Series(at, random.normal(size=1000) * np.where(at > 600, 3, 1))
    assert last_change(roughness(width)) == pytest.approx(600, abs=40)


def test_a_slow_fall_is_taken_out_and_a_jump_is_not() -> None:
    random, time = np.random.Generator(np.random.Philox(0)), np.linspace(0, 1, 3000)
    noise = random.exponential(0.1, 3000)
    found = look(flattened(noise + 3 * np.exp(-1.2 * time)))
    plain = look(noise)
    assert found is not None and plain is not None
    assert found.spread == pytest.approx(plain.spread, rel=0.15)
    assert found.skew == pytest.approx(plain.skew, abs=0.1)
    assert found.middle == pytest.approx(3 * np.exp(-1.2) + plain.middle, abs=0.1)
    for other in (noise, noise + 3 * (time < 0.55), noise + 3 * time, noise[:50] - 5 * time[:50]):
        assert flattened(other) is other
