"""A quick look at a set of images: every header, and the pixels of a sample."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from gannet.data.clips import Videos
from gannet.data.decode import is_wide, opaque, rgba, upright, wide_values
from gannet.data.pool import Progress, each
from gannet.data.sources import Source, shown

SAMPLE = 256
SAMPLE_PIXELS = 256 * 2**20  # fewer images are sampled where they are larger than a megapixel
ART_SIDE = 128  # pixels; larger images are not taken for pixel art
ART_COLOURS = 64
NEARLY_ALL = 0.9  # of the images in a set
DARK = 8  # of 255


@dataclass(frozen=True)
class Header:
    """What the header of a file says."""

    format: str
    mode: str
    size: tuple[int, int]
    wide: bool
    animated: bool


@dataclass(frozen=True)
class Look:
    """What the pixels of an image say: 1, 3 or 4 channels in use, pixel art or not, edges dark or not."""

    channels: int
    art: bool
    dark_border: bool


@dataclass(frozen=True)
class Scan:
    """What a set of images is like."""

    num: int
    """Image files, unreadable ones included."""
    formats: dict[str, int]
    modes: dict[str, int]
    """Images of each of Pillow's modes."""
    width: tuple[int, int, int]
    """Smallest, median and largest, in pixels."""
    height: tuple[int, int, int]
    classes: dict[str, int]
    """Readable images in each class that has any; empty when there are no class folders."""
    channels: int
    """4 where an image is transparent somewhere, 1 where all are grey (even if stored as RGB), else 3."""
    wide: bool
    """Some images have greys of more than 8 bits."""
    pixel_art: bool
    """Nearly all images are small, of few colours, with hard edges."""
    dark_border: bool
    """Nearly all images are black or transparent along their edges."""
    unreadable: list[tuple[str, str]]
    """Name (as `shown`) and reason of each file that cannot be read, among those that were tried."""
    ignored: int
    """Files that are no images by their extension."""
    animated: bool = False
    """Most are moving pictures, of which the first frame is the image."""


def scan(source: Source, progress: Progress | None = None) -> Scan:
    """Reads all headers, and the pixels of up to 256 items that are evenly spaced in the set.

    Of an item of several images that is the header of the first. Of two unpaired sets it tells the one that D
    sees, with as many channels as either has.
    """
    headers, failed = each(source, range(len(source)), lambda _, images: header(next(images)), progress)
    readable = [i for i in range(len(source)) if headers[i] is not None]
    areas = [h.size[0] * h.size[1] for h in headers if h is not None]
    num = min(SAMPLE, max(16, int(SAMPLE_PIXELS / np.median(areas)))) if areas else 0
    looks, worse = each(source, evenly(readable, num), lambda _, images: together(map(seen, images))[1])
    found = summary(source, headers, looks, failed | worse)
    if source.other is None:
        return found
    return replace(found, channels=max(found.channels, scan(source.other, progress).channels))


def summary(
    source: Source, headers: Sequence[Header | None], looks: Sequence[Look | None], failed: dict[int, str]
) -> Scan:
    """The `Scan` of a source from what was found in its images."""
    heads = [h for h in headers if h is not None]
    known = [look for look in looks if look is not None]
    sizes = np.array([h.size for h in heads] or [(0, 0)])
    counts = np.bincount(np.delete(source.labels, list(failed)), minlength=len(source.classes))
    small = np.median(sizes.max(1)) <= ART_SIDE
    return Scan(
        num=len(source),
        formats=_counted(h.format for h in heads),
        modes=_counted(h.mode for h in heads),
        width=_spread(sizes[:, 0]),
        height=_spread(sizes[:, 1]),
        classes={name: int(n) for name, n in zip(source.classes, counts, strict=False) if n},
        channels=max((look.channels for look in known), default=3),
        wide=any(h.wide for h in heads),
        pixel_art=bool(known and small and np.mean([look.art for look in known]) >= NEARLY_ALL),
        dark_border=bool(known and np.mean([look.dark_border for look in known]) >= NEARLY_ALL),
        unreadable=[(shown(source.names[i]), why) for i, why in sorted(failed.items())],
        ignored=source.ignored,
        animated=isinstance(source, Videos) or 2 * sum(h.animated for h in heads) > len(source),
    )


