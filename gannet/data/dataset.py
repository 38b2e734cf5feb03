"""A set of images, decoded and ready to train on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gannet.config import Data
from gannet.data.cache import OFF, decode_in_memory, entry_key, images_folder, read_entry, write_entry
from gannet.data.clips import Clips, open_videos
from gannet.data.cut import Tiles
from gannet.data.held_out import groups
from gannet.data.names import Names
from gannet.data.pairs import Halves, Matched
from gannet.data.pool import Progress
from gannet.data.sources import Source, open_source, shown
from gannet.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """Images of one size with their labels; those held out are apart.

    Of a pair the image that G is given comes first along the channels, and then its target; of a clip one
    frame after another: `[N, num_frames * C, R, R]`.
    """

    images: np.ndarray
    """uint8 `[N, C, R, R]`, premultiplied where C is 4: the images to train on. Memory-mapped, unless
    `cache` is None."""
    labels: np.ndarray
    """int64 `[N]`; zeros without classes."""
    classes: tuple[str, ...]
    """Names of the classes; empty when labels are not asked for."""
    names: Sequence[str]
    """File name of each of `images`."""
    held_out: np.ndarray
    """uint8 `[M, C, R, R]`: the images set aside; M may be 0."""
    fingerprint: str
    """SHA-256 of the decoded pixels, the labels and the split."""
    unreadable: list[tuple[str, str]]
    """Name and reason of each file that was left out."""
    cache: Path | None
    """Folder of the decoded images; None where they are in memory only."""
    other: "Dataset | None" = None
    """The set that G is given images of, where it is unpaired with this one; its fingerprint is in this one's."""
    held_out_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64 `[M]`; -1 for a class of which no image is left to train on."""
    held_out_names: Sequence[str] = ()
    """File name of each of `held_out`."""
    pixels: str = ""
    """SHA-256 of the decoded pixels and the split, which is the same with labels and without."""


def opened(settings: Data, cache: Path) -> Source:
    """The items that the settings name: images, pairs, clips, or two unpaired sets, one as `other` of the other.

    Downloads go to `cache`. Raises `UserError` where something is not there, and for a second folder that is
    missing or one too many.
    """
    if settings.other and settings.kind in ("images", "clips"):
        raise UserError(
            f"data.other is {shown(settings.other)}, and {settings.kind} are taken from one folder: leave it out, or "
            "take --recipe pix2pix-small (pairs) or cyclegan-small"
        )
    if settings.kind == "clips":
        return Clips(open_videos(settings.source, cache), settings.frames, settings.stride)
    first = open_source(settings.source, cache)
    if settings.kind == "pairs" and not settings.other:
        return Halves(first, settings.swap)
    if settings.kind == "pairs":
        return Matched(first, open_source(settings.other, cache), settings.swap, alike=settings.fit != "stretch")
    first = _cut(first, settings)
    if settings.kind == "images":
        return first
    if not settings.other:
        raise UserError(
            f"there is one folder, {shown(settings.source)}, and two unpaired ones are needed: name both, as in gannet "
            "train A B --recipe cyclegan"
        )
    given, seen = first, _cut(open_source(settings.other, cache), settings)
    if settings.swap:
        given, seen = seen, given
    seen.other = given
    return seen


def how_opened(settings: Data) -> tuple[object, ...]:
    """All that `opened` looks at."""
    side = settings.resolution if settings.fit == "tiles" else 0
    alike = settings.fit != "stretch"
    return settings.source, settings.kind, settings.other, settings.swap, settings.frames, settings.stride, side, alike


def _cut(source: Source, settings: Data) -> Source:
    return Tiles(source, settings.resolution) if settings.fit == "tiles" else source


def prepare(source: Source, settings: Data, channels: int, progress: Progress | None = None) -> Dataset:
    """The images of `source` decoded to `channels` (1, 3 or 4), from the cache where they are known.

    With `settings.cache` "off" they are in memory, and nothing is written.

    Raises `UserError` when more than `settings.max_unreadable` of the files cannot be read, when
    labels are asked for and there are no class folders, and for a split that cannot be made.
    """
    if settings.labels and not source.classes:
        raise UserError(
            f"data.labels is on, but {source.name} has no classes: put each class's images into a folder of its own"
        )
    units = None
    if settings.held_out:
        units = groups(source.origins or source.names, settings.group_by) or (source.origins and list(source.origins))
    if settings.cache == OFF:
        folder = None
        images, index = decode_in_memory(source, settings, channels, units, progress)
    else:
        folder = images_folder(settings.cache) / entry_key(source, settings, channels, units)
        images, index = read_entry(folder) or write_entry(folder, source, settings, channels, units, progress)
    unreadable = [(name, why) for name, why in index["unreadable"]]
    check_unreadable(unreadable, len(source), settings)
    num = index["num_train"]
    found = np.array(index["labels"], np.int64) * settings.labels
    # A class without a readable image to train on is none, and the labels have no gap where it was.
    used = np.unique(found[:num])
    labels = np.searchsorted(used, found[:num])
    classes = tuple(source.classes[k] for k in used) if settings.labels else ()
    if settings.labels and len(classes) < 2:
        raise UserError(f"{source.name} has images of one class only, {classes[0]}: add --data.no-labels")
    pixels = [index["content"], num]
    facts = [*pixels, found.tolist(), classes]
    whole = Dataset(
        images=images[:num],
        labels=labels,
        classes=classes,
        names=Names(index["names"][:num]),
        held_out=images[num:],
        fingerprint=hashed(json.dumps(facts)),
        unreadable=unreadable,
        cache=folder,
        held_out_labels=np.where(np.isin(found[num:], used), np.searchsorted(used, found[num:]), -1),
        held_out_names=Names(index["names"][num:]),
        pixels=hashed(json.dumps(pixels)),
    )
    if source.other is None:
        return whole
    other = prepare(source.other, replace(settings, labels=False), channels, progress)
    both = {
        "fingerprint": hashed(f"{whole.fingerprint} {other.fingerprint}"),
        "pixels": hashed(f"{whole.pixels} {other.pixels}"),
    }
    return replace(whole, other=other, **both, unreadable=whole.unreadable + other.unreadable)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_unreadable(unreadable: list[tuple[str, str]], num: int, settings: Data) -> None:
    if len(unreadable) <= settings.max_unreadable * num:
        return
    first = ", ".join(f"{name} ({why})" for name, why in unreadable[:3])
    more = ", ..." if len(unreadable) > 3 else ""
    shorter = "ask for shorter clips (--data.frames, --data.stride), " if settings.kind == "clips" else ""
    raise UserError(
        f"{len(unreadable):,} of {num:,} {settings.items} cannot be read: {first}{more}; mend or remove them, {shorter}"
        "or leave out as many as there are with --data.max-unreadable 1"
    )
