"""A trained generator, loaded from its folder alone: no data, no flags, no pickle."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any, Literal, cast, get_args

import cattrs
import numpy as np
import torch
from torch import Tensor, nn

from gannet.config import CONVERTER, Data
from gannet.errors import UserError
from gannet.generation.directions import Method, find_directions
from gannet.generation.sampler import Sampler, check_shares, no_sampler
from gannet.generation.translate import Given, ImageToImage
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
    real_logits: tuple[float, ...] = ()
    """Quantiles of its logits for reals, from the least to the largest, where it is no classifier."""

    @torch.inference_mode()
    def realness(self, x: Tensor, c: Tensor) -> Tensor:
        """How real each image x `[N, C, R, R]` in [-1, 1] is to D: `[N]` in [0, 1].

        It is the probability that D gives, of several logits their mean; where D is no classifier, the share of
        reals whose logit is no larger.
        """
        if self.is_classifier:
            return torch.sigmoid(self.network(x, c).float()).reshape(len(x), -1).mean(1)
        share = np.linspace(0, 1, len(self.real_logits))
        logits = self.logits(x, c).cpu().numpy()
        return torch.from_numpy(np.interp(logits, self.real_logits, share, left=0, right=1))

    @torch.inference_mode()
    def logits(self, x: Tensor, c: Tensor) -> Tensor:
        """D's logit of each image, or the mean of its several: `[N]`."""
        return self.network(x, c).float().reshape(len(x), -1).mean(1)


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

    @property
    def shows_w(self) -> bool:
        return self.has_w

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
    def images(self, z: Tensor, c: Tensor, start: int | Sequence[int] = 0) -> Tensor:
        """G(z, c), on CUDA too in whole float32; clips are `[N, frames * C, R, R]`.

        Clip number i goes on from the first frames number i modulo M of `given`, where G is given some.
        Raises `UserError` where there are none.
        """
        if self.has_w:
            return self.images_of(self.w(z, c))
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.network(z, c, *self.start_of(start, len(z))).float()

    @torch.no_grad()  # so that layers can be replaced, which inference mode forbids
    def w(self, z: Tensor, c: Tensor) -> Tensor:
        """w of z `[N, z_dim]` and c `[N, num_classes]`, once for each layer: `[N, num_layers, w_dim]`.

        A truncated copy gives them nearer to their average. Raises `UserError` where G has no w.
        """
        network = self.styled()
        w = network.mapping(z, c)
        return (w if self.truncation is None else network.near_average(w, self.truncation)).contiguous()

    @torch.inference_mode()
    def images_of(self, w: Tensor) -> Tensor:
        """Images of w `[N, num_layers, w_dim]`: `images_of(w(z, c))` is `images(z, c)`. It does not truncate.

        Layers may have the w of several images (style mixing). Raises `UserError` where G has no w.
        """
        network = self.styled()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return network.bounded(network.synthesis(w)).float()

    def styled(self) -> Any:
        """The network, which has a w. Raises `UserError` where it has none."""
        if not self.has_w:
            raise UserError("this generator makes images of z without a w between, as only stylegan2 has one")
        return self.network

    def directions(self, num: int, method: Method = "factorised", label: int | str | None = None) -> np.ndarray:
        """The `num` strongest directions of `find_directions`, float32 `[num, w_dim]`, or `[num, z_dim]` without a w.

        Each is one standard deviation: `images(z + 2 * d, c)` or `images_of(w + 2 * d)` goes two of them along d.
        """
        return find_directions(self, num, method, label).vectors

    def start_of(self, start: int | Sequence[int], num: int) -> tuple[Tensor, ...]:
        """The first frames of the clips that `start` tells of, of a G that is given some; else nothing."""
        if not getattr(self.network, "given_channels", 0):
            return ()
        if self.given is None:
            raise UserError("this generator goes on from first frames: name a folder of videos with --given")
        numbers = torch.tensor(start if isinstance(start, Sequence) else range(start, start + num))
        return (self.given[numbers % len(self.given)].to(self.device),)

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts)) if parts else torch.empty(0)

    def as_input(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def discriminator(self) -> Discriminator:
        """The D beside this generator. Raises `UserError` when the run has none."""
        folder = self.folder.parent / "discriminator"
        if not folder.exists():
            raise UserError(
                f"{folder} is not there, so nothing can rate the images: leave --min-realness and --rejection out"
            )
        network, config = load_network(folder, DISCRIMINATORS)
        is_classifier, reals = bool(config.get("logit_is_probability")), config.get("real_logits", ())
        return Discriminator(network.to(self.device), is_classifier, tuple(map(float, reals)))


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """The generator of a run folder, of a generator folder, or of a file of `gannet export --to safetensors`.

    Runs no code from it. Raises `UserError` where there is none, it cannot be read, or it makes images of images.
    """
    G = load_any(path, device)
    if isinstance(G, ImageToImage):
        raise no_sampler(path)
    return G


def load_translator(path: str | os.PathLike[str], device: str | torch.device = "cpu", to: Side = "b") -> ImageToImage:
    """What a run translates with, as `load_any`. Raises `UserError` too for ONNX files, and images of noise."""
    if Path(path).suffix.lower() == ".onnx":
        raise UserError(
            f"{path} is an ONNX file, which is for other programs: gannet translate takes the run it was exported from"
        )
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
            raise UserError(f"{path} has no way back, as runs of cyclegan have (the folder {BACK}): it goes to b alone")
    network, config = load_network(folder, GENERATORS | TRANSLATORS)
    device = torch.device(device)
    network.to(device)
    if isinstance(network, Translator):
        given = config.get("given", "")
        if given not in get_args(Given):
            raise UserError(f"{folder / 'config.json'} says that G is given {given!r}, which no run writes")
        return ImageToImage(network, data_of(config, folder), config["channels"], device, given=given)
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
