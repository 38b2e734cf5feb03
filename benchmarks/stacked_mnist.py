"""Stacked MNIST: how many of 1,000 modes does a generator draw, in equal minutes?

Three digits of a data set with ten class folders become the channels of one image: 20,000 of them, drawn at random,
with 1,000 combinations (Metz et al. 2017, section 3.3). A classifier trained on the digits reads each channel
of 25,600 samples. What is printed: the modes that were seen at least once, and the divergence KL(samples | data) in
nats, 0 for equally frequent modes; and the same of the 20,000 real images.

    uv run python benchmarks/stacked_mnist.py DIGITS [--minutes 5] [--seeds 0]
"""

import argparse
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from classifier import Classifier
from one_thread import train
from PIL import Image

import gannet
from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.sessions import Trained

NUM, NUM_SAMPLES = 20_000, 25_600
CANDIDATES = {"dcgan": ["--recipe", "dcgan", "--data.resolution", "32"], "own pick": []}


def stack(digits: np.ndarray, path: Path) -> np.ndarray:
    """Writes a zip of PNGs whose channels are three random digits each; the images, `[NUM, 3, 32, 32]`."""
    random = np.random.Generator(np.random.Philox(0))
    images = digits[random.integers(len(digits), size=(NUM, 3)), 0]
    with zipfile.ZipFile(path, "w") as file:
        for i, image in enumerate(images):
            png = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(png, "png")
            file.writestr(f"{i:05d}.png", png.getvalue())
    return images


def modes(images: np.ndarray, digit_of: Classifier) -> tuple[int, float]:
    """How many of the 1,000 combinations there are, and the divergence of their frequencies from equal ones."""
    hundreds, tens, ones = (digit_of(images[:, k : k + 1]) for k in range(3))
    counts = np.bincount(100 * hundreds + 10 * tens + ones, minlength=1000)
    shares = counts[counts > 0] / counts.sum()
    return int((counts > 0).sum()), float((shares * np.log(1000 * shares)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digits")
    parser.add_argument("--minutes", default="5")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    digits = prepare(open_source(asked.digits, cache_folder()), Data(resolution=32, fit="pad", labels=True), 1)
    digit_of = Classifier(np.array(digits.images), digits.labels)
    print(f"the classifier is right on {digit_of.accuracy:.1%} of digits that it did not see\n")
    print("| candidate | seed | kimg | modes of 1,000 | KL |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "stacked.zip")
        found, divergence = modes(stack(np.array(digits.images), data), digit_of)
        print(f"| real images | | | {found} | {divergence:.3f} |", flush=True)
        for seed in asked.seeds:
            for name, words in CANDIDATES.items():
                run = Path(folder, f"{name} {seed}")
                train([str(data), *words, "--minutes", asked.minutes, "--seed", str(seed), "--run", str(run)])
                G = gannet.load(run)
                found, divergence = modes(G.to_uint8(G.sample(NUM_SAMPLES, seed=1, batch=256)), digit_of)
                kimg = Trained(run, True).stats[-1]["kimg"]
                print(f"| {name} | {seed} | {kimg:.0f} | {found} | {divergence:.3f} |", flush=True)


if __name__ == "__main__":
    main()
