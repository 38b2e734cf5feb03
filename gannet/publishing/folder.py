"""The folder that is published: weights, an ONNX file, a picture of samples, and the card."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gannet.errors import UserError
from gannet.files import whole_folder, write_text, write_with
from gannet.generation.export import Opset, export
from gannet.generation.load import BACK, Generator, load_any
from gannet.generation.sampler import in_turn
from gannet.hub import MODEL
from gannet.images import class_columns, grid, png
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.networks.folder import generator_folder, load_network, save_network
from gannet.publishing.about import about
from gannet.publishing.card import Card
from gannet.using.sampling import here

SAMPLES, CARD = "samples.png", "README.md"
WIDTH = 1024  # pixels of the picture, about
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Written:
    """The files by name, with their sizes in bytes, and what to know about them."""

    files: dict[str, int]
    notes: tuple[str, ...]


def check_out(folder: Path) -> None:
    """Raises `UserError` where a dry run would remove what it has not written itself."""
    if not folder.name:
        raise UserError(f"--out is {folder}: name another folder")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder with --out")
    others = sorted({path.name for path in folder.iterdir()} - {SAMPLES, CARD, MODEL, "generator", BACK})
    if others:
        raise UserError(f"{folder} holds {others[0]}, which no dry run wrote: name another folder with --out")


def write_folder(
    run: str | os.PathLike[str],
    folder: Path,
    repository: str,
    licence: str | None,
    allow_private: bool,
    opset: Opset,
) -> Written:
    """Writes the whole folder, or nothing. Raises `UserError` where the run is private, or G not whole."""
    source = generator_folder(here(run))
    found = about(source)
    if found.is_private and not allow_private:
        raise UserError(
            f"{run} is private, and from weights something of the images can be had: add --allow-private if you may"
        )
    notes: list[str] = []
    with whole_folder(folder) as new:
        for name, place in networks(source):
            save_network(new / name, *load_network(place, GENERATORS | TRANSLATORS))
        try:
            export(source, to="onnx", out=new / MODEL, opset=opset)
        except UserError as error:
            notes.append(f"no {MODEL}: {error}")
        if picture := drawn(source):
            write_with(new / SAMPLES, lambda file: file.write(picture))
        files = sizes(new)
        write_text(new / CARD, str(Card(repository, licence, found, tuple(files))))
        files = sizes(new)
    if not licence:
        notes.append("without --licence nobody else may use it, and the card says so")
    return Written(files, tuple(notes))


def networks(source: Path) -> Iterator[tuple[str, Path]]:
    """G, and of CycleGAN's two the other one, with the folders that they get."""
    yield "generator", source
    back = source.with_name(BACK)
    if source.is_dir() and source.name == "generator" and back.exists():
        yield BACK, back


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def drawn(source: Path) -> bytes:
    """The first samples of seed 0 as PNG, through all classes in turn; nothing of a G that is given images."""
    G: Any = load_any(source)
    if not isinstance(G, Generator) or getattr(G.network, "given_channels", 0):
        return b""
    columns = max(2, min(MOST_COLUMNS, WIDTH // (G.resolution * G.frames)))
    num = columns if G.frames > 1 else columns**2
    labels = [G.classes[i] for i in in_turn(0, num, len(G.classes))] if G.classes else None
    images = G.to_uint8(G.sample(num, labels=labels))
    if G.frames > 1:
        return png(grid(images.reshape(-1, *images.shape[2:]), G.frames))
    return png(grid(images, class_columns(num, len(G.classes)) or columns))
