"""A trained generator, loaded from its folder alone: no data, no flags, no pickle."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from gannet.errors import UserError, nearest
from gannet.images import to_uint8
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.folder import load_network
from gannet.noise import Stream, normal


@dataclass(frozen=True)
class Discriminator:
    """The D that a generator was trained with, in eval mode."""

    network: nn.Module
    is_classifier: bool

    @torch.inference_mode()
    def realness(self, x: Tensor, c: Tensor) -> Tensor:
        """The probability that D gives to each image x `[N, C, R, R]` in [-1, 1]: `[N]` in [0, 1]."""
        return torch.sigmoid(self.network(x, c).float())


@dataclass(frozen=True)
class Generator:
    """A trained G in eval mode and float32."""

    network: nn.Module
    classes: tuple[str, ...]
    z_dim: int
    resolution: int
    channels: int
    device: torch.device
    folder: Path

    def sample(
        self,
        num: int,
        seed: int = 0,
        labels: Sequence[int | str] | int | str | None = None,
        start: int = 0,
        batch: int = 64,
    ) -> Tensor:
        """Images number `start` to `start + num` of a seed: float32 `[num, C, R, R]` in [-1, 1].

        Image i of a seed is the same whatever `num`, `batch` and the device. `labels` is one class
        (name or number) for all, or one for each; without it image i has class i modulo the classes.
        Four channels are RGB premultiplied with alpha.
        """
        c = self.one_hot(self.label_numbers(num, labels, start))
        parts = []
        for first in range(0, num, batch):
            size = min(batch, num - first)
            parts.append(self.images(self.z(seed, start + first, size), c[first : first + size]))
        return torch.cat(parts) if parts else torch.empty(0, self.channels, self.resolution, self.resolution)

    @torch.inference_mode()
    def images(self, z: Tensor, c: Tensor) -> Tensor:
        """G(z, c), on CUDA too in whole float32."""
        with torch.backends.cudnn.flags(allow_tf32=False):
            return self.network(z, c).float()

    def z(self, seed: int, start: int, num: int) -> Tensor:
        """z number `start` to `start + num` of a seed, `[num, z_dim]`."""
        return torch.from_numpy(normal(seed, Stream.SAMPLE, start, num, self.z_dim)).to(self.device)

    def label_numbers(self, num: int, labels: Sequence[int | str] | int | str | None, start: int = 0) -> np.ndarray:
        """Class numbers, int64 `[num]`. Raises `UserError` for classes that there are not."""
        if labels is None:
            return (start + np.arange(num)) % max(len(self.classes), 1)
        each = [labels] * num if isinstance(labels, int | str) else list(labels)
        if len(each) != num:
            raise UserError(f"{len(each)} labels were given for {num} images")
        return np.array([self.label_number(label) for label in each], dtype=np.int64)

    def label_number(self, label: int | str) -> int:
        if not self.classes:
            raise UserError("this generator was trained without labels: leave --label out")
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdecimal() and int(label) < len(self.classes):
            return int(label)
        raise UserError(f"there is no class '{label}'{nearest(str(label), self.classes)}")

    def one_hot(self, numbers: np.ndarray) -> Tensor:
        """Class numbers `[N]` to c `[N, num_classes]`."""
        c = numbers[:, None] == np.arange(len(self.classes))
        return torch.from_numpy(c.astype(np.float32)).to(self.device)

    @staticmethod
    def to_uint8(images: Tensor) -> np.ndarray:
        """Images in [-1, 1] to uint8 `[N, C, R, R]` on the CPU."""
        return to_uint8(images)

    def discriminator(self) -> Discriminator:
        """The D beside this generator. Raises `UserError` when the run has none."""
        folder = self.folder.parent / "discriminator"
        if not folder.exists():
            raise UserError(f"{folder} is not there, so nothing can rate the images: leave --min-realness out")
        network, config = load_network(folder, DISCRIMINATORS)
        return Discriminator(network.to(self.device), bool(config.get("logit_is_probability")))


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """The generator of a run folder, or of a generator folder. Runs no code from it.

    Raises `UserError` where there is none or it cannot be read.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(f"there is no run at {folder}: gannet train makes one")
    if not (folder / "config.json").exists():
        if not (folder / "generator").exists():
            raise UserError(
                f"{folder} holds no generator yet: it is written at the run's first checkpoint and at its end"
            )
        folder /= "generator"
    network, config = load_network(folder, GENERATORS)
    device = torch.device(device)
    classes = tuple(config["classes"])
    return Generator(
        network.to(device), classes, cast(int, network.z_dim), config["resolution"], config["channels"], device, folder
    )
