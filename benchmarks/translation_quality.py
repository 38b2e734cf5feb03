"""What pix2pix, CycleGAN, SRGAN and DVD-GAN learn in minutes of a laptop, on drawn images and on a folder of real ones.

    uv run python benchmarks/translation_quality.py outlines --runs runs        # 10 minutes; others: see --help
    uv run python benchmarks/translation_quality.py colours --runs runs --data path/to/images

Each trains a run (or takes the one that is there already) and prints what `gannet evaluate` finds on what the run
holds out, beside what is particular to the task: the L1 of the blurred input for `outlines`, two classifiers' word
for `swap`, the speed of what moves for `moving`. The extra eval-offline is needed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from classifier import Classifier
from PIL import Image, ImageFilter
from torch import Tensor

import gannet
from gannet.config import read_recipe
from gannet.data.batch import enlarged
from gannet.data.cache import cache_folder
from gannet.data.dataset import Dataset, opened, prepare
from gannet.data.sources import open_source
from gannet.evaluating import Evaluation
from gannet.generation.load import load_translator
from gannet.images import to_float, to_uint8
from gannet.recipes import recipe

BLUR = 2.0  # pixels


def train(run: Path, words: Sequence[str], minutes: float) -> None:
    if not (run / "generator").exists():
        command = [sys.executable, "-m", "gannet", "train", *words, "--run", str(run), "--minutes", str(minutes)]
        command += ["--data.held-out", "0.1"]
        subprocess.run(command, check=True)


def held_out(run: Path) -> Dataset:
    recipe, facts = read_recipe(run / "recipe.toml")
    return prepare(opened(recipe.data, cache_folder()), recipe.data, facts["channels"])


def outlines(folder: Path, data: str) -> None:
    """Filled shapes of outlines, beside the L1 of the blurred outlines."""
    run = folder / "outlines"
    train(run, ["outlines", "--recipe", "pix2pix-small"], 10)
    found = gannet.evaluate(run)
    given, target = np.split(np.array(held_out(run).held_out), 2, axis=1)
    baseline = np.abs(blurred(given, BLUR).astype(float) - target).mean() / 255
    value = next(score.value for score in found.scores if score.metric == "L1")
    print(
        found_text(found),
        f"L1 {value:.4f}, of the blurred input {baseline:.4f}: {value / baseline:.2f} of it",
        sep="\n",
    )


def colours(folder: Path, data: str) -> None:
    """Colours of grey images, beside the grey images."""
    run = folder / "colours"
    with tempfile.TemporaryDirectory() as name:
        pairs = folder / "pairs"
        if not pairs.exists():
            pairs.mkdir(parents=True)
            source = open_source(data, Path(name))
            for i in range(len(source.names)):
                image = over_white(source.open(i)).resize((64, 64), Image.Resampling.BICUBIC)
                both = Image.new("RGB", (128, 64))
                both.paste(image.convert("L").convert("RGB"), (0, 0))
                both.paste(image, (64, 0))
                both.save(pairs / f"{i:05}.png")
    train(run, [str(pairs), "--recipe", "pix2pix-small"], 10)
    print(found_text(gannet.evaluate(run)))


def swap(folder: Path, data: str) -> None:
    """Circles to squares and back: whether classifiers take them for that, and how far there and back is."""
    run = folder / "swap"
    train(run, ["circles", "squares", "--recipe", "cyclegan-small"], 15)
    squares = held_out(run)
    circles = squares.other
    assert circles is not None
    unseen = [np.array(circles.held_out), np.array(squares.held_out)]
    images, kinds = labelled([np.array(circles.images), np.array(squares.images)])
    judges = judges_of(images, kinds)
    print(found_text(gannet.evaluate(run)))
    for name, judge in judges.items():
        hard, soft = (right(judge, *labelled(sides)) for sides in (unseen, [blurred(x, 1.0) for x in unseen]))
        print(f"the classifier that learnt {name} is right on {hard:.1%} of held-out reals, blurred ones {soft:.1%}")
        print("  enlarged and cut: {:.1%} of circles, {:.1%} of squares".format(*shares_of_enlarged(judge, unseen)))
    networks = {side: load_translator(run, torch.device("cpu"), side).network for side in ("a", "b")}
    for number, (kind, to, back) in enumerate((("circles", "a", "b"), ("squares", "b", "a"))):
        x = to_float(torch.from_numpy(unseen[1 - number]))
        with torch.inference_mode():
            made = networks[to](x)
            again = networks[back](made)
        change, left = distance(made, x), distance(again, x)
        print(f"to {kind}: change {change:.4f}, there and back {left:.4f}: {left / change:.2f} of it")
        for name, judge in judges.items():
            share = (judge(to_uint8(made)) == number).mean()
            print(f"  taken for {kind} by the classifier that learnt {name}: {share:.1%}")


def labelled(kinds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All images one after another, and the number of the kind of each."""
    return np.concatenate(kinds), np.repeat(np.arange(len(kinds)), [len(images) for images in kinds])


