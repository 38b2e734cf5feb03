"""Files of clips from a trained generator: each as an animation and as a strip of frames, or all in one."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.files import write_with
from gannet.generation.sample import Sample
from gannet.generation.sampler import Sampler
from gannet.images import class_columns, grid, over_checkerboard, png, to_pil

Format = Literal["png", "webp", "gif", "mp4", "npy"]
Moving = Literal["webp", "gif", "mp4"]
OF_IMAGES: tuple[Format, ...] = ("png", "webp", "npy")
OF_CLIPS: tuple[Format, ...] = ("webp", "gif", "mp4", "npy")
FPS = 12.0


def chosen_format(G: Sampler, asked: Format | None, fps: float | None, out: Path) -> tuple[Format, float]:
    """The format that was asked for, or that the name `out` has, else PNG, of clips WebP; and frames a second.

    Raises `UserError` for formats that G does not make, rates out of range, and where PyAV is missing.
    """
    formats = OF_IMAGES if G.frames == 1 else OF_CLIPS
    if asked and asked not in formats:
        what = "images, not clips" if G.frames == 1 else "clips"
        raise UserError(f"this generator makes {what}: --format is {', '.join(formats[:-1])} or {formats[-1]}")
    if G.frames == 1 and fps:
        raise UserError("this generator makes images, not clips: leave --fps out")
    named: list[Format] = [each for each in formats if out.suffix.lower() == f".{each}"]
    format: Format = asked or (named[0] if named else formats[0])
    return format, checked_fps(format, fps or FPS)


def checked_fps(format: str, fps: float) -> float:
    """Frames a second. Raises `UserError` where they are out of range, and where PyAV is missing that MP4 needs."""
    if not 1 <= fps <= 100:
        raise UserError(f"--fps is {fps:g}, and must be from 1 to 100")
    if format == "mp4":
        av()
    return fps


def write_clips(G: Sampler, chosen: Iterable[Sample], out: Path, format: Moving, fps: float) -> list[Path]:
    """For each sample an animation and, as a PNG, its frames in a row, by its name, as they come."""
    files = []
    for sample in chosen:
        images = sample.image.reshape(G.frames, G.channels, *sample.image.shape[1:])
        made = {f"{sample.name}.{format}": animation(pictures(images, format), format, fps)}
        made[f"{sample.name}.png"] = png(grid(images, G.frames))
        for file, data in made.items():
            files.append(out / file)
            write_with(files[-1], lambda file, data=data: file.write(data))
    return files


def write_moving_grid(G: Sampler, chosen: Sequence[Sample], out: Path, format: Moving, fps: float) -> list[Path]:
    """All samples in one animation beside `out`; a column for each class where that comes out even."""
    images = np.stack([sample.image for sample in chosen])
    each = images.reshape(len(images), G.frames, G.channels, *images.shape[2:])
    columns = class_columns(len(images), len(G.classes))
    data = animation([grid(each[:, frame], columns) for frame in range(G.frames)], format, fps)
    path = out.with_suffix(f".{format}")
    write_with(path, lambda file: file.write(data))
    return [path]


def pictures(images: np.ndarray, format: Moving) -> list[Image.Image]:
    """Frames uint8 `[frames, C, H, W]`; with alpha WebP keeps it, and the others lay it over a checkerboard."""
    if images.shape[1] == 4 and format != "webp":
        images = over_checkerboard(images)
    return [to_pil(image) for image in images]


def animation(frames: Sequence[Image.Image], format: Moving, fps: float) -> bytes:
    """The frames as the bytes of a file: WebP without loss, GIF with 256 colours a frame, MP4 (H.264) with some."""
    buffer = io.BytesIO()
    if format == "mp4":
        write_mp4(buffer, frames, fps)
        return buffer.getvalue()
    unit = 10 if format == "gif" else 1  # milliseconds that the format counts in
    ends = [unit * round(1000 * i / fps / unit) for i in range(len(frames) + 1)]
    durations = [max(unit, end - start) for start, end in pairwise(ends)]
    options: dict[str, Any] = {"lossless": True} if format == "webp" else {"disposal": 2}
    frames[0].save(buffer, format, save_all=True, append_images=list(frames[1:]), duration=durations, loop=0, **options)
    return buffer.getvalue()


def write_mp4(buffer: io.BytesIO, frames: Sequence[Image.Image], fps: float) -> None:
    """H.264 with 4:2:0 chroma, which every player takes; a last row or column is repeated where a side is odd."""
    images = np.stack([np.asarray(frame.convert("RGB")) for frame in frames])
    images = np.pad(images, ((0, 0), (0, images.shape[1] % 2), (0, images.shape[2] % 2), (0, 0)), "edge")
    with av().open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "12"})
        stream.pix_fmt, stream.height, stream.width = "yuv420p", *images.shape[1:3]
        for image in images:
            container.mux(stream.encode(av().VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def av() -> Any:
    """PyAV. Raises `UserError` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError("MP4 needs the package av: pip install 'gannet-gan[video]', or take webp or gif") from error
    return av
