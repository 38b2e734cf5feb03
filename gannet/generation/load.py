"""A trained generator, loaded from its folder alone: no data, no flags, no pickle."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any, Literal, cast

import cattrs
import numpy as np
import torch
from torch import Tensor, nn

from gannet.config import CONVERTER, Data
from gannet.errors import UserError, nearest
from gannet.generation.translate import ImageToImage
from gannet.generation.truncation import standing_statistics, truncated_normal
from gannet.images import to_uint8
from gannet.networks import DISCRIMINATORS, GENERATORS, TRANSLATORS
from gannet.networks.folder import generator_folder, load_network
from gannet.networks.translator import Translator
from gannet.noise import Stream, normal

STANDING_BATCH = 64
BALANCED = 1.5  # times as many images in the largest class as in the smallest
GOLDEN = (5**0.5 - 1) / 2
BACK = "generator_F"  # the folder of CycleGAN's F, from b to a

Side = Literal["a", "b"]


@dataclass(frozen=True)
class Discriminator:
    """The D that a generator was trained with, in eval mode."""

    network: nn.Module
    is_classifier: bool

    @torch.inference_mode()
    def realness(self, x: Tensor, c: Tensor) -> Tensor:
        """The probability that D gives to each image x `[N, C, R, R]` in [-1, 1]: `[N]` in [0, 1].

        Of several logits of an image it is the mean.
        """
        return torch.sigmoid(self.network(x, c).float()).reshape(len(x), -1).mean(1)


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
    shares: tuple[float, ...] = ()
    """How often each class was in the training data; empty where that is not known."""
    truncation: float | None = None
    frames: int = 1
    """Images that make one sample: above 1 of clips."""
    given: Tensor | None = None
    """First frames `[M, given * C, R, R]` in [-1, 1] to go on from, of a G that is given some."""

    @property
    def has_w(self) -> bool:
        """Whether z first becomes w, whose average is known (StyleGAN2)."""
        return hasattr(self.network, "w_avg")

    def sample(
        self,
        num: int,
        seed: int = 0,
        labels: Sequence[int | str] | int | str | None = None,
        start: int = 0,
        batch: int = 64,
        truncation: float | None = None,
    ) -> Tensor:
        """Images number `start` to `start + num` of a seed: float32 `[num, C, R, R]` in [-1, 1].

        Of clips it is `[num, frames, C, R, R]`.

        Image i of a seed is the same whatever `num`, `batch` and the device. `labels` is one class
        (name or number) for all, or one for each; without it they are those of `label_numbers`. Four
        channels are RGB premultiplied with alpha. `truncation` is that of `truncated`.
        """
        if truncation is not None:
            return self.truncated(truncation).sample(num, seed, labels, start, batch)
        c = self.one_hot(self.label_numbers(num, labels, start))
        parts = []
        for first in range(0, num, batch):
            size = min(batch, num - first)
            parts.append(self.images(self.z(seed, start + first, size), c[first : first + size], start + first))
        shape = (self.frames, self.channels) if self.frames > 1 else (self.channels,)
        made = torch.cat(parts) if parts else torch.empty(0)
        return made.reshape(num, *shape, self.resolution, self.resolution)

    def truncated(self, truncation: float) -> "Generator":
        """A copy whose images are more like each other, and mostly better.

        Where G has a w it is psi, from -1 to 2: how far w lies from its average, 1 as trained (Karras et
        al. 2019, appendix B). Elsewhere it bounds the values of z, and is above 0 (Brock et al. 2019,
        section 3.1, but for how: see `truncated_normal`); batch norm then gets the mean statistics of 100
        batches of such z, always the same. Raises `UserError` for other numbers.
        """
        low, high = (-1.0, 2.0) if self.has_w else (0.0, float("inf"))
        if not low <= truncation <= high or (truncation == 0 and not self.has_w):
            range_ = "from -1 to 2, as this G has a w" if self.has_w else "above 0"
            raise UserError(f"--truncation is {truncation:g}, and must be {range_}")
        if self.has_w:
            return replace(self, truncation=truncation)
        G = replace(self, network=copy.deepcopy(self.network), truncation=truncation)
        starts = count(step=STANDING_BATCH)

        def batch() -> tuple[Tensor, ...]:
            start = next(starts)
            c = self.one_hot(self.label_numbers(STANDING_BATCH, None, start))
            return G.z(0, start, STANDING_BATCH, Stream.STANDING), c, *G.start_of(start, STANDING_BATCH)

        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            standing_statistics(G.network, batch)
        return G

    @torch.inference_mode()
    def images(self, z: Tensor, c: Tensor, start: int = 0) -> Tensor:
        """G(z, c), on CUDA too in whole float32; clips are `[N, frames * C, R, R]`.

        Clip i goes on from the first frames number (start + i) modulo M of `given`, where G is given some.
        Raises `UserError` where there are none.
        """
        network: Any = self.network
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            if self.truncation is not None and self.has_w:
                return network.truncated(z, c, self.truncation).float()
            return network(z, c, *self.start_of(start, len(z))).float()

    def start_of(self, start: int, num: int) -> tuple[Tensor, ...]:
        """The first frames of clips number `start` to `start + num`, of a G that is given some; else nothing."""
        if not getattr(self.network, "given_channels", 0):
            return ()
        if self.given is None:
            raise UserError("this generator goes on from first frames: name a folder of videos with --given")
        return (self.given[torch.arange(start, start + num) % len(self.given)].to(self.device),)

    def z(self, seed: int, start: int, num: int, stream: Stream = Stream.SAMPLE) -> Tensor:
        """z number `start` to `start + num` of a seed, `[num, z_dim]`."""
        z = normal(seed, stream, start, num, self.z_dim)
        if self.truncation is not None and not self.has_w:
            z = truncated_normal(z, self.truncation)
        return torch.from_numpy(z).to(self.device)

    def label_numbers(self, num: int, labels: Sequence[int | str] | int | str | None, start: int = 0) -> np.ndarray:
        """Class numbers, int64 `[num]`: those of images `start` to `start + num`.

        Without `labels` each class comes as often as in the training data, or in turn where they are
        about equally frequent (within half). Raises `UserError` for classes that there are not.
        """
        if labels is None:
            balanced = not self.shares or max(self.shares) <= BALANCED * min(self.shares)
            return in_turn(start, num, len(self.classes)) if balanced else by_share(start, num, self.shares)
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


def in_turn(start: int, num: int, num_classes: int) -> np.ndarray:
    """Class i modulo the classes for image i: int64 `[num]`."""
    return (start + np.arange(num)) % max(num_classes, 1)


def by_share(start: int, num: int, shares: Sequence[float]) -> np.ndarray:
    """Classes that come about as often as their shares say in every stretch of images: int64 `[num]`.

    Image i takes the class at i times the golden ratio, modulo 1, which is spread evenly.
    """
    place = (start + np.arange(num) + 0.5) * GOLDEN % 1
    return np.searchsorted(np.cumsum(shares)[:-1] / np.sum(shares), place, side="right")


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """The generator of a run folder, or of a generator folder. Runs no code from it.

    Raises `UserError` where there is none, it cannot be read, or it makes images of images.
    """
    G = load_any(path, device)
    if isinstance(G, ImageToImage):
        raise UserError(
            f"{path} makes images of images, not of noise: gannet translate {quote(str(path))} FOLDER --out DIR"
        )
    return G


def load_translator(path: str | os.PathLike[str], device: str | torch.device = "cpu", to: Side = "b") -> ImageToImage:
    """What a run translates with, as `load_any`. Raises `UserError` too where it makes images of noise."""
    G = load_any(path, device, to)
    if isinstance(G, Generator):
        how = f"gannet sample {quote(str(path))} --out DIR"
        raise UserError(f"{path} makes images of noise, not of images: {how}")
    return G


def load_any(
    path: str | os.PathLike[str], device: str | torch.device = "cpu", to: Side = "b"
) -> Generator | ImageToImage:
    """The G of a run folder, or of a generator folder; `to` a the F of CycleGAN, which goes the other way.

    Runs no code from it. Raises `UserError` where there is none or it cannot be read.
    """
    folder = generator_folder(Path(path))
    if to == "a":
        folder = folder.with_name(BACK)
        if not folder.exists():
            raise UserError(f"{path} has no way back, as runs of cyclegan have (the folder {BACK}): leave --to a out")
    network, config = load_network(folder, GENERATORS | TRANSLATORS)
    device = torch.device(device)
    network.to(device)
    if isinstance(network, Translator):
        return ImageToImage(network, data_of(config, folder), config["channels"], device)
    return generator_of(network, config, device, folder)


def generator_of(network: nn.Module, config: Mapping[str, Any], device: torch.device, folder: Path) -> Generator:
    """A network in eval mode and what its config.json says. Raises `UserError` where that cannot be."""
    classes, shares = tuple(config["classes"]), tuple(config.get("class_shares", ()))
    if shares and (len(shares) != len(classes) or not all(0 < share <= 1 for share in shares)):
        raise UserError(f"the class_shares in {folder / 'config.json'} are not one number a class, above 0 to 1")
    frames = config.get("frames", 1)
    facts = config["resolution"], config["channels"] // frames, device, folder, shares
    return Generator(network, classes, cast(int, network.z_dim), *facts, frames=frames)


def data_of(config: Mapping[str, Any], folder: Path) -> Data:
    """How the images that G was trained on were made alike. Raises `UserError` where that cannot be."""
    try:
        return CONVERTER.structure({**config.get("data", {}), "resolution": config["resolution"]}, Data)
    except (cattrs.BaseValidationError, TypeError) as error:
        raise UserError(f"the table data in {folder / 'config.json'} is none that a run writes") from error
