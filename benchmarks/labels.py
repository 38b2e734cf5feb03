"""Does a label, or a code, decide what is drawn?

Conditional games train on a data set of class folders for some minutes, one thread each. A classifier that was
trained on the real images reads 200 samples of each label: the share that it calls by the label that was asked
for. InfoGAN sees no labels: its categories are matched with the classes that the classifier reads most often in them,
one to one.

    uv run --with scipy python benchmarks/labels.py DATA [--minutes 6] [--seeds 0] [--only acgan ...] [--keep FOLDER]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from classifier import Classifier
from one_thread import train
from scipy.optimize import linear_sum_assignment

import gannet
from gannet.config import Data, read_recipe
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.sessions import Trained

EACH = 200
SMALL = ["--recipe", "small", "--data.fit", "pad", "--data.labels"]
CANDIDATES = {
    "channel": [*SMALL, "--D.label", "channel"],
    "projection": [*SMALL, "--D.label", "projection"],
    "batch norm and projection": [*SMALL, "--G.label", "batch-norm", "--D.label", "projection"],
    "acgan": [*SMALL, "--D.label", "none", "--game.name", "acgan"],
    "infogan": ["--recipe", "infogan-mnist"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--minutes", default="6")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--keep", help="a folder for the runs, instead of a temporary one")
    asked = parser.parse_args()
    reals = prepare(open_source(asked.data, cache_folder()), Data(resolution=32, fit="pad", labels=True), 1)
    class_of = Classifier(np.array(reals.images), reals.labels)
    print(f"the classifier is right on {class_of.accuracy:.1%} of images that it did not see\n")
    print("| candidate | seed | kimg | as asked |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for seed in asked.seeds:
            for name in asked.only:
                run = Path(asked.keep or temporary, f"{name} {seed}")
                words = [*CANDIDATES[name], "--minutes", asked.minutes, "--seed", str(seed)]
                train([asked.data, *words, "--run", str(run)])
                kimg = Trained(run, True).stats[-1]["kimg"]
                print(f"| {name} | {seed} | {kimg:.0f} | {as_asked(run, class_of):.1%} |", flush=True)


def as_asked(run: Path, class_of: Classifier) -> float:
    """The share of samples that the classifier calls by their label, or by the class matched with their category."""
    G = gannet.load(run)
    num = len(G.classes)
    asked = np.repeat(np.arange(num), EACH)
    read = class_of(G.to_uint8(G.sample(len(asked), seed=1, labels=asked.tolist(), batch=200)))
    counts = np.zeros((num, num), int)
    np.add.at(counts, (asked, read), 1)
    recipe, _ = read_recipe(run / "recipe.toml")
    by_label = recipe.game.name != "infogan"
    return (counts.trace() if by_label else counts[linear_sum_assignment(-counts)].sum()) / len(asked)


if __name__ == "__main__":
    main()
