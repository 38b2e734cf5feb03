"""A thorough look at a set of images: every pixel, duplicates, and what to do about what is wrong."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from gannet.config import Data
from gannet.data.decode import is_wide, to_array
from gannet.data.levels import levels
from gannet.data.pool import Progress, each
from gannet.data.scan import Header, Look, Scan, evenly, header, left_out, look, pixels, seen, summary, together
from gannet.data.sources import Source, shown
from gannet.errors import UserError
from gannet.images import grid, premultiply

SIDE = 16  # pixels of the thumbnails that are compared
# Difference of two thumbnails as a part of their contrast. JPEG at quality 75 makes 0.03 to 0.07, scaling
# to three quarters 0.02 to 0.07; the closest two of 5,000 MNIST digits are 0.11 apart.
NEAR = 0.08
BLOCK = 256  # images compared with all others at once
NEAR_LIMIT = 30_000  # images compared with each other; the work grows with the square
SMALL_SET = 500
NAMED = 5  # folders that a note names
REASONS = 3  # that are told where no image can be read
STRIP = 4  # images of an item that the contact sheet shows side by side


@dataclass(frozen=True)
class Inspection:
    """What is in a set of images, and what is wrong with it."""

    scan: Scan
    """From all pixels of all files."""
    exact_duplicates: list[list[str]]
    """Groups of names whose images have the same pixels."""
    near_duplicates: list[list[str]]
    """Groups of names whose images differ by scaling, compression or a few pixels only."""
    imbalance: float
    """Images in the largest class over those in the smallest; 1 without classes."""
    notes: list[str]
    """A sentence on each thing that is wrong or worth knowing, and what to do."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Seen:
    header: Header
    look: Look
    digest: bytes
    thumbnail: np.ndarray


def inspect(source: Source, progress: Progress | None = None) -> Inspection:
    """Decodes every image and compares all with each other. Raises `UserError` when none can be read."""
    found, failed = each(source, range(len(source)), lambda _, images: _see_all(images), progress)
    known = {i: s for i, s in enumerate(found) if s is not None}
    if not known:
        raise _none_readable(source, failed)
    headers = [None if s is None else s.header for s in found]
    facts = summary(source, headers, [s.look for s in known.values()], failed)
    same: dict[bytes, list[int]] = {}
    for i, s in known.items():
        same.setdefault(s.digest, []).append(i)
    exact = [group for group in same.values() if len(group) > 1]
    single = [group[0] for group in same.values()]
    compared = evenly(single, NEAR_LIMIT)
    near = _near(compared, np.array([known[i].thumbnail for i in compared]).reshape(-1, SIDE, SIDE, 3))
    counts = facts.classes.values()
    imbalance = max(counts, default=1) / min(counts, default=1)
    notes = list(_notes(source, facts, exact, near, imbalance))
    if len(compared) < len(single):
        notes.append(f"Near duplicates were looked for among {len(compared):,} of the images.")
    names = source.names
    return Inspection(
        scan=facts,
        exact_duplicates=[[names[i] for i in group] for group in exact],
        near_duplicates=[[names[i] for i in group] for group in near],
        imbalance=imbalance,
        notes=notes,
    )


def _none_readable(source: Source, failed: dict[int, str]) -> UserError:
    kinds = Counter(failed.values()).most_common(REASONS)
    reasons = "; ".join(f"{num:,} for '{why}'" for why, num in kinds)
    first = shown(source.names[min(failed)])
    return UserError(f"none of the {len(source):,} files in {source.name} can be read, such as {first}: {reasons}")


