"""FID, KID, precision and recall beside torch-fidelity: the same images, the same extractor, the same numbers?

DATA is halved, even images against odd ones, and both halves are written as PNGs. `gannet evaluate` and
torch-fidelity's `calculate_metrics`, in which Gannet's EfficientNet-Lite0 is registered, then measure the one folder
against the other, each in a process of its own, in turn, with empty caches. Wall time is that of the process from its
start to its end, memory the most that it had (its `ru_maxrss`, without the processes that load images for
torch-fidelity). "Ratio" is the median of the pairs' ratios. The numbers differ by torch-fidelity's sums in float32:
tests/evaluation/test_fidelity.py has them in float64.

    uv run python benchmarks/evaluation.py DATA [--pairs 3] [--num 1000] [--threads 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.evaluation.extractors import Extractor

EXTRACTOR = "efficientnet-lite0"
METRICS = ("frechet", "kid", "precision", "recall")
LAYER = "mean"
SUBSET = 1000


@dataclass(frozen=True)
class Taken:
    """What one process found, and what it took."""

    values: dict[str, float]
    seconds: float
    megabytes: float


def halve(data: str, resolution: int, num: int | None, place: Path) -> list[str]:
    """Writes the even and the odd images of `data`, `num` of each at most, and gives both folders."""
    images = prepare(open_source(data, cache_folder()), Data(resolution=resolution, alpha="white"), 3).images
    folders = []
    for name, half in (("even", images[::2]), ("odd", images[1::2])):
        (place / name).mkdir()
        for i, image in enumerate(half[:num]):
            Image.fromarray(np.moveaxis(image, 0, 2)).save(place / name / f"{i:06}.png")
        folders.append(str(place / name))
    return folders


def torch_fidelity(fake: str, real: str) -> dict[str, float]:
    """The four numbers as torch-fidelity has them: its first input is what is measured."""
    from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor

    from gannet.evaluation.efficientnet import EfficientNetLite0

    class Registered(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **more: Any):
            super().__init__(name, features_list)
            self.extract = EfficientNetLite0()

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return (LAYER,)

        def forward(self, input: Tensor) -> tuple[Tensor, ...]:
            return (self.extract(input.numpy()),)

    register_feature_extractor(EXTRACTOR, Registered)
    found = calculate_metrics(
        input1=fake,
        input2=real,
        feature_extractor=EXTRACTOR,
        **{f"feature_layer_{metric}": LAYER for metric in ("fid", "kid", "prc")},
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=min(SUBSET, *(len(os.listdir(folder)) for folder in (fake, real))),
        batch_size=Extractor.batch,
        cuda=False,
        cache=False,
        verbose=False,
    )
    names = ("frechet_inception_distance", "kernel_inception_distance_mean", "precision", "recall")
    return {metric: found[name] for metric, name in zip(METRICS, names, strict=True)}


def gannet(printed: str) -> dict[str, float]:
    """The four numbers of what `gannet evaluate --json` prints."""
    scores = json.loads(printed)["scores"]
    return {metric: score["value"] for metric, score in zip(METRICS, scores, strict=True)}


def measured(words: list[str], threads: int, place: Path) -> tuple[str, float, float]:
    """What a process printed, its seconds and its megabytes."""
    with tempfile.TemporaryDirectory(dir=place) as cache, tempfile.TemporaryFile("w+") as out:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GANNET_CACHE": cache, "TORCH_HOME": cache}
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, *words], env=environment, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        return out.read(), seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def run_gannet(fake: str, real: str, threads: int, place: Path) -> Taken:
    words = ["-m", "gannet", "evaluate", fake, real, "--extractor", EXTRACTOR, "--metrics", *METRICS]
    printed, *cost = measured([*words, "--force", "--device", "cpu", "--json"], threads, place)
    return Taken(gannet(printed), *cost)


def run_torch_fidelity(fake: str, real: str, threads: int, place: Path) -> Taken:
    printed, *cost = measured([__file__, real, "--against", fake], threads, place)
    return Taken(json.loads(printed.splitlines()[-1]), *cost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--num", type=int, help="images in each half at most")
    parser.add_argument("--resolution", type=int, default=64, help="to which the images are brought")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--against", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.against:
        print(json.dumps(torch_fidelity(asked.against, asked.data)))
        return
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        even, odd = halve(asked.data, asked.resolution, asked.num, place)
        for pair in range(asked.pairs):
            ours.append(run_gannet(even, odd, asked.threads, place))
            theirs.append(run_torch_fidelity(even, odd, asked.threads, place))
            print(f"pair {pair + 1}: {ours[-1].seconds:.1f} s and {theirs[-1].seconds:.1f} s", file=sys.stderr)
    print("| | gannet | torch-fidelity | ratio |\n|---|---|---|---|")
    for what, digits in (("seconds", 1), ("megabytes", 0)):
        costs = [[getattr(taken, what) for taken in side] for side in (ours, theirs)]
        ratio = statistics.median(own / other for own, other in zip(*costs, strict=True))
        own, other = (f"{statistics.median(side):.{digits}f}" for side in costs)
        print(f"| {what} | {own} | {other} | {ratio:.3f} |")
    print("\n| metric | gannet | torch-fidelity | relative difference |\n|---|---|---|---|")
    for metric in METRICS:
        own, other = ours[-1].values[metric], theirs[-1].values[metric]
        print(f"| {metric} | {own:.9g} | {other:.9g} | {own / other - 1:+.1e} |")


if __name__ == "__main__":
    main()
