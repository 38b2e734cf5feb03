"""What a start from another generator is worth where images are few, and what FreezeD adds.

Of one data set 300 images are the few, 1,000 are never trained on, and the rest is a data set "of the same
kind". Runs on the few start from nothing, from a run on that rest, and from a run on another data set; 1,000
samples of each are compared with the unseen ones and with the few, as benchmarks/quality.py does it.
"Nearer to the few": of samples between 300 few and 300 unseen images, 1/2 without copying.

    uv run python benchmarks/initial.py DATA OTHER_DATA PLACE [--kimg 60] [--source-kimg 150] [--seeds 0 1]

Runs that are in the folder PLACE are not trained again.
"""

import argparse
from pathlib import Path

import numpy as np
from one_thread import train
from quality import covered, frechet, nearer_to_seen
from torch import Tensor

import gannet
from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.evaluation.efficientnet import EfficientNetLite0

FEW, UNSEEN = 300, 1000
COMMON = ["--recipe", "small", "--resolution", "32", "--data.channels", "3"]
COMMON += ["--train.precision", "bfloat16", "--if-exists", "resume"]


def split(data: str, place: Path) -> dict[str, Path]:
    """The images of `data` in folders of their own, by a fixed permutation."""
    source = open_source(data, cache_folder())
    order = np.random.Generator(np.random.Philox(0)).permutation(len(source))
    parts = {"few": order[:FEW], "unseen": order[FEW : FEW + UNSEEN], "other": order[FEW + UNSEEN :]}
    for name, chosen in parts.items():
        if not (place / name).exists():
            (place / name).mkdir(parents=True)
            for i in chosen:
                source.open(int(i)).save(place / name / f"{i:05}.png")
    return {name: place / name for name in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("other_data")
    parser.add_argument("place", type=Path)
    parser.add_argument("--kimg", default="60")
    parser.add_argument("--source-kimg", default="150")
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    asked = parser.parse_args()
    folders = split(asked.data, asked.place)
    sources = {"same kind": folders["other"], "another kind": asked.other_data}
    for name, data in sources.items():
        train([str(data), "--run", str(asked.place / name), *COMMON, "--kimg", asked.source_kimg])
    same, another = (["--init", str(asked.place / name)] for name in sources)
    starts = {
        "nothing": [],
        "same kind": same,
        "same kind, --train.freeze-d 1": [*same, "--train.freeze-d", "1"],
        "same kind, --train.freeze-d 2": [*same, "--train.freeze-d", "2"],
        "another kind": another,
    }
    extract = EfficientNetLite0(resize="bilinear")
    images = {
        name: prepare(open_source(str(folder), cache_folder()), Data(resolution=32), 3).images
        for name, folder in folders.items()
    }
    few, unseen = (extract(images[name]).double() for name in ("few", "unseen"))
    print(f"reals of the same kind against the unseen: {frechet(unseen, extract(images['other'][:UNSEEN])):.0f}")
    columns = ["start", "seed", "to unseen", "to the few", "precision", "recall", "nearer to the few"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for name in sources:
        report(asked.place / name, [f"{name}, before", ""], extract, few, unseen)
    for seed in asked.seeds:
        for name, words in starts.items():
            path = asked.place / f"{name} {seed}"
            few_words = [str(folders["few"]), "--run", str(path), "--seed", seed]
            train([*few_words, *COMMON, "--kimg", asked.kimg, *words])
            report(path, [name, seed], extract, few, unseen)


def report(path: Path, names: list[str], extract: EfficientNetLite0, few: Tensor, unseen: Tensor) -> None:
    """A row of the table."""
    G = gannet.load(path)
    fake = extract(G.to_uint8(G.sample(UNSEEN, seed=1))).double()
    shares = [covered(fake, unseen), covered(unseen, fake), nearer_to_seen(fake, few, unseen)]
    cells = [f"{frechet(unseen, fake):.0f}", f"{frechet(few, fake):.0f}", *(f"{share:.2f}" for share in shares)]
    print("| " + " | ".join([*names, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
