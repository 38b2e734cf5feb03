"""Data sets that torchvision downloads into the cache folder; the training split of each."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.data.sources import Source
from gannet.errors import UserError


class Array(Source):
    """Images that lie in memory, uint8 `[N, H, W]` or `[N, H, W, 3]`."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]):
        self.name = name
        self.images = images
        self.labels = labels.astype(np.int64)
        self.classes = classes
        self.names = [f"{classes[label].replace('/', '-')}/{i:05}" for i, label in enumerate(self.labels)]

    def open(self, i: int) -> Image.Image:
        """The image."""
        return Image.fromarray(self.images[i])

    def key(self, i: int) -> str:
        """The number: the published set does not change."""
        return f"{self.name}|{i}"


def mnist(cache: Path) -> Source:
    """60,000 handwritten digits, 28x28 grey (LeCun et al. 1998)."""
    return _idx("mnist", "MNIST", cache)


def fashion_mnist(cache: Path) -> Source:
    """60,000 pieces of clothing, 28x28 grey (Xiao et al. 2017)."""
    return _idx("fashion-mnist", "FashionMNIST", cache)


def cifar10(cache: Path) -> Source:
    """50,000 photographs, 32x32 RGB, in 10 classes (Krizhevsky 2009)."""
    from torchvision import datasets

    data = _download("cifar10", datasets.CIFAR10, cache, datasets.CIFAR10.url, "cifar-10-python.tar.gz", "")
    return Array("cifar10", data.data, np.array(data.targets), tuple(data.classes))


def _idx(name: str, kind: str, cache: Path) -> Source:
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    files = ", ".join(file for file, _ in dataset.resources)
    data = _download(name, dataset, cache, dataset.mirrors[0], files, f"{kind}/raw")
    return Array(name, data.data.numpy(), data.targets.numpy(), tuple(data.classes))


def _download(name: str, dataset: Any, cache: Path, url: str, files: str, folder: str) -> Any:
    root = cache / "torchvision"
    try:
        # torchvision prints each mirror that fails; the one line below says it.
        with contextlib.redirect_stdout(io.StringIO()):
            return dataset(str(root), train=True, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot download {name} from {url} and it is not in the cache: put {files} into {root / folder}"
        ) from error
