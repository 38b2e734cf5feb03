"""Two pictures, one real: a fake of a run's generator or grids, and a real of its images or its grid of reals."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet.errors import UserError
from gannet.images import GAP, class_columns
from gannet.studio.play import Player, shown
from gannet.studio.rating import Made, Ratings
from gannet.studio.runs import SAMPLES, Runs, Settings

SEED = 1  # of the fakes that raters see: all see the same ones, in the same order
EMPTY = 24  # the grey between the images of a grid
MOST_PIXELS = 80_000_000  # 64 images of 1024 pixels have 67 million
SCALE_TO = 64  # the most that small grids are enlarged, by a whole factor


def cells(path: Path, resolution: int) -> list[np.ndarray]:
    """The images of a grid of Gannet's as they were before it was enlarged, uint8 `[C, R, R]`, row by row.

    Raises `UserError` where the picture cannot be read, or is no such grid.
    """
    try:
        with Image.open(path, formats=["PNG"]) as opened:  # of another kind Pillow would start Ghostscript
            if opened.width * opened.height > MOST_PIXELS:
                raise UserError(f"{path.name} is too large for a grid: it has {opened.width}x{opened.height} pixels")
            picture = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path.name} cannot be read: it is damaged") from error
    pixels = np.asarray(picture)
    pixels = (pixels[..., None] if pixels.ndim == 2 else pixels).transpose(2, 0, 1)
    step = resolution + GAP
    for scale in range(1, SCALE_TO):
        if any(side % scale or (side // scale - GAP) % step for side in pixels.shape[1:]):
            continue
        small = pixels[:, ::scale, ::scale]
        down, across = (np.arange(side) % step < GAP for side in small.shape[1:])
        if (small[:, down] == EMPTY).all() and (small[:, :, across] == EMPTY).all():
            found = [
                small[:, top : top + resolution, left : left + resolution]
                for top in range(GAP, small.shape[1], step)
                for left in range(GAP, small.shape[2], step)
            ]
            return [cell for cell in found if (cell != EMPTY).any()]
    raise UserError(f"{path.name} is no grid of images of {resolution} pixels")


@dataclass(frozen=True)
class Pairs:
    """Makes the pairs of a run: from its generator and its images, or from its grids where it has only those."""

    ratings: Ratings
    player: Player

    def make(self, name: str, rater: str, checkpoint: str) -> Made:
        """The next pair for a rater. `checkpoint` is empty for the newest weights, `best`, or the kimg of a grid.

        Raises `UserError` where there is nothing to show.
        """
        runs = self.ratings.runs
        run = runs.find(name)
        settings = runs.settings(run)
        if settings.values.get("data.kind", "images") != "images":
            raise UserError("only runs on single images can be rated")
        if checkpoint not in ("", "best"):
            return self.of_grids(name, rater, checkpoint)
        G = self.player.generator(run, best=checkpoint == "best")
        kimg = float(facts_of(G.folder).get("kimg", 0.0))
        number = self.ratings.next_number(name, rater, kimg)
        labels = G.label_numbers(1, None, number)
        fake = shown(G.to_uint8(G.images(G.z(SEED, number, 1), G.one_hot(labels), number)))[0]
        return Made(number, kimg, fake, *self.real(run, settings, int(labels[0]), number, kimg, G.classes))

    def real(
        self, run: Path, settings: Settings, label: int, number: int, kimg: float, classes: Sequence[str]
    ) -> tuple[np.ndarray, str | None]:
        """A real of a class and the class: of the run's images, or where these are not at hand of its grid of reals.

        A grid without a column for each class does not tell which cell is of which: then it is any real, of no class.
        """
        name = classes[label] if classes else None
        try:
            dataset, _ = self.player.dataset(run)
            images, labels = dataset.images, dataset.labels
        except UserError:
            images = np.stack(grid_cells(self.ratings.runs, run, settings, "real.png"))
            if len(classes) > 1 and not class_columns(len(images), len(classes)):
                return images[in_turn(np.arange(len(images)), number, kimg)], None
            labels = np.arange(len(images)) % max(1, len(classes))
        like = np.flatnonzero(labels == label) if classes else np.arange(0)
        i = in_turn(like if len(like) else np.arange(len(images)), number // max(1, len(classes)), kimg)
        return shown(np.asarray(images[i : i + 1]))[0], name

    def of_grids(self, name: str, rater: str, checkpoint: str) -> Made:
        """A fake from the run's grid of a moment, and a real."""
        runs = self.ratings.runs
        run = runs.find(name)
        settings = runs.settings(run)
        grids = dict(runs.grids(run))
        try:
            at = min(grids, key=lambda kimg: abs(kimg - float(checkpoint)))
        except ValueError as error:
            raise UserError("checkpoint must be empty, best, or the kimg of a grid that the run has") from error
        fakes = grid_cells(runs, run, settings, grids[at])
        classes = settings.facts.get("classes", [])
        number = self.ratings.next_number(name, rater, at)
        i = number % len(fakes)
        label = i % len(classes) if classes else 0
        return Made(number, at, fakes[i], *self.real(run, settings, label, number, at, classes))


def in_turn(like: np.ndarray, turn: int, kimg: float) -> int:
    """Which of the reals `like` comes at a turn: none again before all came, as no fake does, or it would be known.

    Raters of other weights see them in another order, beside other fakes.
    """
    order = np.random.Generator(np.random.Philox(round(1000 * kimg))).permutation(len(like))
    return int(like[order[turn % len(like)]])


def grid_cells(runs: Runs, run: Path, settings: Settings, file: str) -> list[np.ndarray]:
    found = cells(runs.file(run, SAMPLES, file), int(settings.values.get("data.resolution", 0)))
    if not found:
        raise UserError(f"{file} shows no image")
    return found


def facts_of(folder: Path) -> dict[str, Any]:
    """What config.json says of a network that was loaded."""
    return json.loads((folder / "config.json").read_text("utf-8"))