def right(judge: Classifier, images: np.ndarray, kinds: np.ndarray) -> float:
    return float((judge(images) == kinds).mean())


def shares_of_enlarged(judge: Classifier, kinds: Sequence[np.ndarray]) -> list[float]:
    """How often it is right on images of each kind that are enlarged and cut back, as `cyclegan` trains on them."""
    fraction, draw = recipe("cyclegan").data.enlarge, np.random.Generator(np.random.Philox(0)).random
    shown = [enlarged(to_float(torch.from_numpy(x)), fraction, draw((len(x), 2)), nearest=False) for x in kinds]
    return [float((judge(to_uint8(x)) == number).mean()) for number, x in enumerate(shown)]


def judges_of(images: np.ndarray, kinds: np.ndarray) -> dict[str, Classifier]:
    """One of the drawn images alone, which never saw a soft edge, and one of blurred ones as well."""
    soft = [blurred(images, pixels) for pixels in (0.5, 1.0)]
    return {
        "drawn shapes": Classifier(images, kinds),
        "drawn and blurred ones": Classifier(np.concatenate([images, *soft]), np.tile(kinds, 3)),
    }


def blurred(images: np.ndarray, pixels: float) -> np.ndarray:
    """By a Gaussian of so many pixels, uint8 `[N, C, R, R]`."""
    made = [Image.fromarray(x.transpose(1, 2, 0)).filter(ImageFilter.GaussianBlur(pixels)) for x in images]
    return np.stack([np.asarray(x).transpose(2, 0, 1) for x in made])


def enlarge(folder: Path, data: str) -> None:
    """Four times as large: pixels alone, then D's word as well."""
    words = [data, "--recipe", "srgan-small"]
    for name, start in (("pixels", "1e9"), ("adversarial", "0")):
        run = folder / name
        begin = [] if name == "pixels" else ["--init", str(folder / "pixels")]
        train(run, [*words, "--game.start-kimg", start, *begin], 10)
        print(found_text(gannet.evaluate(run)))


def moving(folder: Path, data: str) -> None:
    """Clips of shapes that move: how fast, beside the reals', and whether the label gives the shape."""
    run = folder / "moving"
    train(run, ["moving", "--recipe", "dvdgan-small"], 15)
    print(found_text(gannet.evaluate(run)))
    real = held_out(run)
    G = gannet.load(run)
    fake = to_uint8(G.sample(len(real.held_out), seed=0, labels=real_labels(len(real.held_out), len(G.classes))))
    clips = {"real": np.array(real.held_out), "generated": fake.reshape(real.held_out.shape)}
    speeds = {name: np.sort(speed(x)) for name, x in clips.items()}
    apart = np.abs(speeds["real"] - speeds["generated"]).mean()
    for name, found in speeds.items():
        print(f"{name}: pixels a frame, median {np.median(found):.2f}, a tenth under {np.quantile(found, 0.1):.2f}")
    print(f"distance of the two distributions {apart:.2f} pixels a frame (Wasserstein-1)")
    asked = np.array(real_labels(len(fake), len(G.classes)))
    for name, judge in judges_of(np.array(real.images)[:, :3], real.labels).items():
        known = right(judge, np.array(real.held_out)[:, :3], real.held_out_labels)
        hit = judge(clips["generated"][:, 24:27]) == asked
        each = ", ".join(f"{kind} {hit[asked == number].mean():.0%}" for number, kind in enumerate(G.classes))
        print(f"the classifier that learnt {name} is right on {known:.1%} of held-out reals")
        print(f"  label gives its shape {hit.mean():.1%}: {each}")


def real_labels(num: int, num_classes: int) -> list[int]:
    return [i % num_classes for i in range(num)]


def speed(clips: np.ndarray) -> np.ndarray:
    """The median over time of how far the centroid of brightness goes from frame to frame: `[N]`, in pixels."""
    light = clips.reshape(len(clips), -1, 3, *clips.shape[2:]).max(2).astype(float)
    light = np.where(light > 40, light, 0)
    total = light.sum((2, 3)).clip(1)
    grid = np.arange(light.shape[2])
    centre = np.stack([(light.sum(3) * grid).sum(2) / total, (light.sum(2) * grid).sum(2) / total], 2)
    return np.median(np.linalg.norm(np.diff(centre, axis=1), axis=2), axis=1)


def distance(x: Tensor, y: Tensor) -> float:
    """Mean absolute difference, of the whole range."""
    return float((x - y).abs().mean() / 2)


def over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def found_text(found: Evaluation) -> str:
    lines = [f"{s.metric:<24} {s.value:8.4g}   {found.baseline} {s.baseline:8.4g}" for s in found.scores]
    return "\n".join([f"{found.run}: {found.measured}", *lines])


TASKS: dict[str, Callable[[Path, str], None]] = {
    task.__name__: task for task in (outlines, colours, swap, enlarge, moving)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--data", default="", help="a folder of images, for colours and enlarge")
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    TASKS[asked.task](asked.runs, asked.data)


if __name__ == "__main__":
    main()