def contact_sheet(source: Source, num: int = 64) -> Image.Image:
    """Up to `num` items in a grid, evenly spaced over the classes, at their own size up to 128 pixels.

    Of an item of several images up to four stand side by side. Raises `UserError` when none of them can be read.
    """
    members = [np.flatnonzero(source.labels == k).tolist() for k in range(max(1, len(source.classes)))]
    share = -(-num // len(members))
    chosen = evenly([i for group in members for i in evenly(group, share)], num)
    known = _known(source, chosen) or _known(source, range(len(source)))[:num]
    if not known:
        raise UserError(f"none of the {len(source):,} images of {source.name} can be read: gannet inspect says why")
    side = min(128, max(max(head.size) for _, head, _ in known))
    channels = max(c for _, _, c in known)
    wide = [i for i, head, _ in known if head.wide]
    scale = levels(source, wide, (0, 100)) if wide else None
    settings = Data(resolution=side, fit="pad")

    def in_a_row(images: Iterable[Image.Image]) -> np.ndarray:
        return np.concatenate([to_array(image, settings, channels, scale) for image in images], axis=2)

    tiles, _ = each(source, [i for i, *_ in known], lambda _, images: in_a_row(_strip(source, images)))
    return grid(np.stack([tile for tile in tiles if tile is not None]))


def _known(source: Source, indices: Sequence[int]) -> list[tuple[int, Header, int]]:
    """Number, header and channels of each item that can be read."""
    heads, _ = each(source, indices, lambda _, images: together(map(seen, _strip(source, images))))
    return [(i, head[0], head[1].channels) for i, head in zip(indices, heads, strict=True) if head is not None]


def _strip(source: Source, images: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Some of the images of an item, evenly spaced."""
    chosen = evenly(range(source.num_frames), STRIP)
    return (image for number, image in enumerate(images) if number in chosen)


def _see_all(images: Iterable[Image.Image]) -> _Seen:
    """An item of several images as one: their mean is compared."""
    found = [_see(image) for image in images]
    head, look = together([(s.header, s.look) for s in found])
    digest = hashlib.sha256(b"".join(s.digest for s in found)).digest()
    return _Seen(head, look, digest, np.mean([s.thumbnail for s in found], axis=0).astype(np.uint8))


def _see(image: Image.Image) -> _Seen:
    head, wide = header(image), is_wide(image)
    array = pixels(image)
    if wide:
        flat = array
        array = np.uint8((array - array.min()) * (255 / max(np.ptp(array), 1e-30)))
    elif array.ndim == 3 and array.shape[2] == 4:
        flat = premultiply(array)
        # Over grey, on which a black drawing shows as well as a white one.
        array = flat[..., :3] + (255 - flat[..., 3:]) // 2
    else:
        flat = array
    digest = hashlib.sha256(f"{flat.shape} {flat.dtype}".encode() + flat.tobytes()).digest()
    small = Image.fromarray(array).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return _Seen(head, look(flat), digest, np.asarray(small))


def _near(indices: Sequence[int], thumbnails: np.ndarray) -> list[list[int]]:
    """Groups of near duplicates among images whose thumbnails are uint8 `[N, 16, 16, 3]`.

    Two are near when the root mean square of their difference is a small part of what each varies
    within itself: flat images, and small drawings on one background, are not alike for their flatness.
    """
    colour = thumbnails.reshape(len(thumbnails), SIDE * SIDE * 3).astype(np.float32)
    grey = thumbnails.mean(-1, dtype=np.float32).reshape(len(thumbnails), SIDE * SIDE) - 128
    contrast, power = colour.std(1), (grey**2).mean(1)
    taken = np.zeros(len(indices), bool)
    groups = []
    for start in range(0, len(grey), BLOCK):
        block = slice(start, start + BLOCK)
        apart = power[block, None] + power[start:] - grey[block] @ grey[start:].T * (2 / SIDE**2)
        close = apart < (NEAR * np.minimum(contrast[block, None], contrast[start:])) ** 2
        for a in np.flatnonzero(np.triu(close, 1).any(1)).tolist():
            # Near to the group's first image, not to any in it: chains would join everything.
            others = np.flatnonzero(close[a, a + 1 :]) + a + 1 + start
            first, others = a + start, others[~taken[others]]
            away = np.sqrt(((colour[others] - colour[first]) ** 2).mean(1))
            others = others[away < NEAR * np.minimum(contrast[others], contrast[first])]
            if len(others) and not taken[first]:
                taken[others] = True
                groups.append([indices[first], *(indices[b] for b in others.tolist())])
    return groups


def _notes(
    source: Source, facts: Scan, exact: list[list[int]], near: list[list[int]], imbalance: float
) -> Iterable[str]:
    readable = facts.num - len(facts.unreadable)
    if facts.unreadable:
        name, why = facts.unreadable[0]
        yield f"{len(facts.unreadable):,} files cannot be read, such as {name} ({why}): they are left out."
    if readable < SMALL_SET:
        yield f"{readable:,} images are few: a generator may learn them by heart; add more, or use --data.flip."
    if imbalance > 3:
        counts = [(n, name) for name, n in facts.classes.items()]
        small, large = min(counts)[1], max(counts)[1]
        yield (f"Class {large} has {imbalance:.1f} times as many images as {small}: small classes come out worse; "
               "add images to them or train on the large ones.")  # fmt: skip
    if blank := left_out(source, facts):
        more = f" and {len(blank) - NAMED:,} more" if len(blank) > NAMED else ""
        yield f"Folders without a readable image: {', '.join(blank[:NAMED])}{more}; they are no classes."
    if source.loose:
        yield (f"{source.loose:,} images lie beside folders that could be classes, so there are no labels: "
               "move them into the folder of their class, or away.")  # fmt: skip
    if exact:
        yield f"{sum(len(g) - 1 for g in exact):,} images are exact copies of others, and count double: remove them."
    if near:
        yield (f"{sum(len(g) - 1 for g in near):,} images are nearly copies of others: keep one of each, "
               "or keep them on one side of a split with --data.group-by.")  # fmt: skip
    if facts.wide:
        yield ("Some images have more than 8 bits: all are mapped by one range of the whole set; "
               "narrow it with --data.range 1 99 where a few extreme values leave the rest dark.")  # fmt: skip
    if facts.channels == 4:
        yield "Some images are transparent: 4 channels; lay them over one colour with --data.alpha white or black."
    if facts.pixel_art:
        yield "The images look like pixel art (few colours, hard edges): --data.filter nearest keeps them so."
    smallest, largest = (facts.width[0], facts.height[0]), (facts.width[2], facts.height[2])
    if smallest != largest:
        yield (f"Sizes differ, from {smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]}: "
               "the centre is cropped; --data.fit pad keeps all of each image.")  # fmt: skip
    elif smallest[0] != smallest[1]:
        yield f"Images are {smallest[0]}x{smallest[1]}: the centre is cropped; --data.fit pad keeps all of each."
    elif smallest[0] < 64 and smallest[0] & (smallest[0] - 1):
        yield f"Images are {smallest[0]}x{smallest[1]}: --data.fit pad keeps smaller images at their size."
    if facts.ignored:
        yield f"Files of other kinds, ignored: {facts.ignored:,}."
