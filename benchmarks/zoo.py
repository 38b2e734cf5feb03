"""A run of each family and game, on the same images for the same minutes of one thread, and a row of samples of each.

The networks are the papers' with few features, at 32x32, with rates for a short run: the picture shows that each
learns, not which is best. That of docs/zoo.md is made by it.

    uv run python benchmarks/zoo.py DATA --out zoo.png [--minutes 6] [--jobs 2] [--only biggan ...] [--keep FOLDER]

DATA has class folders, as conditional ones need; images smaller than 32 pixels are padded.
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from one_thread import train
from PIL import Image, ImageDraw

import gannet
from gannet.sessions import Trained

ROWS, COLUMNS, LEGEND = 2, 20, 120


def run_of(recipe: str, *words: str, width: int = 32, lr: float | None = None) -> list[str]:
    """The recipe at 32 pixels; both networks of `width` features where it is not 0."""
    widths = ["--G.width", str(width), "--D.width", str(width)] if width else []
    rates = ["--optim.G.lr", str(lr), "--optim.D.lr", str(lr)] if lr else []
    return ["--recipe", recipe, *widths, *rates, *words]


ATTENTION = ["--G.attention", "16", "--D.attention", "16"]
AVERAGED = ["--ema.half-life-kimg", "2", "--ema.warm-up", "0.1"]
BIGGAN = ["--game.d-steps", "1", "--data.no-flip", *AVERAGED]
STYLEGAN = [
    *("--G.channel-base", "1024", "--G.channel-max", "128", "--D.channel-base", "1024", "--D.channel-max", "128"),
    *("--batch", "16", "--G.z-dim", "128", "--G.w-dim", "128", "--G.mapping-layers", "4", *AVERAGED),
]
WIDTHS = ["64", "48", "32", "16"]
R3GAN = [
    *("--G.widths", *WIDTHS, "--G.blocks", "1", "--D.widths", *WIDTHS, "--D.blocks", "1"),
    *("--batch", "32", "--data.no-flip", *AVERAGED),
    *("--penalties.r1.gamma", "1", "--penalties.r2.gamma", "1", "--augment.name", "none"),
]
CANDIDATES: dict[str, list[str]] = {
    "mlp": run_of("mlp-mnist", width=0),
    "cgan": run_of("cgan-mnist", width=0),
    "dcgan": run_of("dcgan"),
    "small": run_of("small"),
    "lsgan": run_of("lsgan"),
    "wgan": run_of("wgan", lr=2e-4),
    "wgan-gp": run_of("wgan-gp"),
    "sngan": run_of("sngan-cifar10", lr=5e-4),
    "sagan": run_of("sagan", *ATTENTION, "--batch", "32", *AVERAGED),
    "acgan": run_of("acgan"),
    "infogan": run_of("infogan-mnist"),
    "biggan": run_of("biggan-cifar10", *BIGGAN, width=16, lr=5e-4),
    "biggan-deep": run_of(
        "biggan-cifar10", "--G.name", "biggan-deep", "--D.name", "biggan-deep", *BIGGAN, width=32, lr=5e-4
    ),
    "stylegan2": run_of("stylegan2-ada", *STYLEGAN, width=0),
    "r3gan": run_of("r3gan-cifar10", *R3GAN, width=0, lr=5e-4),
    "fastgan": run_of("fastgan-fewshot", "--data.no-flip", *AVERAGED, width=16),
}


def trained(data: str, name: str, minutes: float, folder: Path) -> Path:
    """The run, made by a process of one thread unless it is there already."""
    if not (folder / "generator").exists():
        words = [*CANDIDATES[name], "--resolution", "32", "--data.fit", "pad", "--data.channels", "0"]
        train([data, *words, "--minutes", str(minutes), "--run", str(folder)])
    return folder


def row(name: str, run: Path) -> Image.Image:
    """`ROWS * COLUMNS` samples, of each class as many, with the name and the kimg at their left."""
    G = gannet.load(run)
    num = ROWS * COLUMNS
    labels = [i % len(G.classes) for i in range(num)] if G.classes else None
    images = G.to_uint8(G.sample(num, seed=0, labels=labels))
    side = images.shape[-1]
    picture = Image.new("RGB", (LEGEND + COLUMNS * side, ROWS * side + 2), "white")
    kimg = Trained(run, True).stats[-1]["kimg"]
    ImageDraw.Draw(picture).text((4, side // 2), f"{name}\n{kimg:.0f} kimg", "black")
    for i, image in enumerate(images):
        place = LEGEND + i % COLUMNS * side, i // COLUMNS * side
        picture.paste(Image.fromarray(image.transpose(1, 2, 0).squeeze()), place)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--keep", help="a folder for the runs, instead of a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(asked.jobs) as pool:
        place = Path(asked.keep or temporary)
        place.mkdir(exist_ok=True)
        made = pool.map(lambda name: trained(asked.data, name, asked.minutes, place / name), asked.only)
        rows = [row(name, run) for name, run in zip(asked.only, made, strict=True)]
    whole = Image.new("RGB", (rows[0].width, sum(each.height for each in rows)))
    top = 0
    for each in rows:
        whole.paste(each, (0, top))
        top += each.height
    whole.save(asked.out)


if __name__ == "__main__":
    main()
