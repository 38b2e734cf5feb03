"""Images a second: the loop of the tutorial `dcgan-glasses`, as it writes it, against Gannet's.

Both train the same networks on the same images, batch 128, in one process, in turn: each plays two
steps, of which the second is timed, so that neither pays for the other's memory. What is printed
is the median of each and the median of the pairs' ratios. First it is shown that both do the same:
the losses of the first five steps with dropout at 0, in float64 and in float32. In float32 Adam's
first steps enlarge every rounding, so the tutorial's own loop with its images' channels last in
memory, the same code on the same numbers, stands beside as a measure of what rounding alone does.

    uv run python benchmarks/throughput.py            # about four minutes on two cores

`steps` gives the tutorial's loop a batch that is ready in memory. `loading` lets it read JPEGs of
256 pixels as it does, though in its own process: its workers would go on while Gannet's step is
timed. Gannet's loop always takes its own batches, flips and jitter included.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import alternate, seconds_of, take_weights, training_of
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision import datasets
from torchvision.transforms import v2

from gannet.config import Data, changed, part
from gannet.data.dataset import Dataset, prepare
from gannet.data.sources import open_source
from gannet.recipes.glasses import dcgan_glasses
from gannet.training.engine import kept_memory
from gannet.training.gallery import Gallery
from gannet.training.loop import iterate
from gannet.training.pictures import save_grid

BATCH = 128
NUM_IMAGES = 512


class Tutorial:
    """The tutorial's networks, optimizers and step: probabilities, BCE, values read at each step."""

    def __init__(self, dropout: float):
        def down(before: int, after: int, norm: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
            return [*layers, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2), nn.Dropout(dropout)]

        def up(before: int, after: int, stride: int, padding: int) -> list[nn.Module]:
            conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
            return [conv, nn.BatchNorm2d(after), nn.ReLU()]

        self.D = nn.Sequential(
            *down(3, 64, norm=False), *down(64, 128), *down(128, 256), *down(256, 512),
            nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
        )  # fmt: skip
        self.G = nn.Sequential(
            *up(100, 512, 1, 0), *up(512, 256, 2, 1), *up(256, 128, 2, 1), *up(128, 64, 2, 1),
            nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=1e-4, betas=(0.5, 0.999))
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.bce = nn.BCELoss()

    def step(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """One iteration; the losses of D and G."""
        ones, zeros = torch.ones(len(x)), torch.zeros(len(x))
        self.D.zero_grad()
        on_real = self.D(x).view(-1)
        loss_real = self.bce(on_real, ones)
        loss_real.backward()
        on_real.mean().item()
        fake = self.G(z[:, :, None, None])
        on_fake = self.D(fake.detach()).view(-1)
        loss_fake = self.bce(on_fake, zeros)
        loss_fake.backward()
        on_fake.mean().item()
        self.optimizer_D.step()
        self.G.zero_grad()
        on_fake = self.D(fake).view(-1)
        loss_G = self.bce(on_fake, ones)
        loss_G.backward()
        on_fake.mean().item()
        self.optimizer_G.step()
        return (loss_real + loss_fake).detach(), loss_G.detach()


def tutorial_batches(folder: Path) -> Iterator[Tensor]:
    """Batches without end, decoded, resized, flipped and jittered."""
    steps = [
        v2.ToImage(),
        v2.Resize((64, 64)),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.5] * 3),
    ]
    dataset = datasets.ImageFolder(str(folder), v2.Compose(steps))
    endless = RandomSampler(dataset, replacement=True, num_samples=2**30)
    for x, _ in DataLoader(dataset, BATCH, sampler=endless):
        yield x


def draw_photos(folder: Path) -> None:
    """JPEGs of 256 pixels with the detail of photographs: smooth noise at several scales."""
    random = np.random.Generator(np.random.Philox(0))
    (folder / "photos").mkdir()
    for i in range(NUM_IMAGES):
        layers = [Image.fromarray(random.integers(0, 256, (s, s, 3), np.uint8)).resize((256, 256)) for s in (4, 16, 64)]
        photo = np.einsum("shwc,s->hwc", np.stack([np.asarray(layer) for layer in layers]), (0.6, 0.3, 0.1))
        Image.fromarray(photo.astype(np.uint8)).save(folder / "photos" / f"{i:04d}.jpg", quality=92)


