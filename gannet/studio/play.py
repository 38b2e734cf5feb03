"""Images of a run's generator for the page: by seed and number, label, truncation and direction."""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from gannet.config import CONVERTER, Data, Recipe
from gannet.data.cache import OFF, cache_folder, images_folder
from gannet.data.dataset import Dataset, opened, prepare
from gannet.errors import UserError
from gannet.generation.export import export
from gannet.generation.filter import AtLeast
from gannet.generation.interpolate import walk
from gannet.generation.latents import Named, OfSeed
from gannet.generation.load import Generator, load
from gannet.generation.sample import samples
from gannet.images import grid, over_checkerboard, png, to_pil
from gannet.studio.data import Folders
from gannet.studio.runs import RECIPE, Kept, Runs

MOST_IMAGES = 64
MOST_DRAWN = 1024
NUMBERS = 1_000_000  # of a seed: a z_seed is seed * NUMBERS + number
MOST_SEED = 2**53 // NUMBERS  # which a page can hold exactly
MOST_GENERATORS, MOST_TRUNCATED, MOST_DATASETS = 3, 8, 2
POOLED = 8  # pixels of a side, when images are compared
MOST_STEPS = 64
MOST_DIRECTIONS = 10

To = Literal["onnx", "safetensors"]


@dataclass(frozen=True)
class Moved(Generator):
    """A generator whose latents, its w where it has one, are all moved by the same `shift` `[dim]`.

    A z is moved before it is truncated: so a file of latents can say where it is, and no image leaves the bounds.
    """

    shift: np.ndarray = field(default_factory=lambda: np.zeros(1, np.float32))

    def within(self, z: np.ndarray) -> np.ndarray:
        return super().within(z if self.has_w else z + self.shift)

    def w(self, z: Tensor, c: Tensor) -> Tensor:
        return super().w(z, c) + self.as_input(self.shift)

    def images(self, z: Tensor, c: Tensor, start: int | Sequence[int] = 0) -> Tensor:
        return self.images_of(self.w(z, c)) if self.has_w else super().images(z, c, start)