def left_out(source: Source, found: Scan) -> list[str]:
    """Folders that would be classes and hold no readable image."""
    return [*source.empty, *(name for name in source.classes if name not in found.classes)]


def header(image: Image.Image) -> Header:
    """The header of an image that was just opened."""
    return Header(image.format or "array", image.mode, image.size, is_wide(image), is_moving(image))


def is_moving(image: Image.Image) -> bool:
    """Whether a file that was just opened holds frames over time, and can be told to."""
    try:
        return image.format in ("GIF", "WEBP") and bool(getattr(image, "is_animated", False))
    except Exception:  # whatever Pillow raises on a second frame that is torn: the first is the image all the same
        return False


def pixels(image: Image.Image) -> np.ndarray:
    """The pixels with as many channels as they use.

    uint8 `[H, W]` for greys, `[H, W, 3]` for colour, straight `[H, W, 4]` only where something is
    transparent; float64 `[H, W]` for greys of more than 8 bits.
    """
    image = upright(image)
    if is_wide(image):
        return wide_values(image)
    straight = rgba(image)
    if straight is not None:
        array = np.asarray(straight)
        if array[..., 3].min() < 255:
            return array
        array = array[..., :3]
    else:
        array = np.asarray(opaque(image, "black"))
    if array.ndim == 3 and (array[..., :2] == array[..., 1:]).all():
        return array[..., 0]
    return array


def look(array: np.ndarray) -> Look:
    """What `pixels` tell."""
    return Look(1 if array.ndim == 2 else array.shape[2], _is_art(array), _has_dark_border(array))


def seen(image: Image.Image) -> tuple[Header, Look]:
    """What an image that was just opened is like."""
    return header(image), look(pixels(image))


def together(found: Iterable[tuple[Header, Look]]) -> tuple[Header, Look]:
    """What an item of several images is like: the header of the first, and what any of them needs."""
    headers, looks = zip(*found, strict=True)
    art, dark = all(look.art for look in looks), all(look.dark_border for look in looks)
    wide = any(head.wide for head in headers)
    return replace(headers[0], wide=wide), Look(max(look.channels for look in looks), art, dark)


def _has_dark_border(array: np.ndarray) -> bool:
    """Whether the outermost pixels are black or transparent."""
    seen = array[..., 3:] if array.ndim == 3 and array.shape[2] == 4 else array
    edges = [seen[0], seen[-1], seen[:, 0], seen[:, -1]]
    return array.dtype == np.uint8 and max(int(edge.max()) for edge in edges) <= DARK


def evenly(items: Sequence[int], num: int) -> list[int]:
    """Up to `num` of the items, evenly spaced."""
    if len(items) <= num:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, num).round().astype(int)]


def _is_art(array: np.ndarray) -> bool:
    """Few colours and hard edges.

    Colours alone do not tell: a small antialiased digit has as few. But where an edge was smoothed,
    the pixel upon it lies between its two neighbours, and on a drawn edge it equals one of them.
    Measured: 0 to 0.2 of the strong edges in sprites, 0.4 and more in digits, glyphs and emoji.
    """
    if max(array.shape[:2]) > 2 * ART_SIDE or min(array.shape[:2]) < 3 or array.dtype != np.uint8:
        return False
    values = np.atleast_3d(array).astype(np.int32)
    if values.shape[2] == 4:
        values[values[..., 3] == 0] = 0
    if len(np.unique(values @ 256 ** np.arange(values.shape[2]))) > ART_COLOURS:
        return False
    strong = between = 0
    for lines in (values, values.transpose(1, 0, 2)):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        edge = abs(after - before).max(-1) > 48
        left, right = here - before, after - here
        mixed = (left * right >= 0).all(-1) & (abs(left).max(-1) > 8) & (abs(right).max(-1) > 8)
        strong += int(edge.sum())
        between += int((edge & mixed).sum())
    return strong > 0 and between < 0.3 * strong


def _counted(items: Iterable[str]) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _spread(values: np.ndarray) -> tuple[int, int, int]:
    return int(values.min()), int(np.median(values)), int(values.max())