def show_equal(dataset: Dataset, dtype: torch.dtype, batch: int) -> None:
    """Prints both losses of the first five steps: dropout 0, the same weights, reals and z."""
    recipe = changed(dcgan_glasses(), "train", batch=batch)
    recipe = replace(
        recipe, D=part("dcgan", width=64, dropout=0.0, init="pytorch"), data=Data(resolution=64, channels=3)
    )
    training = training_of(recipe, dataset, "float32")
    tutorial, channels_last = Tutorial(dropout=0.0), Tutorial(dropout=0.0)
    for loop in (tutorial, channels_last):
        take_weights({"G": loop.G, "D": loop.D}, training)
    for network in (*training.networks.values(), tutorial.G, tutorial.D, channels_last.G, channels_last.D):
        network.to(dtype)
    channels_last.G.to(memory_format=torch.channels_last)
    channels_last.D.to(memory_format=torch.channels_last)
    loader: Any = training.loader
    reals, noise = loader.reals, loader.noise
    loader.reals = lambda *numbers: tuple(value.to(dtype) for value in reals(*numbers))
    loader.noise = lambda *numbers: noise(*numbers).to(dtype)
    torch.set_default_dtype(dtype)
    print(f"losses of D and G, {dtype}, batch {batch}")
    worst = rounding = 0.0
    for step in range(5):
        x, z = loader.reals(training.cur_nimg, batch)[0], loader.noise(training.num_z, batch)
        theirs = [float(loss) for loss in tutorial.step(x.contiguous(), z)]
        theirs_last = [float(loss) for loss in channels_last.step(x, z)]
        iterate(training)
        means = training.means.flush()
        ours = [means["loss D"], means["loss G"]]
        worst = max(worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
        rounding = max(rounding, *(abs(a - b) for a, b in zip(theirs_last, theirs, strict=True)))
        print(f"  step {step + 1}: tutorial {theirs[0]:.6f} {theirs[1]:.6f}   Gannet {ours[0]:.6f} {ours[1]:.6f}")
    torch.set_default_dtype(torch.float32)
    print(f"  largest difference {worst:.1e}; of the tutorial from itself, channels last, {rounding:.1e}\n")


def compare(pairs: int, dataset: Dataset, batches: Iterator[Tensor], title: str) -> None:
    """Alternates one step of the tutorial and one of Gannet in each precision."""
    tutorial = Tutorial(dropout=0.1)
    print(f"{title}, {pairs} pairs")
    alternate(
        "tutorial", lambda: tutorial.step(next(batches), torch.randn(BATCH, 100)), dcgan_glasses(), dataset, pairs
    )
    print()


def overheads(dataset: Dataset, folder: Path) -> None:
    """What a step spends on batches, and a grid every 10 iterations, as shares of the step."""
    training = training_of(dcgan_glasses(), dataset, "bfloat16")
    loader, gallery = training.loader, Gallery(training)

    def batch() -> None:
        loader.reals(training.cur_nimg, BATCH)
        loader.noise(training.num_z, BATCH)

    def tick() -> None:
        save_grid(folder / "grid.png", *gallery.generated())

    medians = {}
    with kept_memory(torch.device("cpu")):
        for name, part_ in [("step", lambda: iterate(training)), ("batch", batch), ("grid", tick)]:
            part_()
            medians[name] = statistics.median(seconds_of(part_) for _ in range(5))
    share = (medians["batch"] + medians["grid"] / 10) / medians["step"]
    print(f"bfloat16: step {medians['step']:.3f} s, its batch {medians['batch']:.4f} s, a grid {medians['grid']:.4f} s")
    print(f"batches, and a grid every 10 steps: {share:.1%} of a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        draw_photos(folder / "images")
        settings = changed(dcgan_glasses(), "data", cache=str(folder / "cache")).data
        dataset = prepare(open_source(str(folder / "images"), folder / "cache"), settings, 3)
        show_equal(dataset, torch.float64, batch=32)
        show_equal(dataset, torch.float32, BATCH)
        ready = torch.randn(BATCH, 3, 64, 64).tanh()
        compare(pairs, dataset, iter(lambda: ready, None), "steps")
        compare(pairs, dataset, tutorial_batches(folder / "images"), "loading")
        overheads(dataset, folder)


if __name__ == "__main__":
    main()
