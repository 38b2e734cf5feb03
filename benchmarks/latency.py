"""From noise to pixels: how long one call takes, by torch as it is, compiled by torch, and by onnxruntime.

DCGAN at 64 pixels and the default recipe `small` at 32 and 64, on one thread and on two, one image and 64 at once.
A call makes z of its number, the images, and uint8 of them. The forms take turns, a block of calls each, so that all
have the same machine; what is printed is the median and the 99th percentile of all calls of a form. With few calls
of 64 images the latter is about their longest. Then the cold start: `gannet sample --num 1` as a process, from the
ONNX file and from the run.

    uv run --extra onnx python benchmarks/latency.py            # about eight minutes on two cores

The networks are not trained: that changes no time. torch compiles with its weights frozen, once for each number of
images, before anything is timed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from paired import seconds_of

from gannet.generation.export import export
from gannet.generation.load import Generator, load
from gannet.generation.onnx import load_onnx
from gannet.generation.sampler import Sampler
from gannet.networks import GENERATORS
from gannet.networks.folder import save_network
from gannet.recipes import recipe

NETWORKS = {"DCGAN-64": ("dcgan", 64), "small-32": ("small", 32), "small-64": ("small", 64)}
THREADS = (1, 2)
BATCHES = (1, 64)
COLD_STARTS = 10


def save(name: str, folder: Path) -> None:
    """A run with the G of a recipe, untrained, and its ONNX file beside it."""
    row, resolution = NETWORKS[name]
    part = recipe(row).G
    G = GENERATORS.find(part.name)(resolution, 3, 0, **part.settings)
    facts = {"name": part.name, "resolution": resolution, "channels": 3, "classes": [], "settings": dict(part.settings)}
    save_network(folder / name / "generator", G, facts)
    export(folder / name, to="onnx", out=folder / f"{name}.onnx")


def compiled(G: Generator) -> Generator:
    """G whose network torch compiles, its weights as constants."""
    network: Any = torch.compile(G.network, dynamic=False, options={"freezing": True})
    return replace(G, network=network)


def call(G: Sampler, batch: int) -> Callable[[], np.ndarray]:
    """A function that makes the next images of a seed, uint8 `[batch, C, R, R]`."""
    numbers, c = count(step=batch), G.one_hot(np.zeros(batch, np.int64))
    return lambda: G.to_uint8(G.images(G.z(0, next(numbers), batch), c))


def measure(folder: Path, threads: int, calls: int, rounds: int) -> None:
    """Prints a line for each network, number of images and form, on so many threads of this process."""
    torch.set_num_threads(threads)
    for name in NETWORKS:
        eager, loaded = load(folder / name), load_onnx(folder / f"{name}.onnx", threads=threads)
        for batch in BATCHES:
            forms = {form: call(G, batch) for form, G in [("eager", eager), ("compiled", compiled(eager))]}
            forms["onnxruntime"] = call(loaded, batch)
            for form in forms.values():
                for _ in range(3):
                    form()
            seconds: dict[str, list[float]] = {form: [] for form in forms}
            for _ in range(rounds):
                for form, step in forms.items():
                    step()  # the first after another form has cold caches
                    seconds[form] += [seconds_of(step) for _ in range(max(calls // (rounds * batch), 2))]
            for form, each in seconds.items():
                median, worst = 1000 * np.quantile(each, (0.5, 0.99))
                print(
                    f"{name:<10}{form:<13}{threads} threads, {batch:>2} at once: median {median:8.2f} ms, 99th"
                    f" percentile {worst:8.2f} ms, {1000 * batch / median:7.0f} images a second ({len(each)} calls)",
                    flush=True,
                )


def cold_starts(folder: Path, times: int) -> None:
    """Prints how long `gannet sample --num 1` takes as a process; the first of each is not counted."""
    for name in NETWORKS:
        for source in (f"{name}.onnx", name):
            command = [sys.executable, "-m", "gannet", "sample", source, "--num", "1", "--out", "out"]
            seconds = []
            for _ in range(times + 1):
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
            median, longest = statistics.median(seconds[1:]), max(seconds[1:])
            print(f"gannet sample {source:<14} --num 1: median {median:.2f} s, longest {longest:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="of one image, for each line; fewer of 64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.threads:  # a process for each number, as compiled code is for one
        measure(asked.folder, asked.threads, asked.calls, asked.rounds)
        return
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{versions}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores\n")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        for name in NETWORKS:
            save(name, Path(place))
        words = [
            sys.executable,
            __file__,
            "--folder",
            place,
            "--calls",
            str(asked.calls),
            "--rounds",
            str(asked.rounds),
        ]
        for threads in THREADS:
            subprocess.run([*words, "--threads", str(threads)], check=True)
        print()
        cold_starts(Path(place), min(COLD_STARTS, asked.calls))


if __name__ == "__main__":
    main()
