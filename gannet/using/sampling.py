"""Images from a trained generator: a run's, computed by torch, or an ONNX file, where torch is not even imported."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gannet.display import counted
from gannet.errors import UserError
from gannet.files import check_space, write_with
from gannet.generation.clips import OF_CLIPS, OF_IMAGES, Format, chosen_format, write_clips, write_moving_grid
from gannet.generation.filter import AtLeast, Rejection
from gannet.generation.latents import (
    Around,
    Latents,
    Named,
    Names,
    OfFile,
    OfSeed,
    latents_file,
    names_of,
    read_latents,
)
from gannet.generation.onnx import SUFFIX, OnnxGenerator, load_onnx
from gannet.generation.sample import Drawing, Drawn, check_grid, write_array, write_files, write_grid
from gannet.generation.sampler import Sampler, check_num, no_sampler
from gannet.generation.sheet import check_sheet, write_sheet
from gannet.hub import downloaded, is_address
from gannet.noise import Stream

if TYPE_CHECKING:
    from gannet.generation.load import Generator, Side
    from gannet.generation.translate import ImageToImage

NUM = 64
LARGEST = 64  # --scale


def load(
    run: str | os.PathLike[str], device: str = "cpu", *, to: "Side" = "b", threads: int = 0
) -> "Generator | OnnxGenerator | ImageToImage":
    """The G of a run, a generator's folder, a file that `gannet export` wrote, or `hf://OWNER/NAME[@REVISION]`.

    It makes images of noise, or of images; an ONNX file is computed without torch. Of CycleGAN's two it is
    that which makes images of b, or with `to` a the other one. `threads` of 0 are as many as there are cores; torch
    then has so many for everything. Raises `UserError` where there is none.
    """
    if threads < 0:
        raise UserError(f"--threads is {threads}, and must be at least 0")
    place = here(run)
    if place.suffix.lower() == SUFFIX:
        return load_onnx(place, device, threads)
    from gannet.generation.load import load_any
    from gannet.training.engine import find_device

    if threads:
        import torch

        torch.set_num_threads(threads)
    return load_any(place, find_device(device), to)


def here(run: str | os.PathLike[str]) -> Path:
    """Where a run, a generator or a file lies; what `hf://` names is loaded into the cache folder."""
    if not is_address(run):
        return Path(run)
    from gannet.data.cache import cache_folder

    return downloaded(os.fspath(run), cache_folder())


def sample(
    run: str | os.PathLike[str],
    *,
    num: int | None = None,
    per_class: bool = False,
    seed: int = 0,
    seeds: Names | None = None,
    like: int | str | None = None,
    latents: str | os.PathLike[str] | None = None,
    save_latents: bool = False,
    out: str | os.PathLike[str] = "samples",
    grid: bool = False,
    beside_real: bool = False,
    sheet: bool = False,
    label: int | str | None = None,
    min_realness: float | None = None,
    rejection: bool = False,
    truncation: float | None = None,
    given: str | os.PathLike[str] | None = None,
    format: Format | None = None,
    fps: float | None = None,
    scale: int = 1,
    device: str = "cpu",
) -> Drawn:
    """Writes images from a generator: pictures into the folder `out`, or one file with `grid`, `sheet`, `format` npy.

    `run` is what `load` takes. `num` images of a seed (64), or `num` of each class with `per_class`. In their place
    `seeds` names images (3, or "3:17": number 17 of seed 3), `like` one whose variations are drawn (`Around`), and
    `latents` is a file of z or w, as `save_latents` writes it beside the pictures. With a `truncation` they are more
    alike, and mostly better; `min_realness` and `rejection` keep some of them (`AtLeast`, `Rejection`). `sheet` is one
    PNG without gaps, and JSON that says where each is. Each pixel becomes `scale` by `scale`.

    Clips are animations (of `fps` frames a second, in the `format` webp, gif or mp4), each with a strip of its frames
    beside it; `given` is a folder of videos, with whose first frames they begin where G goes on from some. Raises
    `UserError` for what the caller can mend.
    """
    out = Path(out)
    is_array = (format or out.suffix.lower().removeprefix(".")) == "npy"
    check_place(out, {"--grid": grid, "--sheet": sheet, "an array (.npy)": is_array}, beside_real)
    named = {"--seeds": seeds, "--like": like, "--latents": latents}
    check_num_asked(num, per_class, named, {"--min-realness": min_realness is not None, "--rejection": rejection})
    for option, value, least, most in (("seed", seed, 0, None), ("scale", scale, 1, LARGEST)):
        check_within(option, value, least, most)
    if min_realness is not None:
        check_within("min-realness", min_realness, 0, 1)
    G = load(run, device)
    if not isinstance(G, Sampler):
        raise no_sampler(run)
    asked = format
    format, fps = chosen_format(G, asked, fps, out)
    place = one_file(G, out, format, asked, grid) if grid or sheet or is_array else out
    if given is not None:
        chosen = (truncation, min_realness, rejection or None, *named.values())
        is_plain = all(value is None for value in chosen)  # else more are looked at than are made
        G = going_on(G, os.fspath(given), num or NUM if is_plain else None)
    G = G.truncated(truncation) if truncation is not None else G
    number = None if label is None else G.label_number(label)
    check_classes(G, per_class, number)
    source = source_of(G, named, seed, number, equally=grid or per_class)
    wanted = source.num or num or NUM
    total = wanted * len(G.classes) if per_class else wanted
    num_bytes = total * G.frames * G.channels * (G.resolution * scale) ** 2  # of a PNG of noise
    check_space(place.absolute(), num_bytes, f"{total:,} images", "make fewer, or name another place with --out")
    if grid:
        check_grid(G, total, scale, format, beside_real)
    if sheet:
        check_sheet(G, total, scale)
    with counted("sampling") as progress:
        filter = AtLeast(G, min_realness) if min_realness is not None else None
        burn_in = OfSeed(G, seed, number, grid or per_class, Stream.BURN_IN)
        drawing = Drawing(source, wanted, per_class, Rejection(burn_in) if rejection else filter, progress)
        files = written(G, drawing, place, format, fps, scale, grid, sheet, beside_real)
    if save_latents:
        rows = np.concatenate([source.row(number) for number in drawing.numbers])
        files.append(latents_file(place, grid or sheet or is_array))
        write_with(files[-1], lambda file: np.save(file, rows))
    what = "clips" if G.frames > 1 else "images"
    return Drawn(files, len(drawing.numbers), drawing.num_drawn, what, place)


def check_place(out: Path, one_file: Mapping[str, bool], beside_real: bool) -> None:
    """Raises `UserError` where what is asked for does not go together, or not to that place."""
    asked = [option for option, is_asked in one_file.items() if is_asked]
    if len(asked) > 1:
        raise UserError(f"{asked[0]} and {asked[1]} are each one file of all images: leave one out")
    if beside_real and "--grid" not in asked:
        raise UserError("--beside-real is for one picture: add --grid")
    if asked and not out.name:
        raise UserError(f"--out is {out}: name the file")
    if not asked and out.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".npy"):
        raise UserError(f"{out} names one file: add --grid or --sheet, or name a folder with --out")
    if not asked and out.is_file():
        raise UserError(f"{out} is a file: name a folder, or add --grid for one picture")


def check_num_asked(num: int | None, per_class: bool, named: Mapping[str, Any], filters: Mapping[str, bool]) -> None:
    """Raises `UserError` for numbers of images that cannot be, and where images are named and counted or rated too."""
    if num is not None:
        check_num(num, 1, "--per-class" if per_class else "--num")
    ways = [option for option, value in named.items() if value is not None]
    rated = [option for option, is_asked in filters.items() if is_asked]
    if len(ways) > 1 or len(rated) > 1:
        one, other = (ways if len(ways) > 1 else rated)[:2]
        raise UserError(f"{one} and {other} each say which images to make: leave one out")
    counted = {"--num": num is not None and not per_class, **filters}
    for option in [option for option, is_asked in counted.items() if is_asked and ways and ways != ["--like"]]:
        raise UserError(f"{ways[0]} says which images to make, and {option} how to choose some: leave one out")
    if ways and per_class:
        raise UserError(f"{ways[0]} and --per-class each say which images to make: leave one out")


def check_within(option: str, value: float, least: float, most: float | None) -> None:
    """Raises `UserError` for numbers out of range, NaN among them."""
    if not least <= value <= (float("inf") if most is None else most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"--{option} is {value}, and must be {bounds}")


def check_classes(G: Sampler, per_class: bool, number: int | None) -> None:
    """Raises `UserError` where classes are asked for that are not there, or in two ways."""
    if per_class and number is not None:
        raise UserError("--per-class takes every class and --label one: leave one of them out")
    if per_class and not G.classes:
        raise UserError("this generator was trained without labels: leave --per-class out")


def source_of(G: Sampler, named: Mapping[str, Any], seed: int, label: int | None, equally: bool) -> Latents:
    """The latents that the options name, or else those of the seed. Raises `UserError` as they do."""
    if named["--seeds"] is not None:
        names = list(dict.fromkeys(names_of(named["--seeds"], "--seeds")))
        return Named(G, names, None if label is None else [label] * len(names))
    if named["--like"] is not None:
        (like, *more) = names_of(named["--like"], "--like")
        if more:
            raise UserError(f"--like is {named['--like']}, and names one image, such as 3 or 3:17")
        return Around(G, like, seed, label)
    if named["--latents"] is not None:
        file = Path(named["--latents"])
        return OfFile(G, read_latents(file), file, label)
    return OfSeed(G, seed, label, equally)


def one_file(G: Sampler, out: Path, format: Format, asked: Format | None, grid: bool) -> Path:
    """`out` with the ending of what is written there. Raises `UserError` where it has that of something else."""
    ending = f".{format}" if format == "npy" or (grid and G.frames == 1) else ".png"
    others = [f".{each}" for each in (OF_IMAGES if G.frames == 1 else OF_CLIPS) if each != "npy"] if grid else []
    can = {ending, *(others if asked is None else [f".{asked}"] if grid else [])}
    if out.suffix.lower() not in can and out.suffix[1:2].isalpha():
        raise UserError(f"--out is {out}: name a file that ends in {' or '.join(sorted(can))}")
    if out.suffix.lower() == ending:
        return out
    is_clip = grid and G.frames > 1 and out.suffix.lower() == f".{format}"
    return out.with_suffix(".png") if is_clip else out.with_name(f"{out.name}{ending}")


def written(
    G: Sampler,
    drawing: Drawing,
    place: Path,
    format: Format,
    fps: float,
    scale: int,
    grid: bool,
    sheet: bool,
    beside_real: bool,
) -> list[Path]:
    """The files that were asked for: one of all samples, or for each its own. Only a grid has all in memory."""
    large = (sample.enlarged(scale) for sample in drawing)
    if format == "npy":
        return write_array(G, large, drawing.total, scale, place)
    if sheet:
        return write_sheet(G, large, drawing.total, scale, place)
    if not grid:
        is_picture = format == "png" or (format == "webp" and G.frames == 1)
        return write_files(large, place, format) if is_picture else write_clips(G, large, place, format, fps)
    chosen = list(large)
    if format == "png" or (format == "webp" and G.frames == 1):
        return write_grid(G, chosen, place, format, beside_real)
    return [*write_grid(G, chosen, place, "png", beside_real), *write_moving_grid(G, chosen, place, format, fps)]


def going_on(G: Any, videos: str, num: int | None = None) -> Sampler:
    """G with as many frames as it is given, of each stretch so long of the videos: `[M, given * C, R, R]` in [-1, 1].

    With `num` they are those that so many clips begin with, and no others are decoded. They are made alike as those
    that G was trained on, with the same stride. Raises `UserError` where G is given none, or there is no video.
    """
    channels = getattr(getattr(G, "network", None), "given_channels", 0)
    if not channels:
        raise UserError("this generator is given no frames to go on from: leave --given out")
    import torch

    from gannet.data.cache import OFF, cache_folder
    from gannet.data.dataset import opened, prepare
    from gannet.data.sources import Chosen
    from gannet.generation.load import data_of
    from gannet.images import to_float
    from gannet.networks.folder import read_network

    config, _ = read_network(G.folder)
    as_trained, frames = data_of(config, G.folder), channels // G.channels
    how = replace(as_trained, source=videos, kind="clips", frames=frames, cache=OFF)
    source = opened(how, cache_folder())
    if num is not None and num < len(source):
        few = prepare(Chosen(source, range(num)), replace(how, max_unreadable=1.0), G.channels)
        if not few.unreadable:
            return replace(G, given=to_float(torch.from_numpy(few.images)))
    return replace(G, given=to_float(torch.from_numpy(prepare(source, how, G.channels).images)))
