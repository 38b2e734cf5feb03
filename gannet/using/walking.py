"""Between the images of a trained generator: walks from one to the next, and mixtures of two."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from gannet.display import counted
from gannet.errors import UserError
from gannet.files import check_space, write_with
from gannet.generation.clips import Moving, checked_fps
from gannet.generation.interpolate import FIRST, Way, num_frames, strip_of, walk, write_walk
from gannet.generation.latents import Named, Names, names_of
from gannet.generation.mix import Band, mixed, picture
from gannet.generation.sampler import Labels, Sampler, no_sampler
from gannet.images import png
from gannet.using.sampling import LARGEST, check_within, load

MOST_FRAMES = 10_000
SIDE = 256  # pixels that animations have at least, about
FPS = 24.0
MOST_IMAGES = 10_000  # of a mixture


@dataclass(frozen=True)
class Walked:
    """What was written."""

    files: list[Path]
    num: int
    """Frames."""
    way: str
    """How it went, in words."""


@dataclass(frozen=True)
class Mixed:
    """What was written."""

    file: Path
    bands: list[Band]


def interpolate(
    run: str | os.PathLike[str],
    *,
    seeds: Names = "0,1,2",
    steps: int = 24,
    way: Way | None = None,
    labels: Labels = None,
    loop: bool = False,
    truncation: float | None = None,
    out: str | os.PathLike[str] = "walk.webp",
    fps: float = FPS,
    scale: int | None = None,
    device: str = "cpu",
) -> Walked:
    """Writes a walk from image to image: an animation (.webp, .gif or .mp4), or its frames in a folder.

    `seeds` names the images, as in `sample`, and `labels` their classes: one for all, or one for each; with one image
    and several classes it stands still and its class changes. `steps` frames lead from each to the next, with `loop`
    from the last to the first too; how, says `walk`. A strip of frames is beside it. Raises `UserError` for what the
    caller can mend.
    """
    out = Path(out)
    format = format_of(out)
    check_within("steps", steps, 1, MOST_FRAMES)
    if scale is not None:
        check_within("scale", scale, 1, LARGEST)
    checked_fps(format or "", fps)
    names, each = names_of(seeds, "--seeds"), listed(labels)
    if len(names) == 1:
        names *= max(len(each or ()), 1)
    if len(names) < 2:
        raise UserError("a walk needs two images or more: name them with --seeds, or several classes with --labels")
    total = num_frames(len(names), steps, loop)
    if total > MOST_FRAMES:
        raise UserError(f"that walk has {total:,} frames, and {MOST_FRAMES:,} are the most: lower --steps")
    G = images_from(run, device)
    scale = scale or (max(1, round(SIDE / G.resolution)) if format else 1)
    num_bytes = total * G.channels * (G.resolution * scale) ** 2
    check_space(out.absolute(), num_bytes, f"{total:,} frames", "lower --steps, or name another place with --out")
    G = G.truncated(truncation) if truncation is not None else G
    latents = Named(G, names, numbers(G, each, len(names)))
    with counted("walking") as progress:
        batches = counting(walk(latents, steps, way, loop), total, progress)
        files = write_walk(batches, total, out, format, fps, scale)
    return Walked(files, total, in_words(G, way))


def counting(batches: Iterable[np.ndarray], total: int, progress: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    """The batches, with progress as they are made."""
    done = 0
    for images in batches:
        done += len(images)
        progress(done, total)
        yield images


def format_of(out: Path) -> Moving | None:
    """The format that a name ends in; None of a folder. Raises `UserError` for other files, and over a picture."""
    named: list[Moving] = [each for each in get_args(Moving) if out.suffix.lower() == f".{each}"]
    if not out.name or (out.is_file() and not named) or (out.suffix and not named and not out.is_dir()):
        raise UserError(f"--out is {out}: name a file that ends in .webp, .gif or .mp4, or a folder for the frames")
    of_the_name = (out.with_suffix(f".{each}") for each in get_args(Moving))
    is_walk = (out / FIRST).exists() if out.is_dir() else any(path.exists() for path in of_the_name)
    if strip_of(out).exists() and not is_walk:
        raise UserError(
            f"{strip_of(out)} is there, and is where the walk's strip belongs: name another place with --out"
        )
    return named[0] if named else None


def images_from(run: str | os.PathLike[str], device: str) -> Sampler:
    """A G that makes images of noise. Raises `UserError` for others, those of clips among them."""
    G = load(run, device)
    if not isinstance(G, Sampler):
        raise no_sampler(run)
    if G.frames > 1:
        raise UserError(f"{run} makes clips, which move by themselves: gannet sample writes them")
    return G


def listed(labels: Labels) -> list[int | str] | None:
    """Labels one by one, from a text with commas too."""
    if labels is None:
        return None
    if isinstance(labels, str):
        return [label.strip() for label in labels.split(",")]
    return [labels] if isinstance(labels, int) else [*labels]


def numbers(G: Sampler, labels: list[int | str] | None, num: int) -> list[int] | None:
    """The class of each of so many images; None where none is asked for. Raises `UserError` for other numbers."""
    if labels is None:
        return None
    found = [G.label_number(label) for label in labels]
    if len(found) not in (1, num):
        raise UserError(f"--labels names {len(found)} classes for {num} images: name one for all, or one for each")
    return found if len(found) == num else found * num


def in_words(G: Sampler, way: Way | None) -> str:
    if way != "slerp" and G.shows_w:
        return "straight through w"
    return "straight through z" if way == "lerp" else "in arcs through z"


def mix(
    run: str | os.PathLike[str],
    *,
    rows: Names = "0,1,2",
    columns: Names = "3,4,5,6",
    from_layer: int | None = None,
    label: int | str | None = None,
    truncation: float | None = None,
    out: str | os.PathLike[str] = "mix.png",
    device: str = "cpu",
) -> Mixed:
    """Writes a picture of style mixing: images `rows` with some layers' w of the images `columns` (`mixed`).

    Those layers are, band by band, the coarse, the middle and the fine, or with `from_layer` those from it on. Images
    are named as in `sample`. Raises `UserError` for what the caller can mend.
    """
    out = Path(out)
    if out.suffix.lower() != ".png":
        raise UserError(f"--out is {out}, and must name a file that ends in .png")
    above, left = names_of(columns, "--columns"), names_of(rows, "--rows")
    if len(above) * len(left) > MOST_IMAGES:
        raise UserError(f"--rows times --columns are more than {MOST_IMAGES:,} images: name fewer")
    G = images_from(run, device)
    G = G.truncated(truncation) if truncation is not None else G
    number = None if label is None else G.label_number(label)
    sides = [Named(G, names, None if number is None else [number] * len(names)) for names in (left, above)]
    found, pictures = mixed(sides[0], sides[1], from_layer)
    data = png(picture(found, pictures))
    write_with(out, lambda file: file.write(data))
    return Mixed(out, found)
