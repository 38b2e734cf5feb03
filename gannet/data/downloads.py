"""Data sets that torchvision downloads into the cache folder; the training split of each."""

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.data import FETCHED
from gannet.data.pool import Progress
from gannet.data.shards import load_address
from gannet.data.sources import Source
from gannet.errors import UserError, nearest
from gannet.parts import Table, facts_for


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


@dataclass(frozen=True)
class Fetched:
    """What was loaded ahead, the folder in which it lies, and its bytes."""

    name: str
    folder: Path
    num_bytes: int


def fetch(name: str, cache: Path, progress: Progress | None = None, table: Table = FETCHED) -> Fetched:
    """Loads what `table` has by the name, or what is at an address, into `cache`, unless it is there.

    Raises `UserError` when there is no such thing, or it cannot be reached.
    """
    if "://" in name:
        folder = load_address(name, cache, progress)
    elif name in table.rows:
        part = table.find(name)
        folder = part(**facts_for(part, cache=cache, progress=progress))
    else:
        raise UserError(
            f"there is nothing to fetch by the name '{name}'{nearest(name, table.rows)} (or an address such as "
            "hf://OWNER/NAME)"
        )
    files = [Path(root) / file for root, _, names in os.walk(folder) for file in names]
    return Fetched(name, folder, sum(file.stat().st_size for file in files))


def fetch_mnist(cache: Path) -> Path:
    """Loads `mnist`; returns its folder."""
    mnist(cache)
    return cache / "torchvision" / "MNIST"


def fetch_fashion_mnist(cache: Path) -> Path:
    """Loads `fashion-mnist`; returns its folder."""
    fashion_mnist(cache)
    return cache / "torchvision" / "FashionMNIST"


def fetch_cifar10(cache: Path) -> Path:
    """Loads `cifar10`; returns its folder."""
    cifar10(cache)
    return cache / "torchvision" / "cifar-10-batches-py"


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
