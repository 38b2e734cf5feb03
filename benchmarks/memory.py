"""Memory while training: it does not grow with the number of images, which stay on disk.

`gannet train` runs on a folder of 1,000 drawn PNGs and on one of 100,000, each in a process of its
own, which decodes them into an empty cache and then trains a tiny DCGAN. From the first line of
stats.jsonl to the end the process's private memory is read many times a second: what it has
allocated for itself (`RssAnon` of /proc/self/status), without the mapped images, whose pages the
system keeps and drops as it likes. Where there is no such file, the peak of all that the process
ever had in memory stands in for it, mapped pages and decoding included, and is too high.

    uv run python benchmarks/memory.py            # about two minutes on two cores
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16  # pixels
ITERATIONS = 400
SECONDS = 0.02  # between two readings
STATUS = Path("/proc/self/status")
SETTINGS = [
    *("--recipe", "dcgan-shapes", "--resolution", str(SIDE), "--batch", "32", "--device", "cpu"),
    *("--G.width", "8", "--D.width", "8", "--train.precision", "float32", "--samples.num", "16"),
    *("--train.length", f"{ITERATIONS} iterations", "--samples.when", "every 100 iterations"),
    *("--checkpoints.when", "every 200 iterations"),
]


def draw(folder: Path, num: int) -> None:
    """Writes that many PNGs of random colour, a thousand to a folder so that none is slow to list."""
    random = np.random.Generator(np.random.Philox(0))
    for i in range(num):
        path = folder / f"{i // 1000:03}" / f"drawn_{i:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        corner = random.integers(0, 256, (2, 2, 3), np.uint8)
        Image.fromarray(corner.repeat(SIDE // 2, 0).repeat(SIDE // 2, 1)).save(path, compress_level=1)


def private() -> int:
    """Bytes that this process alone has in memory, or its peak with all that it shares."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def train(data: Path, run: Path) -> None:
    """Trains as the command line does, and prints the readings as the last line."""
    from gannet.cli import main

    readings: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if (run / "stats.jsonl").exists():
                readings.append(private())
            time.sleep(SECONDS)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    status = main(["train", str(data), "--run", str(run), *SETTINGS])
    done.set()
    reader.join()
    if status:
        sys.exit(status)
    print(json.dumps(readings))


def measured(num: int, place: Path) -> tuple[float, float]:
    """Median and largest megabytes while a process of its own trains on `num` images."""
    draw(place / "data", num)
    words = [sys.executable, __file__, "--data", str(place / "data"), "--run", str(place / "run")]
    environment = {**os.environ, "GANNET_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    child = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    readings = json.loads(child.stdout.splitlines()[-1])
    return statistics.median(readings) / 1e6, max(readings) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nums", type=int, nargs=2, default=[1000, 100_000], help="images in each of the two folders")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data:
        train(options.data, options.run)
        return
    if not STATUS.exists():
        if sys.platform == "win32":
            sys.exit("nothing to measure with: this system has neither /proc/self/status nor Python's module resource")
        print("no /proc/self/status here: the numbers are peaks of all memory, mapped images included")
    print(f"{'images':>9}  {'median MB':>9}  {'most MB':>9}")
    rows = []
    for num in options.nums:
        with tempfile.TemporaryDirectory() as place:
            rows.append(measured(num, Path(place)))
        print(f"{num:>9,}  {rows[-1][0]:>9.1f}  {rows[-1][1]:>9.1f}", flush=True)
    medians, peaks = [rows[1][k] / rows[0][k] for k in (0, 1)]
    print(f"{'ratio':>9}  {medians:>9.3f}  {peaks:>9.3f}")


if __name__ == "__main__":
    main()
