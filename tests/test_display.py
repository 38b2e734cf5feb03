"""What is shown of work that takes its time."""

from types import SimpleNamespace

import pytest

from gannet import display


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock whose `now` is set by hand."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def lines_of(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str], *calls: tuple[float, int, int]) -> list[str]:
    """What is said of progress at times, in seconds from the beginning."""
    with display.counted("sampling") as progress:
        for seconds, done, total in calls:
            clock.now = 100.0 + seconds
            progress(done, total)
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


def test_a_pipe_gets_a_line_now_and_then(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [(2, 100, 5000), (9, 800, 5000), (12, 1100, 5000), (15, 1400, 5000), (22, 2100, 5000), (51, 5000, 5000)]
    assert lines_of(clock, capsys, *calls) == [
        "sampling: 1,100 of 5,000, 39 s left",
        "sampling: 2,100 of 5,000, 29 s left",
        "sampling: 5,000 of 5,000, 0 s left",
    ]


def test_what_is_soon_done_says_nothing(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(clock, capsys, (1, 50, 100), (9, 100, 100)) == []


def test_time_left_is_known_from_the_second_count_on(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there before says nothing of the speed, and another count begins anew."""
    calls = [(20, 700, 1000), (30, 800, 1000), (40, 3, 9), (55, 6, 9)]
    assert lines_of(clock, capsys, *calls) == [
        "sampling: 700 of 1,000",
        "sampling: 800 of 1,000, 20 s left",
        "sampling: 3 of 9",
        "sampling: 6 of 9, 15 s left",
    ]


def test_a_pipe_that_was_closed_stops_nothing(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(display.sys, "stderr", SimpleNamespace(isatty=lambda: False, write=closed))
    with display.counted("measuring the samples") as progress:
        clock.now += 20
        progress(1, 2)
