"""What the studio takes: a million lines opened, 200 runs listed, 20 pages watching one run, images of Play.

    python benchmarks/studio.py [--seconds 120] [--lines 1000000]

Prints a table, each row with its target. The server is a process of its own, and the run that is
watched trains in another one, with and without pages in turn.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from gannet.config import changed, to_toml
from gannet.recipes import recipe
from gannet.training.build import completed

SMALL = ("--recipe", "dcgan-shapes", "--data.resolution", "32", "--train.precision", "float32", "--train.device", "cpu")
NAMES = ("D real", "D fake", "loss D", "D(x)", "D(G(z))", "D(G(z)) after", "accuracy real", "accuracy fake", "loss G")
NUM_RUNS, PAGES, TIMES = 200, 20, 20
TURNS = 12  # of training, every second one watched

Rows = Iterator[tuple[str, str, str]]
"""What was measured, its value, and the target."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="how long the pages watch")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the long run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for rows in (
            opening(folder / "long", options.lines),
            listing(folder / "many"),
            playing(folder / "played"),
            watching(folder / "watched", options.seconds),
        ):
            for name, value, target in rows:
                print(f"{name:<45}{value:>12}  {target}", flush=True)


@contextmanager
def studio(runs: Path) -> Iterator[tuple[str, int]]:
    """A studio's address and process."""
    command = [sys.executable, "-m", "gannet", "studio", str(runs), "--no-browser", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[1].rstrip("/")
        httpx.get(f"{url}/api/compare?runs=nothing", timeout=120)  # waits for torch, here and not in a measurement
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def write_run(run: Path, num: int) -> None:
    """A run of `num` lines like those of a DCGAN."""
    run.mkdir(parents=True)
    made = changed(completed(recipe("dcgan-shapes")), "train", length=f"{num / 100:g} kimg")
    (run / "recipe.toml").write_text(to_toml(made, {"gannet": "0.1.0", "classes": []}), "utf-8")
    with (run / "stats.jsonl").open("w") as file:
        for i in range(num):
            values = {name: 0.5 + 0.0137 * ((i * (k + 3)) % 31) for k, name in enumerate(NAMES)}
            line = {"type": "stats", "kimg": (i + 1) / 100, "iteration": i + 1, "seconds": round(0.02 * i, 3), **values}
            file.write(json.dumps(line) + "\n")


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def opening(folder: Path, num: int) -> Rows:
    """The run's page: all of it, and its statistics."""
    write_run(folder / "long", num)
    with studio(folder) as (url, _), httpx.Client(base_url=url, timeout=120) as client:

        def page() -> None:
            client.get("/api/runs/long").raise_for_status()
            client.get("/api/runs/long/statistics").raise_for_status()

        first = timed(page)
        zoom = timed(lambda: client.get(f"/api/runs/long/statistics?from={num / 250}&to={num / 250 + 5}"))
    shutil.rmtree(folder)
    yield f"a run of {num:,} lines opens", f"{first:.2f} s", "under 1.5 s"
    yield "a stretch of it is looked at closely", f"{zoom:.2f} s", ""


def listing(folder: Path) -> Rows:
    for i in range(NUM_RUNS):
        write_run(folder / f"run{i:03}", 500)
    with studio(folder) as (url, _):
        first = timed(lambda: httpx.get(f"{url}/api/runs", timeout=60).raise_for_status())
        time.sleep(10)  # it looks at what it has listed
        again = timed(lambda: httpx.get(f"{url}/api/runs", timeout=60).raise_for_status())
    yield f"{NUM_RUNS} runs are listed", f"{first:.2f} s", "under 0.5 s"
    yield "and listed again", f"{again:.2f} s", ""


def playing(folder: Path) -> Rows:
    train(folder / "small", "--kimg", "0.5").wait()
    with studio(folder) as (url, _), httpx.Client(base_url=url, timeout=60) as client:

        def play(seed: int) -> None:
            path = f"/api/runs/small/sample?num=16&seed={seed}&directions=0:{seed / 10}"
            client.get(path).raise_for_status()

        first = timed(lambda: play(1))
        later = sorted(timed(lambda seed=seed: play(seed)) for seed in range(TIMES))
    yield "16 samples of 32x32, the first time", f"{1000 * first:.0f} ms", ""
    yield "after that, median", f"{1000 * median(later):.0f} ms", "under 150 ms"
    yield "after that, at most", f"{1000 * later[-1]:.0f} ms", ""


def train(run: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gannet", "train", "shapes", "--run", str(run), *SMALL, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def watching(folder: Path, seconds: float) -> Rows:
    """Pages that watch a run while it trains, in turn with none: its speed, and the server's memory."""
    run, process = folder / "run", train(folder / "run", "--kimg", "100000", "--samples.when", "every 2 kimg")
    try:
        while not (run / "stats.jsonl").exists() or not (run / "stats.jsonl").stat().st_size:
            time.sleep(0.5)
        with studio(folder) as (url, pid):
            speeds: dict[bool, list[float]] = {False: [], True: []}
            memory, told, busy = [], [0], []
            for turn in range(TURNS):
                watched = turn % 2 == 1
                stop = threading.Event()
                pages = [threading.Thread(target=watch, args=(url, stop, told)) for _ in range(PAGES * watched)]
                for page in pages:
                    page.start()
                time.sleep(2)
                before, worked = newest(run), processor_seconds(pid)
                for _ in range(4):
                    time.sleep(seconds / (TURNS // 2) / 4)
                    memory += [resident(pid)] * watched
                after = newest(run)
                busy += [(processor_seconds(pid) - worked) / (after[0] - before[0])] * watched
                speeds[watched].append((after[1] - before[1]) / (after[0] - before[0]))
                stop.set()
                for page in pages:
                    page.join()
    finally:
        process.terminate()
        process.wait()
    lost = sorted(1 - watched / alone for watched, alone in zip(speeds[True], speeds[False], strict=True))
    yield f"memory of the server, {PAGES} pages, first", f"{memory[0]:.1f} MB", ""
    yield "most", f"{max(memory):.1f} MB", ""
    yield "last", f"{memory[-1]:.1f} MB", "flat"
    yield "events told to all pages", f"{told[0]:,}", ""
    yield "processor time of the server, of one core", f"{median(busy):.1%}", ""
    yield "speed that the run loses, median of pairs", f"{median(lost):.1%}", "under 2 %"
    yield "the least and the most of them", f"{lost[0]:.1%}, {lost[-1]:.1%}", ""


def watch(url: str, stop: threading.Event, told: list[int]) -> None:
    with httpx.stream("GET", f"{url}/api/runs/run/events", timeout=60) as answer:
        for line in answer.iter_lines():
            told[0] += line.startswith("event:")
            if stop.is_set():
                return


def newest(run: Path) -> tuple[float, float]:
    """Seconds and kimg of the last whole line."""
    line = json.loads((run / "stats.jsonl").read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2])
    return line["seconds"], line["kimg"]


def resident(pid: int) -> float:
    """MB that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