@dataclass
class Player:
    """The generators of runs, a few kept loaded, and the images that they were trained on."""

    runs: Runs
    data: Folders
    generators: Kept[Generator] = field(default_factory=lambda: Kept(MOST_GENERATORS))
    truncated: Kept[Generator] = field(default_factory=lambda: Kept(MOST_TRUNCATED))
    axes: Kept[np.ndarray] = field(default_factory=lambda: Kept(MOST_TRUNCATED))
    datasets: Kept[tuple[Dataset, np.ndarray]] = field(default_factory=lambda: Kept(MOST_DATASETS))

    def generator(self, run: Path, truncation: float | None = None, best: bool = False) -> Generator:
        """G of a run, or of its best weights. Raises `UserError` where there is none that makes images of noise."""
        place = ("best", "generator") if best else ("generator",)
        weights = self.runs.file(run, *place, "model.safetensors")
        self.runs.file(run, *place, "config.json")
        stamp = weights.stat().st_mtime_ns
        G = self.generators.get(str(weights), stamp, lambda: load(weights.parent))
        if G.frames > 1:
            raise UserError("this run makes clips, which the studio does not play: gannet sample writes them")
        if truncation is None:
            return G
        return self.truncated.get((str(weights), truncation), stamp, lambda: G.truncated(truncation))

    def sample(
        self,
        run: Path,
        seed: int = 0,
        num: int = 16,
        label: str | None = None,
        truncation: float | None = None,
        threshold: float | None = None,
        directions: str = "",
    ) -> dict[str, Any]:
        """Images of a seed as PNGs in addresses, and the z_seed, label and rating of each. Raises `UserError`."""
        check(0 <= seed < MOST_SEED, f"seed is {seed}, and must be from 0 to {MOST_SEED:,}")
        check(1 <= num <= MOST_IMAGES, f"num is {num}, and must be from 1 to {MOST_IMAGES}")
        check(threshold is None or 0 <= threshold <= 1, "threshold must be from 0 to 1")
        G = self.moved(run, self.generator(run, truncation), directions)
        number = None if label is None else G.label_number(label)
        found, ratings, drawn = [], [], 0
        rater = None if threshold is None else AtLeast(G, threshold)
        for kept, size in samples(OfSeed(G, seed, number), rater, MOST_IMAGES if rater else num):
            found += kept
            ratings += [float(rater.ratings[-1][sample.number - drawn]) for sample in kept] if rater else []
            drawn += size
            if len(found) >= num or drawn >= MOST_DRAWN:
                break
        found = found[:num]
        answer = {
            "images": [address(sample.image) for sample in found],
            "z_seeds": [seed * NUMBERS + sample.number for sample in found],
            "labels": [G.classes[sample.label] if G.classes else None for sample in found],
            "drawn": drawn,
        }
        return {**answer, "ratings": [round(r, 4) for r in ratings[:num]]} if rater else answer

    def one(
        self, run: Path, z_seed: int, label: str | None, truncation: float | None, directions: str = ""
    ) -> np.ndarray:
        """The image that a z_seed names, uint8 `[C, R, R]`."""
        G = self.moved(run, self.generator(run, truncation), directions)
        seed, number = numbers_of(z_seed)
        c = G.one_hot(G.label_numbers(1, label, number))
        return G.to_uint8(G.images(G.z(seed, number, 1), c, number))[0]

    def walk(
        self,
        run: Path,
        a: int,
        b: int,
        steps: int,
        label: str | None,
        truncation: float | None,
        directions: str = "",
    ) -> dict[str, Any]:
        """Images on the way from one z_seed to another, in an arc through z (`walk`); label of a."""
        check(2 <= steps <= MOST_STEPS, f"steps is {steps}, and must be from 2 to {MOST_STEPS}")
        G = self.moved(run, self.generator(run, truncation), directions)
        ends = [numbers_of(a), numbers_of(b)]
        of_a = int(G.label_numbers(1, label, ends[0][1])[0])
        images = np.concatenate(list(walk(Named(G, ends, [of_a, of_a]), steps - 1, "slerp", loop=False)))
        return {"images": [address(image) for image in images], "strip": data_url(png(grid(images, steps)))}

    def directions(self, run: Path) -> dict[str, Any]:
        """How many directions there are, and what they are called."""
        num = len(self.axes_of(run))
        return {"num": num, "names": [f"direction {i + 1}" for i in range(num)]}

    def axes_of(self, run: Path) -> np.ndarray:
        """The directions of a run's generator, the strongest first: `[num, dim]`."""
        G = self.generator(run)
        stamp = (G.folder / "model.safetensors").stat().st_mtime_ns
        return self.axes.get(str(run), stamp, lambda: G.directions(min(MOST_DIRECTIONS, G.z_dim)))

    def moved(self, run: Path, G: Generator, directions: str) -> Generator:
        """G along its directions: `"0:1.5,2:-1"` are 1.5 along the first and -1 along the third."""
        steps = steps_of(directions)
        if not steps:
            return G
        axes = self.axes_of(run)
        check(max(steps) < len(axes), f"this generator has {len(axes)} directions")
        shift = sum(step * axes[i] for i, step in steps.items())
        own = {each.name: getattr(G, each.name) for each in fields(Generator)}
        return Moved(**own, shift=np.asarray(shift, np.float32))

    def latent(
        self, run: Path, z_seed: int, label: str | None, truncation: float | None, directions: str = ""
    ) -> np.ndarray:
        """What makes the image of a z_seed again, as a row of `gannet sample --latents`.

        It is z before it is truncated, with the class beside it, float32 `[1, z_dim + num_classes]`; where directions
        move w it is w, `[1, num_layers, w_dim]`.
        """
        G = self.moved(run, self.generator(run, truncation), directions)
        of = Named(G, [numbers_of(z_seed)], None if label is None else [G.label_number(label)])
        if not isinstance(G, Moved):
            return of.row(0)
        if G.has_w:
            return G.w(G.as_input(of.z(0, 1)), G.as_input(of.c(0, 1))).cpu().numpy()
        row = of.row(0)
        row[:, : G.z_dim] += G.shift
        return row

    def nearest(
        self,
        run: Path,
        z_seed: int,
        label: str | None,
        truncation: float | None,
        num: int = 8,
        directions: str = "",
    ) -> dict[str, Any]:
        """A sample and the training images that differ least from it, by the root mean square of pooled pixels.

        Raises `UserError` where the images are not at hand.
        """
        check(1 <= num <= MOST_IMAGES, f"num is {num}, and must be from 1 to {MOST_IMAGES}")
        image = self.one(run, z_seed, label, truncation, directions)
        dataset, small = self.dataset(run)
        if dataset.images.shape[1:] != image.shape:
            raise UserError("the run's images are not of the size that its generator makes now")
        apart = small.reshape(len(small), -1).astype(np.float32) - pooled(image[None]).reshape(1, -1)
        distance = np.sqrt((apart**2).mean(1)) / 255
        order = np.argsort(distance, kind="stable")[:num]
        near = [
            {"image": address(dataset.images[i]), "distance": round(float(distance[i]), 4), "name": dataset.names[i]}
            for i in order.tolist()
        ]
        return {"image": address(image), "nearest": near}

    def dataset(self, run: Path) -> tuple[Dataset, np.ndarray]:
        """What a run was trained on, and all images pooled to 8 pixels. Raises `UserError` where it is not at hand."""
        path = self.runs.file(run, RECIPE)
        return self.datasets.get(str(run), path.stat().st_mtime_ns, lambda: self.opened(run))

    def opened(self, run: Path) -> tuple[Dataset, np.ndarray]:
        """See `dataset`. Only drawn sets and images below the folders of the studio are opened, nothing is loaded."""
        from gannet.plan import moved as moved_paths  # torch's networks are here already

        settings = self.runs.settings(run)
        data = data_of(settings.values)
        data = moved_paths(Recipe("", "", data=data), run, Path()).data
        check(data.kind == "images", "only runs on single images can be looked at so")
        known = data.source in ("shapes", "shapes-labelled", "circles", "squares", "outlines")
        here = known or (bool(data.source) and self.data.holds(data.source) and Path(data.source).exists())
        check(here, "the images of this run are not in a folder that may be looked into: start with --data FOLDER")
        if not images_folder("").exists():
            data = CONVERTER.structure({**CONVERTER.unstructure(data), "cache": OFF}, Data)
        channels = settings.facts.get("channels")
        check(channels in (1, 3, 4), f"{RECIPE} does not say how many channels its images have")
        dataset = prepare(opened(data, cache_folder()), data, int(channels or 0))
        if dataset.fingerprint != settings.facts.get("data_fingerprint"):
            raise UserError("the images are not those any more that this run was trained on")
        parts = [pooled(np.asarray(dataset.images[i : i + 512])) for i in range(0, len(dataset.images), 512)]
        return dataset, np.concatenate(parts)

    def exported(self, run: Path, to: To) -> Path:
        """A file of G in a folder of its own, which is the caller's to remove. Raises `UserError`."""
        self.generator(run)
        file = Path(tempfile.mkdtemp(prefix="gannet-")) / f"model.{to}"
        try:
            return export(run, to=to, out=file).file
        except UserError:
            file.parent.rmdir()
            raise


