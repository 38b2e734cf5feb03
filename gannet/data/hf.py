"""Images in data sets of Hugging Face's `datasets` (the extra `hf`): Parquet files and the hub.

They are opened map-style, never streamed: `datasets` cannot take up a stream exactly where it was
left, and a table on disk can be read at any row. So exact resume holds for these as for a folder.
The disk holds one copy more, the Arrow files that `datasets` makes in the cache folder.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.data.pool import reason
from gannet.data.shards import by_value
from gannet.data.sources import Source, open_image, shown
from gannet.errors import UserError
from gannet.files import write_text

LABELS = ("label", "labels", "class", "cls")
IMAGES = ("image", "img")


class Rows(Source):
    """The rows of a `datasets.Dataset`, each with an image as the bytes of its file.

    The image is the column of that type, `image` or `img` where there are several. The label is the
    column `label` (or `labels`, `class`, `cls`), else the first of type ClassLabel; where a row has
    none, the set has no classes. Raises `UserError` where no column holds images.
    """

    def __init__(self, name: str, dataset: Any):
        from datasets import Image as ImageFeature

        self.name = name
        self._column = _image_column(name, dataset)
        images = dataset.select_columns([self._column])
        self._rows = images.cast_column(self._column, ImageFeature(decode=False))
        self.classes, self.labels = _labels(dataset)
        self.names = _names(self._rows, self._column, self.classes, self.labels)
        files = [Path(file["filename"]) for file in dataset.cache_files]
        self._files = "|".join(f"{path}|{path.stat().st_size}|{path.stat().st_mtime_ns}" for path in files)

    def open(self, i: int) -> Image.Image:
        """The image, its compressed bytes in memory."""
        cell = self._rows[i][self._column]
        if cell is None or not (cell["bytes"] or cell["path"]):
            raise ValueError("the row has no image")
        extension = Path(cell["path"] or "").suffix
        return open_image(BytesIO(cell["bytes"]) if cell["bytes"] else Path(cell["path"]), extension)

    def key(self, i: int) -> str:
        """Path, size and time of the Arrow files, and the row."""
        return f"{self._files}|{i}"


def parquet(name: str, files: Sequence[Path], cache: Path) -> Source:
    """The images in Parquet files. Raises `UserError` where they cannot be read."""
    paths = [str(file) for file in files]
    with _quiet(f"cannot read {paths[0]}{', ...' if len(paths) > 1 else ''} as Parquet", ": copy it again") as datasets:
        dataset = datasets.load_dataset("parquet", data_files=paths, split="train", cache_dir=str(cache / "hf"))
        return Rows(name, dataset)


def hub(address: str, repository: str, configuration: str | None, split: str | None, cache: Path) -> Source:
    """The images of one split (`train` without a name) of a data set on the Hugging Face hub."""
    with _quiet(f"cannot read {address}", f": remove {cache / 'hf'} and load it again") as datasets:
        files = _arrow_files(address, repository, configuration, split, cache)
        dataset = datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in files])
        return Rows(repository.rpartition("/")[2], dataset)


def load_hub(address: str, repository: str, configuration: str | None, split: str | None, cache: Path) -> Path:
    """Loads what `hub` reads into `cache`, and says into which folder."""
    return _arrow_files(address, repository, configuration, split, cache)[0].parent


def _arrow_files(
    address: str, repository: str, configuration: str | None, split: str | None, cache: Path
) -> list[Path]:
    """The Arrow files of a data set, loaded once; after that the hub is not asked, and its changes not seen."""
    folder = cache / "hf"
    kept = "--".join([*repository.split("/"), configuration or "default", split or "train"])
    known = folder / f"{kept}.json"
    if known.is_file():
        files = [folder / file for file in json.loads(known.read_text("utf-8"))]
        if all(file.is_file() for file in files):
            return files
    advice = f": mend the name, or run gannet fetch {address} where there is a network, with the same cache folder"
    with _quiet(f"cannot load {address}", advice) as datasets:
        dataset = datasets.load_dataset(repository, configuration, split=split or "train", cache_dir=str(folder))
    files = [Path(file["filename"]) for file in dataset.cache_files]
    if not files:
        raise UserError(f"{address} has no rows: name another split, as in hf://{repository}:test")
    root = os.path.realpath(folder)
    write_text(known, json.dumps([Path(os.path.relpath(os.path.realpath(file), root)).as_posix() for file in files]))
    return files


@contextmanager
def _quiet(failed: str, advice: str = "") -> Iterator[Any]:
    """The module `datasets`, silent; whatever goes wrong becomes one line between `failed` and `advice`."""
    try:
        import datasets
        from huggingface_hub.utils import logging as hub_logging
    except ImportError as error:
        raise UserError("Parquet and hf:// need the package datasets: pip install 'gannet-gan[hf]'") from error
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub_logging.set_verbosity(hub_logging.CRITICAL)  # each retry would be an error of three lines
    try:
        yield datasets
    except UserError:
        raise
    except Exception as error:  # pyarrow's, the hub's and the network's are of many kinds
        why = reason(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"{failed} ({why}){advice}") from error


def _image_column(name: str, dataset: Any) -> str:
    features = dataset.features
    found = [column for column, feature in features.items() if _holds_images(feature)]
    chosen = [column for column in IMAGES if column in found] or found
    if not chosen or (len(found) > 1 and chosen == found):
        which = f"several columns of images ({', '.join(found)})" if found else "no column of images"
        raise UserError(f"{name} has {which}, among {', '.join(features)}: name that of the images 'image'")
    return chosen[0]


def _holds_images(feature: Any) -> bool:
    """Whether a column is of the image type, or is stored as such a one without saying so."""
    from datasets import Image as ImageFeature
    from datasets import Value

    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, ImageFeature) or (isinstance(feature, Value) and feature.dtype.endswith("binary"))


def _labels(dataset: Any) -> tuple[tuple[str, ...], np.ndarray]:
    from datasets import ClassLabel, Value

    features = dataset.features
    named = [column for column in LABELS if isinstance(features.get(column), (ClassLabel, Value))]
    columns = named or [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    if not columns:
        return by_value([None] * len(dataset))
    values = dataset.data.column(columns[0]).to_pylist()
    feature = features[columns[0]]
    if not isinstance(feature, ClassLabel):
        return by_value([value if isinstance(value, (str, int)) else None for value in values])
    if any(value is None or value < 0 for value in values) or len(feature.names) < 2:
        return by_value([None] * len(dataset))
    return tuple(feature.names), np.array(values, np.int64)


def _names(rows: Any, column: str, classes: tuple[str, ...], labels: np.ndarray) -> list[str]:
    """The file names that the rows keep, where they tell the rows apart; else class and number."""
    paths: list[str | None] = []
    for chunk in rows.data.column(column).chunks:
        paths += chunk.field("path").to_pylist()
    if None not in paths and len(set(paths)) == len(paths) and not any(Path(str(path)).is_absolute() for path in paths):
        return [shown(str(path)) for path in paths]
    return [f"{classes[k].replace('/', '-')}/{i:05}" if classes else f"{i:05}" for i, k in enumerate(labels)]
