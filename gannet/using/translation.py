"""From files of images to the files that a trained network makes of them."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.config import Data
from gannet.data import SOURCES
from gannet.data.cache import cache_folder
from gannet.data.dataset import Dataset, opened
from gannet.data.decode import is_wide, rgba, upright, whole
from gannet.data.levels import levels
from gannet.data.pairs import Halves
from gannet.data.pool import each
from gannet.data.sources import Chosen, Files, Source, is_image, open_source, shown
from gannet.errors import UserError
from gannet.files import write_with
from gannet.generation.load import Side
from gannet.generation.translate import Given, ImageToImage, resized
from gannet.images import png, to_pil

SUFFIX = ".png"
PICTURES = (SUFFIX, ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Translated:
    """What was written, out of how many images, and what was left out."""

    files: list[Path]
    num: int
    unreadable: list[tuple[str, str]]
    """Name and reason of each image that cannot be read."""
    finished: bool
    """False where it was interrupted."""
    num_pairs: int = 0
    """How many were pairs side by side, of which G was given its half."""
    num_in_parts: int = 0
    """How many were larger than in training, and given to G in parts that may show (`ImageToImage.in_parts`)."""


class One(Files):
    """A single image file."""

    def __init__(self, path: Path):
        self.path, self.name = path, shown(path.name)
        self._set_names([path.name], ())

    def file(self, i: int) -> Path:
        """The path."""
        return self.path

    def key(self, i: int) -> str:
        """The path: nothing that is kept follows from the image."""
        return str(self.path)


class InputHalves(Halves):
    """Images of which those twice as wide as high are pairs side by side, and stand for the half that G is given."""

    num_frames = 1

    def __init__(self, source: Source, swap: bool):
        super().__init__(source, swap)
        self.pairs: set[int] = set()
        """The numbers of those that were opened and are pairs."""

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """The half, or the whole of an image of another shape."""
        with self.source.open(i) as image:
            width, height = upright(image).size
            if width != 2 * height:
                yield image
                return
        self.pairs.add(i)
        yield next(super().frames(i))


class Inputs:
    """Images at their own size, as G is given them, and the alpha that it is not given."""

    def __init__(self, source: Source, G: ImageToImage):
        self.source, self.G = source, G

    @cached_property
    def levels(self) -> tuple[float, float]:
        """The range of all images of more than 8 bits that are translated together."""
        are_wide, _ = each(self.source, range(len(self.source)), lambda _, images: is_wide(next(images)))
        wide = [i for i, is_so in enumerate(are_wide) if is_so]
        return levels(self.source, wide, self.G.data.range) or (0.0, 1.0)

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray | None] | str:
        """Image i as uint8 `[H, W, C]` with its alpha, uint8 `[1, H, W]`; or why it cannot be read."""
        results, failed = each(self.source, [i], self.of)
        return results[0] or failed[i]

    def of(self, _: int, images: Iterator[Image.Image]) -> tuple[np.ndarray, np.ndarray | None]:
        image = upright(next(images))
        wide = is_wide(image)
        straight = None if wide or self.G.channels == 4 else rgba(image)
        pixels = whole(image, self.G.data.alpha, self.G.channels, self.levels if wide else None)
        return pixels.transpose(1, 2, 0), None if straight is None else np.asarray(straight)[None, ..., 3]


def open_inputs(path: str, given: Given = "") -> Source:
    """An image, or all of a folder, a zip or a named data set; of pairs side by side the half that G is `given`.

    Raises `UserError` where there is none.
    """
    source = One(Path(path)) if is_one(path) else open_source(path, cache_folder())
    return InputHalves(source, given == "right half") if given else source


def held_out_inputs(data: Data, dataset: Dataset, to: Side) -> Source:
    """The images that a run has held out and G is given, at their own size; `to` a those of the second set of two.

    Raises `UserError` where there are none, and for a run of other kinds.
    """
    if data.kind not in ("pairs", "unpaired"):
        raise UserError("--held-out is for runs of pairs, and of two unpaired folders: name the images")
    source = opened(data, cache_folder())
    if dataset.other and source.other and to == "b":
        source, dataset = source.other, dataset.other
    if not len(dataset.held_out):
        raise UserError("the run holds no images out: name the images, or train with --data.held-out 0.1")
    names = set(dataset.held_out_names)
    return Chosen(source, [i for i, name in enumerate(source.names) if name in names])


def is_one(path: str) -> bool:
    """Whether there is an image file, and not a folder."""
    return path not in SOURCES.rows and os.path.isfile(path) and is_image(path)


def check_out(path: str, out: Path) -> None:
    """Raises `UserError` where files in `out` could take the place of images at `path`, or `out` cannot be."""
    if is_image(path) and not os.path.exists(path):
        raise UserError(f"there is no image at {path}")
    if is_one(path) and is_file(out):
        if out.suffix.lower() != SUFFIX:
            raise UserError(f"{shown(out)}: what is made is PNG, so name a file that ends in {SUFFIX}, or a folder")
        if out.resolve() == Path(path).resolve():
            raise UserError(f"--out is {shown(out)}, the image that is read: name another file")
        return
    if is_file(out):
        raise UserError(f"{shown(out)} is the name of one file: name a folder with --out")
    read, written = Path(path).resolve(), out.resolve()
    inside = written == read.parent if read.is_file() else read.is_dir() and written.is_relative_to(read)
    if inside:
        raise UserError(f"--out is {shown(out)}, where the images are that are read: name another folder")


def is_file(out: Path) -> bool:
    """Whether the place is a file, or has the name of one that is to be made."""
    return out.is_file() or (out.suffix.lower() in PICTURES and not out.is_dir())


def translate_files(
    G: ImageToImage, source: Source, out: Path, progress: Callable[[int, int], None] | None = None
) -> Translated:
    """Writes what G makes of every image of `source` to the folder `out`, by the same name, as PNG.

    Of one image `out` may be the file. Images that cannot be read are left out, and named. When it is interrupted
    (Ctrl-C), what is written stays. Raises `UserError` where no image can be read, and where the disk refuses.
    """
    inputs, files, unreadable, finished, num_in_parts = Inputs(source, G), [], [], False, 0
    try:
        for i, path in enumerate(written_names(source.names)):
            found = inputs.read(i)
            if isinstance(found, str):
                unreadable.append((shown(source.names[i]), found))
            else:
                picture = translated(G, *found)
                num_in_parts += G.in_parts(found[0])
                files.append(out if is_file(out) else out / path)
                write_with(files[-1], lambda file, picture=picture: file.write(png(picture)))
            if progress:
                progress(i + 1, len(source))
        finished = True
    except KeyboardInterrupt:
        pass
    if finished and not files:
        name, why = unreadable[0]
        raise UserError(f"none of the {len(source):,} images can be read; the first, {name}: {why}")
    num_pairs = len(source.pairs) if isinstance(source, InputHalves) else 0
    return Translated(files, len(source), unreadable, finished, num_pairs, num_in_parts)


def written_names(names: Sequence[str]) -> list[str]:
    """The names with the extension .png; where two would be one, the later keeps its own before it.

    The number of a tile, behind the name of its image, stands before the extension: a.jpg#1 becomes a#1.png.
    """
    taken: set[str] = set()
    found = []
    for name in names:
        stem, extension = os.path.splitext(name)
        mark = "".join(extension.partition("#")[1:])
        more = (f"{name}.{k}.png" for k in count(2))
        candidates = chain((f"{stem}{mark}.png", f"{name}.png"), more)
        path = next(path for path in candidates if path.casefold() not in taken)
        taken.add(path.casefold())
        found.append(path)
    return found


def translated(G: ImageToImage, pixels: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    """What G makes of an image, as a picture; with the image's own alpha, enlarged as the image is.

    G saw such an image over black or white, and what it makes is taken for an image over the same: the picture's
    colours are those that give it again.
    """
    made = G.translate(pixels)
    if alpha is None:
        return to_pil(made.transpose(2, 0, 1))
    under = 255.0 if G.data.alpha == "white" else 0.0
    alpha = resized(alpha, len(made), made.shape[1], G.data.filter)[0, :, :, None]
    share = np.maximum(alpha, 1) / np.float32(255)
    colours = ((made - under * (1 - share)) / share).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.concatenate([colours, alpha], axis=2))
