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
from gannet.errors import UserError
from gannet.generation.sampler import Sampler, check_shares, hot, no_sampler
from gannet.generation.translate import ImageToImage
from gannet.generation.truncation import standing_statistics
from gannet.networks import DISCRIMINATORS, GENERATORS, TRANSLATORS
from gannet.networks.folder import generator_folder, load_network
from gannet.networks.translator import Translator
from gannet.noise import Stream

STANDING_BATCH = 64
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
class Generator(Sampler):
    """A trained G in eval mode and float32."""

    network: nn.Module
    device: torch.device
    given: Tensor | None = None
    """First frames `[M, given * C, R, R]` in [-1, 1] to go on from, of a G that is given some."""

    @property
    def has_w(self) -> bool:
        return hasattr(self.network, "w_avg")

    def truncated(self, truncation: float) -> "Generator":
        """A copy whose images are more like each other, and mostly better.

        Where G has a w it is psi, from -1 to 2: how far w lies from its average, 1 as trained (Karras et
        al. 2019, appendix B). Elsewhere it bounds the values of z, and is above 0 (Brock et al. 2019,
        section 3.1, but for how: see `truncated_normal`); batch norm then gets the mean statistics of 100
        batches of such z, always the same. Raises `UserError` for other numbers.
        """
        G = replace(self, truncation=self.bounded(truncation))
        if self.has_w:
            return G
        G = replace(G, network=copy.deepcopy(self.network))
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

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts)) if parts else torch.empty(0)

    def z(self, seed: int, start: int, num: int, stream: Stream = Stream.SAMPLE) -> Tensor:
        return torch.from_numpy(self.noise(seed, start, num, stream)).to(self.device)

    def one_hot(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(hot(numbers, len(self.classes))).to(self.device)

    def discriminator(self) -> Discriminator:
        """The D beside this generator. Raises `UserError` when the run has none."""
        folder = self.folder.parent / "discriminator"
        if not folder.exists():
            raise UserError(f"{folder} is not there, so nothing can rate the images: leave --min-realness out")
        network, config = load_network(folder, DISCRIMINATORS)
        return Discriminator(network.to(self.device), bool(config.get("logit_is_probability")))


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """The generator of a run folder, of a generator folder, or of a file of `gannet export --to safetensors`.

    Runs no code from it. Raises `UserError` where there is none, it cannot be read, or it makes images of images.
    """
    G = load_any(path, device)
    if isinstance(G, ImageToImage):
        raise no_sampler(path)
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
    check_shares(shares, classes, folder)
    frames = config.get("frames", 1)
    return Generator(
        network,
        device,
        classes=classes,
        z_dim=cast(int, network.z_dim),
        resolution=config["resolution"],
        channels=config["channels"] // frames,
        folder=folder,
        shares=shares,
        frames=frames,
    )


def data_of(config: Mapping[str, Any], folder: Path) -> Data:
    """How the images that G was trained on were made alike. Raises `UserError` where that cannot be."""
    try:
        return CONVERTER.structure({**config.get("data", {}), "resolution": config["resolution"]}, Data)
    except (cattrs.BaseValidationError, TypeError) as error:
        raise UserError(f"the table data in {folder / 'config.json'} is none that a run writes") from error
