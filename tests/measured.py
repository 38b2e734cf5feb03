"""Small things for gannet evaluate to measure: folders, runs and generators."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pixels import Pixels
from torch import Tensor, nn

from gannet import evaluating
from gannet.config import Data, Recipe, part, to_toml
from gannet.data.dataset import Dataset, opened, prepare
from gannet.evaluating import Report
from gannet.generation.load import Generator
from gannet.images import to_float

SIDE = 16


class Replaying(nn.Module):
    """Makes image i of `images` of z number i, whatever z is: what it gets is counted."""

    z_dim = 4

    def __init__(self, images: np.ndarray):
        super().__init__()
        self.made, self.at = to_float(torch.from_numpy(np.array(images))), 0

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        chosen = torch.arange(self.at, self.at + len(z)) % len(self.made)
        self.at = (self.at + len(z)) % len(self.made)
        return self.made[chosen]


class Counting(Pixels):
    """Notes how many images it looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        self.num += len(x)
        return super().forward(x)


def noise(seed: int, num: int, side: int = SIDE, dark: int = 1) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(seed))
    return random.integers(0, 256, (num, 3, side, side), np.uint8) // dark


def save(folder: Path, images: np.ndarray, classes: tuple[str, ...] = ()) -> Path:
    for i, image in enumerate(images):
        path = folder / (classes[i % len(classes)] if classes else "") / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return folder


def a_run(folder: Path, images: Path, **data: Any) -> tuple[Path, Dataset]:
    """A run folder without a generator, and the data that it says it was trained on."""
    settings = Data(source=str(images), resolution=SIDE, **data)
    recipe, dataset = Recipe("it", "", data=settings, G=part("dcgan")), prepare(opened(settings, folder), settings, 3)
    facts = {"data_fingerprint": dataset.fingerprint, "channels": 3}
    (folder / "run").mkdir()
    (folder / "run" / "recipe.toml").write_text(to_toml(recipe, facts), "utf-8")
    return folder / "run", dataset


def generator(images: np.ndarray, classes: tuple[str, ...] = ()) -> Generator:
    facts: dict[str, Any] = {"classes": classes, "z_dim": 4, "resolution": SIDE, "channels": 3, "folder": Path()}
    return Generator(Replaying(images), torch.device("cpu"), **facts)


def evaluate(*where: Path, **asked: Any) -> Report:
    found = evaluating.evaluate(*where, device="cpu", **asked)
    assert isinstance(found, Report)
    return found


def values(found: Report) -> dict[str, float]:
    return {score.metric: score.value for score in found.scores}
