"""The system of the lesson behind `dcgan-shapes`, run by its own plain loop: what `quality.py` measures against.

Its networks (32 features), losses and optimizers, float32, one step after another, no average of weights: for
so many minutes on a data set at 32 pixels, then samples in eval mode as uint8 `[N, C, 32, 32]`.

    uv run python benchmarks/lesson.py DATA --minutes 5 --seed 0 --held-out 0.4 --channels 3 --num 9 --out x.npy
"""

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import prepare
from gannet.data.sources import open_source
from gannet.images import to_uint8

Z_DIM, WIDTH, BATCH = 64, 32, 64


def networks(channels: int) -> tuple[nn.Module, nn.Module]:
    """G from z `[N, 64, 1, 1]` to images, D from images to logits `[N, 1, 1, 1]`."""

    def up(before: int, after: int, stride: int, padding: int) -> list[nn.Module]:
        conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU()]

    def down(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]

    G = nn.Sequential(
        *up(Z_DIM, 4 * WIDTH, 1, 0), *up(4 * WIDTH, 2 * WIDTH, 2, 1), *up(2 * WIDTH, WIDTH, 2, 1),
        nn.ConvTranspose2d(WIDTH, channels, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(channels, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2),
        *down(WIDTH, 2 * WIDTH), *down(2 * WIDTH, 4 * WIDTH), nn.Conv2d(4 * WIDTH, 1, 4, 1, 0),
    )  # fmt: skip
    return G, D


def train(x: Tensor, seconds: float) -> tuple[nn.Module, int]:
    """G after so many seconds on the images x in [-1, 1], and how many images D saw."""
    G, D = networks(x.shape[1])
    optimizer_G, optimizer_D = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))
    bce, end, seen = nn.BCEWithLogitsLoss(), time.monotonic() + seconds, 0
    loader = DataLoader(TensorDataset(x), BATCH, shuffle=True, drop_last=True)
    while True:
        for (real,) in loader:
            fake = G(torch.randn(BATCH, Z_DIM, 1, 1))
            on_real, on_fake = D(real).flatten(), D(fake.detach()).flatten()
            loss_D = bce(on_real, torch.ones(BATCH)) + bce(on_fake, torch.zeros(BATCH))
            optimizer_D.zero_grad()
            loss_D.backward()
            optimizer_D.step()
            on_fake = D(G(torch.randn(BATCH, Z_DIM, 1, 1))).flatten()
            loss_G = bce(on_fake, torch.ones(BATCH))
            optimizer_G.zero_grad()
            loss_G.backward()
            optimizer_G.step()
            seen += BATCH
            if time.monotonic() >= end:
                return G, seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    for name in ("seed", "channels", "num"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--held-out", type=float, required=True)
    parser.add_argument("--fit", default="crop")
    parser.add_argument("--out", required=True)
    asked = parser.parse_args()
    settings = Data(resolution=32, held_out=asked.held_out, fit=asked.fit)
    images = prepare(open_source(asked.data, cache_folder()), settings, asked.channels).images
    x = torch.from_numpy(np.array(images)).float() / 127.5 - 1
    torch.manual_seed(asked.seed)
    G, seen = train(x, 60 * asked.minutes)
    with torch.inference_mode():
        z = torch.randn(asked.num, Z_DIM, 1, 1)
        np.save(asked.out, np.concatenate([to_uint8(G.eval()(part)) for part in z.split(100)]))
    print(seen / 1000)


if __name__ == "__main__":
    main()
