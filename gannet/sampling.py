"""Images from a trained generator: a run's, computed by torch, or an ONNX file, where torch is not even imported."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gannet.display import counted
from gannet.errors import UserError
from gannet.files import check_space
from gannet.generation.clips import Format, chosen_format, write_clips, write_moving_grid
from gannet.generation.onnx import SUFFIX, OnnxGenerator, load_onnx
from gannet.generation.sample import Drawn, draw, write_files, write_grid
from gannet.generation.sampler import Sampler, no_sampler

if TYPE_CHECKING:
    from gannet.generation.load import Generator, Side
    from gannet.generation.translate import ImageToImage


def load(
    run: str | os.PathLike[str], device: str = "cpu", *, to: "Side" = "b"
) -> "Generator | OnnxGenerator | ImageToImage":
    """The G of a run, a generator's folder, or a file that `gannet export` wrote.

    It makes images of noise, or of images; an ONNX file is computed without torch. Of CycleGAN's two it is
    that which makes images of b, or with `to` a the other one. Raises `UserError` where there is none.
    """
    if Path(run).suffix.lower() == SUFFIX:
        return load_onnx(run, device)
    from gannet.generation.load import load_any
    from gannet.training.engine import find_device

    return load_any(run, find_device(device), to)


def sample(
    run: str | os.PathLike[str],
    *,
    num: int = 64,
    per_class: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] = "samples",
    grid: bool = False,
    beside_real: bool = False,
    label: int | str | None = None,
    min_realness: float | None = None,
    truncation: float | None = None,
    given: str | os.PathLike[str] | None = None,
    format: Format | None = None,
    fps: float | None = None,
    device: str = "cpu",
) -> Drawn:
    """Writes images from a generator: PNGs into the folder `out`, or one picture with `grid`.

    `run` is what `load` takes. `num` images, or `num` of each class with `per_class`; with a `truncation` they
    are more alike, and mostly better. Clips are animations (of `fps` frames a second, in the `format` webp, gif
    or mp4), each with a strip of its frames beside it; `given` is a folder of videos, with whose first frames
    they begin where G goes on from some. Raises `UserError` for what the caller can mend.
    """
    if beside_real and not grid:
        raise UserError("--beside-real is for one picture: add --grid")
    if seed < 0:
        raise UserError(f"--seed is {seed}, and must be at least 0")
    if min_realness is not None and not 0 <= min_realness <= 1:
        raise UserError(f"--min-realness is {min_realness}, and must be from 0 to 1")
    if num < 1:
        raise UserError(f"--num is {num}, and must be at least 1")
    out = Path(out)
    if not grid and out.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4"):
        raise UserError(f"{out} names one file: add --grid, or name a folder with --out")
    if not grid and out.is_file():
        raise UserError(f"{out} is a file: name a folder, or add --grid for one picture")
    G = load(run, device)
    if not isinstance(G, Sampler):
        raise no_sampler(run)
    format, fps = chosen_format(G, format, fps, out)
    if grid and out.suffix.lower() != ".png":
        is_clip = G.frames > 1 and out.suffix.lower() == f".{format}"
        out = out.with_suffix(".png") if is_clip else out.with_name(f"{out.name}.png")
    if given is not None:
        G = going_on(G, os.fspath(given))
    if truncation is not None:
        G = G.truncated(truncation)
    total = num * len(G.classes) if per_class else num
    num_bytes = G.frames * G.channels * G.resolution**2  # of a PNG of noise
    check_space(out.absolute(), total * num_bytes, f"{total:,} images", "make fewer, or name another place with --out")
    with counted("sampling") as progress:
        chosen, num_drawn = draw(G, num, seed, label, per_class, min_realness, progress, equally=bool(grid))
    if grid:
        files = write_grid(G, chosen, out, beside_real)
        files += write_moving_grid(G, chosen, out, format, fps) if G.frames > 1 else []
    elif G.frames > 1:
        files = write_clips(G, chosen, seed, out, format, fps)
    else:
        files = write_files(G, chosen, seed, out)
    return Drawn(files, len(chosen), num_drawn, "clips" if G.frames > 1 else "images")


def going_on(G: Any, videos: str) -> Sampler:
    """G with as many frames as it is given, of each stretch so long of the videos: `[M, given * C, R, R]` in [-1, 1].

    They are made alike as those that G was trained on, with the same stride. Raises `UserError` where G is given
    none, or there is no video.
    """
    channels = getattr(getattr(G, "network", None), "given_channels", 0)
    if not channels:
        raise UserError("this generator is given no frames to go on from: leave --given out")
    import torch

    from gannet.data.cache import OFF, cache_folder
    from gannet.data.dataset import opened, prepare
    from gannet.generation.load import data_of
    from gannet.images import to_float
    from gannet.networks.folder import read_network

    config, _ = read_network(G.folder)
    as_trained, frames = data_of(config, G.folder), channels // G.channels
    how = replace(as_trained, source=videos, kind="clips", frames=frames, cache=OFF)
    return replace(G, given=to_float(torch.from_numpy(prepare(opened(how, cache_folder()), how, G.channels).images)))
