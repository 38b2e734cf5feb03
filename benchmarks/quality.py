"""Candidates in equal minutes: how far their samples are from reals, in a space that no training has seen.

`lesson` is the system behind `dcgan-shapes` in its own plain loop (lesson.py), `own pick` what `gannet train DATA`
takes by itself. Each trains on a data set for the same time, one thread each, a seed each, and 2,000 of its samples are
compared with 2,000 reals by the features of EfficientNet-Lite0 at 96x96 pixels (gray repeated, antialiased
bilinear): the Frechet distance of Gaussians (not FID: the extractor is another), and precision and recall
(Kynkaanniemi et al. 2019, k = 3). "Unseen" reals are held out of the training.

    uv run python benchmarks/quality.py DATA [--minutes 5] [--seeds 0 1 2] [--jobs 2] [--only small ...]
"""

import argparse
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from one_thread import run, train
from torch import Tensor

import gannet
from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.scan import scan
from gannet.data.sources import open_source
from gannet.evaluation.efficientnet import EfficientNetLite0
from gannet.evaluation.frechet import Gaussian, frechet_distance
from gannet.sessions import Trained

NUM = 2000
HELD_OUT = 0.4
NEIGHBOURS = 3
LESSON = "lesson"
CANDIDATES: dict[str, list[str]] = {
    "own pick": [],
}


def frechet(real: Tensor, fake: Tensor) -> float:
    """The distance of features `[N, d]`."""
    return frechet_distance(Gaussian.of(real), Gaussian.of(fake))


def covered(inside: Tensor, by: Tensor) -> float:
    """The fraction of `inside` that lies within the k-th neighbour's distance of one of `by`."""
    radius = torch.cdist(by, by).kthvalue(NEIGHBOURS + 1, dim=1).values
    return (torch.cdist(inside, by) <= radius).any(1).double().mean().item()


def nearer_to_seen(fake: Tensor, seen: Tensor, unseen: Tensor) -> float:
    """The fraction of samples whose nearest real is one that training saw: of equally many, 1/2 without copying."""
    num = min(len(seen), len(unseen))
    near_seen, near_unseen = (torch.cdist(fake, reals[:num]).min(1).values for reals in (seen, unseen))
    return (near_seen < near_unseen).double().mean().item()


@dataclass(frozen=True)
class Reals:
    """A data set at 32 pixels as the candidates get it, and the features of those that training sees and does not."""

    data: str
    channels: int
    fit: str
    seen: Tensor
    unseen: Tensor


def open_reals(data: str, extract: EfficientNetLite0) -> Reals:
    source = open_source(data, cache_folder())
    found = scan(source, None)
    fit = "pad" if found.dark_border and min(found.width[1], found.height[1]) < 32 else "crop"
    reals = prepare(source, Data(resolution=32, held_out=HELD_OUT, fit=fit), found.channels)
    order = np.random.Generator(np.random.Philox(0)).permutation
    seen, unseen = (extract(x[order(len(x))[:NUM]]).double() for x in (reals.images, reals.held_out))
    return Reals(data, found.channels, fit, seen, unseen)


def samples(reals: Reals, name: str, minutes: float, seed: int, folder: Path) -> tuple[np.ndarray, float]:
    """`NUM` samples of the candidate, trained by a process of its own, and the kimg that it saw."""
    common = ["--minutes", str(minutes), "--seed", str(seed)]
    if name == LESSON:
        lesson = [str(Path(__file__).with_name("lesson.py")), reals.data, *common, "--out", f"{folder}.npy"]
        lesson += ["--held-out", str(HELD_OUT), "--channels", str(reals.channels), "--fit", reals.fit]
        kimg = float(run([*lesson, "--num", str(NUM)]))
        return np.load(f"{folder}.npy"), kimg
    words = ["--resolution", "32", "--data.held-out", str(HELD_OUT), *CANDIDATES[name]]
    train([reals.data, *common, "--run", str(folder), *words])
    G = gannet.load(folder)
    return G.to_uint8(G.sample(NUM, seed=1)), Trained(folder, True).stats[-1]["kimg"]


def score(reals: Reals, fake: Tensor) -> dict[str, float]:
    num = min(len(reals.seen), len(reals.unseen))
    return {
        "distance to seen": frechet(reals.seen, fake[: len(reals.seen)]),
        "to unseen": frechet(reals.unseen, fake[: len(reals.unseen)]),
        "precision": covered(fake[:num], reals.unseen),
        "recall": covered(reals.unseen, fake[:num]),
        "nearer to seen": nearer_to_seen(fake, reals.seen, reals.unseen),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("--only", nargs="+", choices=[LESSON, *CANDIDATES], default=[LESSON, *CANDIDATES])
    parser.add_argument("--keep", help="a new folder for the runs, instead of a temporary one")
    asked = parser.parse_args()
    extract = EfficientNetLite0(resize="bilinear")
    reals = open_reals(asked.data, extract)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asked.only}
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(asked.jobs) as pool:
        place = Path(asked.keep or temporary)
        place.mkdir(exist_ok=True)
        jobs = [(name, seed) for seed in asked.seeds for name in asked.only]
        made = pool.map(lambda job: samples(reals, job[0], asked.minutes, job[1], place / f"{job[0]} {job[1]}"), jobs)
        for (name, seed), (images, kimg) in zip(jobs, list(made), strict=True):  # nothing computes beside a run
            numbers = score(reals, extract(images).double())
            if not any(found.values()):
                print("| candidate | seed | kimg | " + " | ".join(numbers) + " |\n" + "|---" * (len(numbers) + 3) + "|")
            found[name].append(numbers)
            print(row(name, str(seed), f"{kimg:.0f}", numbers), flush=True)
    for name, each in found.items():
        print(row(name, "median", "", {key: statistics.median(n[key] for n in each) for key in each[0]}))


def row(name: str, seed: str, kimg: str, numbers: dict[str, float]) -> str:
    cells = [f"{n:.1f}" if n > 1 else f"{n:.3f}" for n in numbers.values()]
    return f"| {name} | {seed} | {kimg} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
