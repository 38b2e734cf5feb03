"""What happens in a run, as it happens: server-sent events, from one reader for all pages that watch it."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gannet.studio.findings import Findings
from gannet.studio.runs import SAMPLES, Runs, file_url, plain
from gannet.studio.security import Refused
from gannet.studio.summary import Summaries
from gannet.studio.thinning import STEP, Tail, of_lines

PAUSE = 0.5  # seconds between two looks at the file
POINTS = 20  # of one event at most
MISSED = 1000  # points of what a page has missed
WAITING = 32  # events that a slow page may leave unread
STATE_EVERY = 4  # looks
ALIVE_EVERY = 30  # looks after which a page that hears nothing is told that all is well
MOST_WATCHED = 32
MOST_PAGES = 200
KINDS = {"metric": "metric", "event": "history"}


@dataclass(frozen=True)
class Event:
    """A kind, what it says, and how many bytes of stats.jsonl it and those before it tell of."""

    kind: str
    data: Mapping[str, Any]
    tail: int

    @cached_property
    def encoded(self) -> bytes:
        """As it is sent, made once for all pages; null for what is not finite, which no browser reads."""
        text = json.dumps(plain(self.data))
        if "NaN" in text or "Infinity" in text:
            text = json.dumps(json.loads(text, parse_constant=lambda _: None))
        return f"id: {self.tail}\nevent: {self.kind}\ndata: {text}\n\n".encode()


@dataclass
class Watch:
    """One run that somebody looks at."""

    name: str
    run: Path
    tail: Tail
    """Its own: `Runs` keeps only those that were asked for last, and one that is made anew begins anew."""
    runs: Runs
    summaries: Summaries
    findings: Findings
    pages: set[asyncio.Queue[Event]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    told: dict[str, Any] = field(default_factory=dict)
    """What was said last, by kind."""
    seen: int = 0
    """Bytes of stats.jsonl of which all pages were told."""
    era: int = 0

    async def go(self) -> None:
        """Looks, tells, and waits, as long as there are pages."""
        looks = 0
        while self.pages:
            try:
                events = await asyncio.to_thread(self.look, looks % STATE_EVERY == 0)
                for event in events:
                    self.tell(event)
                    self.seen = event.tail
                    if event.data.get("state") == "gone":
                        return
            except (Refused, OSError, ValueError):  # what it wanted to read was removed meanwhile
                await asyncio.sleep(PAUSE)
            looks += 1
            await asyncio.sleep(PAUSE)

    def look(self, with_state: bool) -> list[Event]:
        """What is new."""
        tail = self.tail
        if not os.path.isdir(self.run):
            return [Event("state", {"state": "gone", "problem": "the folder of this run was removed"}, tail.end)]
        was_exact = tail.exact
        tail.advance()
        with tail.lock:
            end, era = tail.end, tail.era
            lines = tail.lines(self.seen, end) if self.seen <= end <= self.seen + STEP else None
        events = []
        if era != self.era or tail.exact != was_exact or lines is None:
            self.era = era
            events.append(Event("reset", {}, end))
        elif lines:
            events += told_of(lines, tail, POINTS, end)
        if grids := self.runs.grids(self.run):
            kimg, file = grids[-1]
            events += self.changed("grid", {"kimg": kimg, "url": file_url(self.name, SAMPLES, file)}, end)
        if with_state:
            found = self.findings.of(self.run)
            settings, glance = self.runs.settings(self.run), self.runs.glance(self.run)
            standing = self.summaries.standing(self.name, self.run, settings, glance, found)
            events += self.changed("finding", dict(found), end) + self.changed("state", standing, end)
        return events

    def changed(self, kind: str, data: dict[str, Any], end: int) -> list[Event]:
        """The event, unless it says what was said."""
        if self.told.get(kind) == data:
            return []
        self.told[kind] = data
        return [Event(kind, data, end)]

    def tell(self, event: Event) -> None:
        for page in self.pages:
            if page.full():  # too slow: it is told to begin anew, and nothing more until it has read
                while not page.empty():
                    page.get_nowait()
                page.put_nowait(Event("reset", {}, event.tail))
            page.put_nowait(event)


@dataclass
class Watches:
    """The runs that are looked at, each with one reader."""

    runs: Runs
    summaries: Summaries
    findings: Findings
    by_name: dict[str, Watch] = field(default_factory=dict)
    is_ending: Callable[[], bool] = lambda: False
    """Whether the server is asked to end, which waits for no page."""

    def check(self, name: str) -> Path:
        """The run's folder. Raises `Refused` where it is not there, or too much is watched."""
        run = self.runs.find(name)
        if name not in self.by_name and len(self.by_name) >= MOST_WATCHED:
            raise Refused(f"{MOST_WATCHED} runs are being watched already: close some pages", 503)
        if sum(len(watch.pages) for watch in self.by_name.values()) >= MOST_PAGES:
            raise Refused(f"{MOST_PAGES} pages watch runs already: close some", 503)
        return run

    async def stream(self, name: str, run: Path, seen: int | None) -> AsyncGenerator[bytes, None]:
        """The events of a run without end; first those that a page which has `seen` so many bytes has missed."""
        watch = self.by_name.get(name)
        tail = self.runs.tail(run) if watch is None else watch.tail
        if watch is None:
            watch = Watch(name, run, tail, self.runs, self.summaries, self.findings, seen=tail.end, era=tail.era)
            self.by_name[name] = watch
        page: asyncio.Queue[Event] = asyncio.Queue(WAITING)
        until = watch.seen
        watch.pages.add(page)
        try:
            yield b"retry: 2000\n\n"
            for event in await asyncio.to_thread(missed, tail, seen, until):
                yield event.encoded
            for kind, data in list(watch.told.items()):
                yield Event(kind, data, until).encoded
            if watch.task is None or watch.task.done():
                watch.task = asyncio.create_task(watch.go())
            silent = 0
            while not self.is_ending():
                try:
                    event = await asyncio.wait_for(page.get(), PAUSE)
                except TimeoutError:
                    silent += 1
                    if silent % ALIVE_EVERY == 0:
                        yield b": all is well\n\n"
                    continue
                yield event.encoded
                if event.data.get("state") == "gone":
                    return
        finally:
            watch.pages.discard(page)
            if not watch.pages and self.by_name.get(name) is watch:
                del self.by_name[name]
                if watch.task is not None:
                    watch.task.cancel()
                    with suppress(asyncio.CancelledError):
                        await watch.task


def missed(tail: Tail, seen: int | None, until: int) -> list[Event]:
    """What stands between what a page has seen and what the others were told, or that it should begin anew."""
    if seen is None or seen == until:
        return []
    if not 0 <= seen < until or until - seen > STEP:
        return [Event("reset", {}, until)]
    return told_of(tail.lines(seen, until), tail, MISSED, until)


def told_of(lines: Sequence[Mapping[str, Any]], tail: Tail, points: int, end: int) -> list[Event]:
    """New lines as events: statistics thinned, metrics and what happened as they are."""
    stats = [line for line in lines if line["type"] == "stats"]
    events = [Event(KINDS[line["type"]], line, end) for line in lines if line["type"] in KINDS]
    if stats:
        curves = of_lines(stats, tail.names, points).to_dict()
        events.append(Event("stats", {**curves, "tail": end, "last": stats[-1]}, end))
    return events
