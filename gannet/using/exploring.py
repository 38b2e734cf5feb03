"""What a trained generator can do: the directions of its latents, and the latent of an image."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gannet.data.cache import OFF
from gannet.data.dataset import Dataset, prepare
from gannet.data.sources import Source
from gannet.display import counted
from gannet.errors import UserError
from gannet.files import write_text, write_with
from gannet.generation.directions import Directions, Method, draw_directions, find_directions
from gannet.generation.load import Generator, data_of, load
from gannet.generation.project import STEPS, Projection
from gannet.generation.project import project as find_latent
from gannet.images import grid, png, to_float, to_pil
from gannet.losses.likeness import likeness
from gannet.networks.folder import read_network
from gannet.training.engine import find_device
from gannet.using.sampling import here
from gannet.using.translation import check_out, open_inputs, written_names


def directions(
    run: str | os.PathLike[str],
    *,
    num: int = 10,
    method: Method = "factorised",
    label: int | str | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] = "directions",
    device: str = "cpu",
) -> tuple[Directions, list[Path]]:
    """Finds the strongest directions of a generator's latents, and writes them and pictures to the folder `out`.

    They are those of `find_directions`, in `directions.npz` too, and the pictures those of `draw_directions`. Raises
    `UserError` for what the caller can mend.
    """
    out = folder(out)
    G = loaded(run, device)
    with counted("finding directions") as progress:
        found = find_directions(G, num, method, label)
        files = draw_directions(G, found, out, seed, label, progress)
    found.save(out / "directions.npz")
    return found, [out / "directions.npz", *files]


@dataclass(frozen=True)
class Projected:
    """What was written for each image, and what was left out."""

    folders: list[Path]
    facts: list[dict[str, Any]]
    """What `distance.json` in each folder says."""
    unreadable: list[tuple[str, str]]
    """Name and reason of each image that cannot be read."""
    finished: bool
    """False where it was interrupted: the image that was sought then has the best so far."""


def project(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] = "projected",
    steps: int = STEPS,
    label: int | str | None = None,
    device: str = "cpu",
) -> Projected:
    """Finds the latent of which a generator makes an image, or each of a folder, and writes what it makes.

    To the folder `out`, or of several images to a folder in it that is named as the image: `latent.npy` (for `gannet
    sample --latents`), `projected.png`, `side-by-side.png` with the image at the left, and `distance.json`. The
    images are made alike as those that G was trained on; how G is sought is told by `gannet.generation.project`.
    Raises `UserError` for what the caller can mend.
    """
    path, out = os.path.expanduser(images), folder(out)
    check_out(path, out)
    G = loaded(run, device)
    number = None if label is None else G.label_number(label)
    source, (words, make) = open_inputs(path), likeness()
    targets = prepared(G, source)
    names = [name.removesuffix(".png") for name in written_names(list(targets.names))]
    folders, facts, finished = [], [], True
    with counted("projecting, steps") as progress:
        for i, name in enumerate(names):
            target = to_float(torch.from_numpy(targets.images[i : i + 1].copy()).to(G.device))
            made = find_latent(
                G, make(target), number, steps, lambda done, each, i=i: progress(i * each + done, len(names) * each)
            )
            folders.append(out if len(source) == 1 else out / name)
            facts.append({"image": targets.names[i], **facts_of(G, made, words)})
            save(folders[-1], made, targets.images[i])
            write_text(folders[-1] / "distance.json", json.dumps(facts[-1], indent=2) + "\n")
            if not made.finished:
                finished = False
                break
    return Projected(folders, facts, targets.unreadable, finished)


def prepared(G: Generator, source: Source) -> Dataset:
    """The images made alike as those that G was trained on. Raises `UserError` where none can be read."""
    known = data_of(read_network(G.folder)[0], G.folder)
    fit = "crop" if known.fit == "tiles" else known.fit
    how = replace(known, kind="images", fit=fit, cache=OFF, labels=False, held_out=0.0, max_unreadable=1.0)
    return prepare(source, how, G.channels)


def save(place: Path, made: Projection, target: np.ndarray) -> None:
    """Writes the latent and the pictures."""
    write_with(place / "latent.npy", lambda file: np.save(file, made.latent))
    pictures = {"projected": to_pil(made.image), "side-by-side": grid(np.stack([target, made.image]), 2)}
    for name, picture in pictures.items():
        data = png(picture)
        write_with(place / f"{name}.png", lambda file, data=data: file.write(data))


def facts_of(G: Generator, made: Projection, words: str) -> dict[str, Any]:
    """What `distance.json` says."""
    facts = {"distance": made.distance, "of_samples": made.of_samples, "made_of": words}
    facts |= {"space": "w" if G.has_w else "z", "steps": made.steps, "finished": made.finished}
    if G.classes and not G.has_w:
        facts["class"] = G.classes[int(made.latent[0, G.z_dim :].argmax())]
    return facts


def loaded(run: str | os.PathLike[str], device: str) -> Generator:
    return load(here(run), find_device(device))


def folder(out: str | os.PathLike[str]) -> Path:
    """The folder to write to. Raises `UserError` where it is a file."""
    if os.path.isfile(out):
        raise UserError(f"{out} is a file: name a folder with --out")
    return Path(out)
