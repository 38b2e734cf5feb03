"""A run is watched live: one reader for all pages, nothing lost, nothing told twice."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studios import Runs, stats, written

from gannet.images import grid, png
from gannet.studio import events
from gannet.studio.security import Refused
from gannet.studio.server import House
from gannet.studio.thinning import Tail


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAUSE", 0.02)


class Page:
    """What a browser gets, event by event."""

    def __init__(self, stream: AsyncGenerator[bytes, None]):
        self.stream = stream

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The data of the next event of these kinds, and its id."""
        while True:
            text = (await asyncio.wait_for(anext(self.stream), 10)).decode()
            fields = dict(line.split(": ", 1) for line in text.strip().splitlines() if not line.startswith(":"))
            if fields.get("event") in kinds:
                return {**json.loads(fields["data"]), "id": int(fields["id"]), "event": fields["event"]}


Watcher = Callable[[House], Coroutine[Any, Any, None]]


def watched(tmp_path: Path, play: Watcher) -> None:
    asyncio.run(play(House.of(tmp_path / "runs", [])))


def page_of(house: House, name: str = "one", seen: int | None = None) -> Page:
    return Page(house.watches.stream(name, house.watches.check(name), seen))


def more(run: Path, lines: list[dict[str, Any]]) -> None:
    with (run / "stats.jsonl").open("a") as file:
        file.write(written(lines))


def test_new_lines_grids_and_metrics_come_as_they_are_written(runs: Runs, tmp_path: Path) -> None:
    run = runs("one", stats(5))
    metric = {"type": "metric", "kimg": 0.7, "metric": "KID", "value": 0.5, "better": "lower"}

    async def play(house: House) -> None:
        house.runs.tail(run).open()
        page = page_of(house)
        assert (await page.next("state"))["kimg"] == 0.5
        more(run, [*stats(7)[5:], metric])
        new = [await page.next("metric", "stats") for _ in range(2)]
        told = {event["event"]: event for event in new}
        assert told["stats"]["kimg"] == [0.6, 0.7] and told["stats"]["last"]["iteration"] == 7
        assert told["stats"]["series"]["loss D"]["max"] == [1.02, 1.0]
        assert told["metric"]["value"] == 0.5 and told["stats"]["id"] == (run / "stats.jsonl").stat().st_size
        picture = png(grid(np.zeros((1, 3, 16, 16), np.uint8)))
        (run / "samples" / "kimg000000.700.png").write_bytes(picture)
        assert (await page.next("grid"))["url"] == "/files/one/samples/kimg000000.700.png"
        await page.stream.aclose()
        assert house.watches.by_name == {}

    watched(tmp_path, play)


def test_a_page_that_comes_back_gets_what_it_has_missed_and_no_more(runs: Runs, tmp_path: Path) -> None:
    run = runs("one", stats(5))
    seen = (run / "stats.jsonl").stat().st_size

    async def play(house: House) -> None:
        more(run, stats(9)[5:])
        house.runs.tail(run).open()
        page = page_of(house, seen=seen)
        assert (await page.next("stats"))["kimg"] == [0.6, 0.7, 0.8, 0.9]
        more(run, stats(10)[9:])
        assert (await page.next("stats"))["kimg"] == [1.0]
        late = page_of(house, seen=10**9)  # of a file that was longer
        assert (await late.next("reset", "stats"))["event"] == "reset"

    watched(tmp_path, play)


def test_a_half_written_line_is_told_when_it_is_whole(runs: Runs, tmp_path: Path) -> None:
    run = runs("one", stats(5))

    async def play(house: House) -> None:
        house.runs.tail(run).open()
        page = page_of(house)
        await page.next("state")
        text = written(stats(6)[5:])
        with (run / "stats.jsonl").open("a") as file:
            file.write(text[:20])
            file.flush()
            await asyncio.sleep(0.1)
            file.write(text[20:])
        assert (await page.next("stats", "reset"))["kimg"] == [0.6]

    watched(tmp_path, play)


def test_a_run_that_resume_has_cut_back_is_fetched_anew(runs: Runs, tmp_path: Path) -> None:
    run = runs("one", stats(50))

    async def play(house: House) -> None:
        house.runs.tail(run).open()
        page = page_of(house)
        await page.next("state")
        (run / "stats.jsonl").write_text(written(stats(20)))
        await page.next("reset")
        more(run, stats(21)[20:])
        assert (await page.next("stats"))["kimg"] == [2.1]

    watched(tmp_path, play)


def test_a_run_that_is_removed_ends_the_stream(runs: Runs, tmp_path: Path) -> None:
    run = runs("one", stats(5))

    async def play(house: House) -> None:
        page = page_of(house)
        await page.next("state")
        shutil.rmtree(run)
        assert (await page.next("state"))["state"] == "gone"
        with pytest.raises(StopAsyncIteration):
            await anext(page.stream)
        with pytest.raises(Refused, match="removed"):
            house.watches.check("one")

    watched(tmp_path, play)


def test_many_pages_have_one_reader_and_a_slow_one_holds_up_no_other(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs("one", stats(5))
    looks: list[int] = []
    advance = Tail.advance
    monkeypatch.setattr(Tail, "advance", lambda self: (looks.append(1), advance(self))[1])

    async def play(house: House) -> None:
        house.runs.tail(run).open()
        pages = [page_of(house) for _ in range(20)]
        for page in pages:
            await page.next("state")
        looks.clear()
        num = 3 * events.WAITING
        for i in range(num):
            more(run, stats(6 + i)[5 + i :])
            assert (await pages[0].next("stats"))["kimg"] == [round((6 + i) / 10, 6)]
        assert len(looks) < 10 * num  # one reader: twenty would look twenty times as often
        assert len(house.watches.by_name["one"].pages) == 20
        assert all(page.qsize() <= events.WAITING for page in house.watches.by_name["one"].pages)
        assert (await pages[19].next("reset"))["event"] == "reset"  # it never read

    watched(tmp_path, play)


def test_what_is_not_finite_is_told_as_null() -> None:
    event = events.Event("metric", {"value": float("nan"), "low": -float("inf"), "metric": "NaN of names"}, 7)
    told = json.loads(event.encoded.decode().split("data: ")[1], parse_constant=pytest.fail)
    assert told == {"value": None, "low": None, "metric": "NaN of names"}


def test_runs_that_are_watched_are_told_of_line_by_line_whatever_else_is_looked_at(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gannet.studio.runs.MOST_TAILS", 1)
    monkeypatch.setattr("gannet.studio.thinning.STEP", 400)  # a long run is read in many steps
    one, _ = runs("one", stats(20)), runs("two", stats(20))

    async def play(house: House) -> None:
        pages = {}
        for name in ("one", "two"):
            tail = house.runs.tail(tmp_path / "runs" / name)
            while tail.end < len(written(stats(20))):
                tail.advance()
            pages[name] = page_of(house, name)
            await pages[name].next("state")
        more(one, stats(21)[20:])
        new = await pages["one"].next("stats", "reset")
        assert (new["event"], new.get("kimg")) == ("stats", [2.1])

    watched(tmp_path, play)


def test_so_many_pages_and_runs_are_watched_and_no_more(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WATCHED", 1)
    runs("one", stats(5))
    runs("other", stats(5))

    async def play(house: House) -> None:
        page = page_of(house)
        await page.next("state")
        with pytest.raises(Refused, match="watched already") as refused:
            house.watches.check("other")
        assert refused.value.code == 503
        monkeypatch.setattr(events, "MOST_PAGES", 1)
        with pytest.raises(Refused, match="close some"):
            house.watches.check("one")

    watched(tmp_path, play)
