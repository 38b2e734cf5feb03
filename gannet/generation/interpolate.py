"""Walks from image to image: through z, through w, and through classes."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from gannet.files import write_with
from gannet.generation.clips import Moving, animation, pictures
from gannet.generation.latents import Latents
from gannet.images import grid, png, to_pil

Way = Literal["slerp", "lerp"]
BATCH = 64
SHOWN = 9  # frames of the strip
MOVING = tuple(f".{format}" for format in get_args(Moving))
FRAME, FIRST = re.compile(r"\d{6}\.png", re.ASCII), "000000.png"
STRAIGHT = 1e-6  # sine of the angle from which on an arc is none


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The points between a and b `[...]` at each t `[T]` in [0, 1], on the line: float32 `[T, ...]`."""
    share = t.reshape(-1, *[1] * a.ndim)
    return ((1 - share) * a + share * b).astype(np.float32)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The points between a and b `[dim]` at each t `[T]` in [0, 1], on an arc: float32 `[T, dim]`.

    sin((1 - t) theta) / sin(theta) a + sin(t theta) / sin(theta) b, with the angle theta between a and b (Shoemake
    1985, "Animating rotation with quaternion curves"; for z: White 2016, "Sampling generative networks"). What is
    between keeps about the length that z has, and on the line does not. Where a and b point the same way, or opposite
    ways, it is the line.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(float).tiny)
    theta = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(theta) < STRAIGHT:
        return lerp(a, b, t)
    of_a, of_b = np.sin((1 - t) * theta) / np.sin(theta), np.sin(t * theta) / np.sin(theta)
    return (of_a[:, None] * a + of_b[:, None] * b).astype(np.float32)


def path(points: np.ndarray, steps: int, between: Callable[..., np.ndarray], loop: bool) -> np.ndarray:
    """From each of the points `[K, ...]` to the next in `steps` steps, with `loop` from the last to the first too.

    `[(K - 1) * steps + 1, ...]`, which ends at the last point; with `loop` `[K * steps, ...]`, a step before the first.
    """
    t = np.arange(steps) / steps
    stops = [*points, points[0]] if loop else points
    legs = [between(a, b, t) for a, b in pairwise(stops)]
    return np.concatenate(legs if loop else [*legs, points[-1:]])


def num_frames(num_points: int, steps: int, loop: bool) -> int:
    """How many points `path` gives."""
    return num_points * steps if loop else (num_points - 1) * steps + 1


def walk(latents: Latents, steps: int, way: Way | None, loop: bool) -> Iterator[np.ndarray]:
    """The images on the way through all of the latents, in batches: uint8 `[N, C, R, R]`.

    `lerp` goes straight, through w where G shows one and else through z, and is what G with a w has unless it is asked
    otherwise; `slerp` goes through z in arcs. On the way z is truncated as elsewhere. Where the classes change, c goes
    from one to the other in a straight line: G gets shares of both, in the place of its one-hot; in w they are within.
    """
    G, num = latents.G, latents.num or 1
    z, c = latents.z(0, num), latents.c(0, num)
    if way != "slerp" and G.shows_w:
        w = G.w(G.as_input(z), G.as_input(c)).cpu().numpy()
        make, stations = G.images_of, [path(w, steps, lerp, loop)]
    else:
        make = G.images
        stations = [G.within(path(z, steps, lerp if way == "lerp" else slerp, loop)), path(c, steps, lerp, loop)]
    for start in range(0, len(stations[0]), BATCH):
        yield G.to_uint8(make(*(G.as_input(each[start : start + BATCH]) for each in stations)))


def strip_of(out: Path) -> Path:
    """Where the strip of a walk is: beside its file or folder, as a PNG of that name."""
    return out.with_suffix(".png") if out.suffix.lower() in MOVING else out.with_name(f"{out.name}.png")


def write_walk(
    batches: Iterable[np.ndarray], total: int, out: Path, format: Moving | None, fps: float, scale: int
) -> list[Path]:
    """The `total` frames, in batches uint8 `[N, C, R, R]`, as an animation, or without a `format` as PNGs in a folder.

    Those are written as they come, and the later frames of a longer walk before, which has left its strip, are removed.
    Beside `out` a strip of nine. Each pixel becomes `scale` by `scale`.
    """
    walked_before = strip_of(out).exists()  # else such names are of other pictures
    chosen = set(np.linspace(0, total - 1, min(SHOWN, total)).round().astype(int).tolist())
    shown, large, files = [], [], []
    for i, image in enumerate(image for batch in batches for image in batch):
        if i in chosen:
            shown.append(image)
        large.append(image.repeat(scale, axis=1).repeat(scale, axis=2))
        if not format:
            files.append(out / f"{i:06d}.png")
            write_bytes(files[-1], png(to_pil(large.pop())))
    if format:
        files.append(out)
        write_bytes(out, animation(pictures(np.stack(large), format), format, fps))
    elif walked_before:
        for path in out.glob("*.png"):
            if FRAME.fullmatch(path.name) and int(path.stem) >= total:
                path.unlink()
    write_bytes(strip_of(out), png(grid(np.stack(shown), len(shown))))
    return [*files, strip_of(out)]


def write_bytes(path: Path, data: bytes) -> None:
    write_with(path, lambda file: file.write(data))