def check(holds: bool, line: str) -> None:
    if not holds:
        raise UserError(line)


def numbers_of(z_seed: int) -> tuple[int, int]:
    """Seed and number."""
    check(0 <= z_seed < MOST_SEED * NUMBERS, f"{z_seed} names no image")
    return divmod(z_seed, NUMBERS)


def steps_of(directions: str) -> dict[int, float]:
    """Raises `UserError` where the text is of another form."""
    found = {}
    for part in filter(None, directions.split(",")):
        number, _, step = part.partition(":")
        try:
            found[int(number)] = float(step)
        except ValueError as error:
            raise UserError(f"'{part[:40]}' is no direction: it is like 0:1.5") from error
    fits = all(0 <= i < MOST_DIRECTIONS and abs(step) <= 100 for i, step in found.items())
    check(fits, f"directions are numbered from 0 to {MOST_DIRECTIONS - 1}, and steps are from -100 to 100")
    return {i: step for i, step in found.items() if step}


def pooled(images: np.ndarray) -> np.ndarray:
    """uint8 `[N, C, R, R]` to the means of squares, uint8 `[N, C, 8, 8]`; smaller images stay as they are."""
    side = images.shape[-1]
    if side <= POOLED:
        return images
    edges = np.linspace(0, side, POOLED + 1).round().astype(int)
    rows = np.add.reduceat(images.astype(np.float32), edges[:-1], axis=2)
    sums = np.add.reduceat(rows, edges[:-1], axis=3)
    sizes = np.diff(edges).astype(np.float32)
    return np.rint(sums / (sizes[:, None] * sizes)).astype(np.uint8)


def data_of(values: Mapping[str, Any]) -> Data:
    """The settings of a run's data. Raises `UserError` for what this version does not know."""
    own = {name.removeprefix("data."): value for name, value in values.items() if name.startswith("data.")}
    try:
        return CONVERTER.structure(own, Data)
    except Exception as error:
        raise UserError("the data of this run cannot be understood: another version made it") from error


def address(image: np.ndarray) -> str:
    """One image, uint8 `[C, R, R]`, as the address of a PNG that holds it; transparency as it is."""
    return data_url(png(to_pil(np.asarray(image))))


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def shown(images: np.ndarray) -> np.ndarray:
    """Images uint8 `[N, C, R, R]`, those with transparency over grey squares, as grids have them."""
    return over_checkerboard(images) if images.shape[1] == 4 else images
