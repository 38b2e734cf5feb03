"""What translates, enlarges or makes clips, measured on what its run holds out, beside what it has to beat."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gannet.config import Recipe
from gannet.data.dataset import Dataset
from gannet.data.pool import Progress
from gannet.display import counted
from gannet.errors import UserError
from gannet.evaluating.reals import refuse_nan, spread
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import Gaussian, frechet_distance
from gannet.evaluation.pairs import MEASURES, Better
from gannet.evaluation.protocol import Protocol
from gannet.evaluation.video import Clips, frame_distance, motion_distance, steps_of
from gannet.games.pix2pix import enlarged, reduced
from gannet.generation.load import Side, load, load_translator
from gannet.images import to_float, to_uint8
from gannet.networks import TRANSLATORS
from gannet.networks.translator import Translator
from gannet.sessions import same_data
from gannet.training.ranks import ALONE

BATCH = 32  # images at once
SEED = 0

Pairs = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Batches of what a network makes, of what it has to beat, and of the targets, each uint8 `[N, C, R, R]`."""


@dataclass(frozen=True)
class Comparison:
    """One number, the same of a baseline, which of both is better, and how they were had."""

    metric: str
    value: float
    baseline: float
    better: Better
    protocol: Protocol


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a run, on what and beside what; rich prints it as a table."""

    run: Path
    measured: str
    baseline: str
    scores: tuple[Comparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "run": str(self.run)}

    def __rich__(self) -> Group:
        table = Table("metric", self.measured, self.baseline, "better", box=SIMPLE)
        notes = []
        for score in self.scores:
            table.add_row(score.metric, f"{score.value:.4g}", f"{score.baseline:.4g}", score.better)
            notes.append(f"{score.metric}: " + "; ".join(f"{name} {value}" for name, value in score.protocol.items()))
        notes.append("Distances grow as fewer images are measured: compare those of equal numbers alone.")
        return Group(Text(str(self.run)), table, *notes)


@dataclass(frozen=True)
class HeldOut:
    """A run, what it holds out, and how much of it to measure with what."""

    path: Path
    dataset: Dataset
    num: int | None
    num_frames: int
    device: torch.device
    extract: Extractor
    progress: Progress

    def translator(self, to: Side = "b") -> Translator:
        """What makes images of images at the size of training: for CycleGAN `to` b its G, `to` a its F."""
        return load_translator(self.path, self.device, to).network

    def images(self, dataset: Dataset) -> np.ndarray:
        """The images of the data set that are held out, or `num` of them."""
        return spread(dataset.held_out, self.num or len(dataset.held_out))

    def parts(self, num: int, size: int = BATCH) -> Iterator[slice]:
        """`num` images by `size`, with progress."""
        for start in range(0, num, size):
            yield slice(start, start + size)
            self.progress(min(start + size, num), num)


def makes_of_noise(recipe: Recipe) -> bool:
    """Whether a run's G makes single images of noise, and is measured as `gannet.evaluating.generated` does."""
    return recipe.data.kind == "images" and recipe.G.name not in TRANSLATORS.rows


def evaluate_held_out(
    path: Path,
    recipe: Recipe,
    facts: Mapping[str, Any],
    num: int | None,
    device: torch.device,
    extract: Callable[[], Extractor],
) -> Evaluation:
    """Measures the networks of a run on what it holds out, all of it or `num` items spread over it.

    Of pairs: L1, PSNR, SSIM and the distance of features to the targets, beside the input as it is; of a network
    that enlarges the same, beside bicubic. Of unpaired sets: the distance of features to the other set. Of
    clips: the distances of frames and of motion, beside those of clips that were trained on. Raises `UserError`
    where too little is held out.
    """
    if num is not None and num < 2:
        raise UserError(f"--num is {num}, and must be at least 2")
    if not recipe.data.held_out:
        raise UserError(f"{path} holds no images out to measure on: train with --data.held-out 0.1")
    opened = extract()
    dataset = same_data(recipe, facts, ALONE)
    fewest = min(len(side.held_out) for side in (dataset, dataset.other) if side)
    if fewest < 2:
        raise UserError(f"{path} holds out {fewest} of its images, and two are needed: train with more --data.held-out")
    kind = "enlarged" if recipe.data.kind == "images" else recipe.data.kind
    with counted("measuring") as progress:
        return EVALUATIONS[kind](HeldOut(path, dataset, num, recipe.data.num_frames, device, opened, progress))


def pairs(held: HeldOut) -> Evaluation:
    """What G makes of the one image of each pair, beside that image, both against the other one."""
    G, images = held.translator(), held.images(held.dataset)

    def batches() -> Pairs:
        for part in held.parts(len(images)):
            given, target = np.split(np.array(images[part]), 2, axis=1)
            yield translated(G, to_float(torch.from_numpy(given)), held.device), given, target

    return Evaluation(held.path, "output", "input as it is", paired(held, batches()))


def enlarging(held: HeldOut) -> Evaluation:
    """What G makes of reduced images, beside bicubic, both against the images that they were."""
    G, images = held.translator(), held.images(held.dataset)

    def batches() -> Pairs:
        for part in held.parts(len(images)):
            target = np.array(images[part])
            small = reduced(to_float(torch.from_numpy(target)), G.scale)
            yield translated(G, small, held.device), to_uint8(enlarged(small, G.scale)), target

    return Evaluation(held.path, f"output, x{G.scale}", f"bicubic, x{G.scale}", paired(held, batches()))


def paired(held: HeldOut, batches: Pairs) -> tuple[Comparison, ...]:
    """The measures of pairs, and the distance of features, of outputs and of what they have to beat."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in MEASURES}
    spaces = made, other, target = [Gaussian() for _ in range(3)]
    for batch in batches:
        for name, measure in MEASURES.items():
            found[name].append((measure.of(batch[0], batch[2]), measure.of(batch[1], batch[2])))
        for space, images in zip(spaces, batch, strict=True):
            space.add(held.extract(images))
    num, scores = target.num, []
    for name, measure in MEASURES.items():
        value, baseline = (torch.cat(each).mean().item() for each in zip(*found[name], strict=True))
        scores.append(Comparison(name, value, baseline, measure.better, {"images": num, **measure.protocol}))
    distances = frechet_distance(made, target), frechet_distance(other, target)
    return *scores, Comparison("feature distance", *distances, "lower", {"images": num, **held.extract.protocol})


def unpaired(held: HeldOut) -> Evaluation:
    """G's images of a and F's of b, beside a and b as they are, against those of the other side."""
    sides = [held.images(side) for side in (held.dataset.other, held.dataset) if side]
    networks = [held.translator("b"), held.translator("a")]
    reals, fakes = [[Gaussian(), Gaussian()] for _ in range(2)]
    for part in held.parts(max(len(side) for side in sides)):
        for side, network, real, fake in zip(sides, networks, reals, fakes, strict=True):
            images = np.array(side[part])
            if len(images):
                real.add(held.extract(images))
                fake.add(held.extract(translated(network, to_float(torch.from_numpy(images)), held.device)))
    scores = []
    for way, fake, before, after in (("a to b", fakes[0], *reals), ("b to a", fakes[1], *reals[::-1])):
        how = {"images": before.num, "of the other side": after.num, **held.extract.protocol}
        distances = frechet_distance(fake, after), frechet_distance(before, after)
        scores.append(Comparison(f"feature distance, {way}", *distances, "lower", how))
    return Evaluation(held.path, "output", "input as it is", tuple(scores))


def clips(held: HeldOut) -> Evaluation:
    """G's clips, beside clips that were trained on, against those held out.

    A G that goes on from first frames does so from those of the clips held out, and what it was given counts nowhere.
    """
    G, unseen = load(held.path, held.device), held.images(held.dataset)
    num = min(len(unseen), len(held.dataset.images))
    unseen, seen = spread(unseen, num), spread(held.dataset.images, num)
    num_given = 0
    if depth := getattr(G.network, "given_channels", 0):
        G, num_given = replace(G, given=to_float(torch.from_numpy(np.array(unseen[:, :depth])))), depth // G.channels
    spaces = made, known, target = [Clips(held.extract) for _ in range(3)]
    for part in held.parts(num, max(1, BATCH // held.num_frames)):
        new = np.array(unseen[part])
        fake = G.to_uint8(refuse_nan(G.sample(len(new), SEED, start=part.start), "the generator"))
        for space, some in zip(spaces, (fake, np.array(seen[part]), new), strict=True):
            space.add(some.reshape(len(new), held.num_frames, -1, *new.shape[2:])[:, num_given:])
    num_frames = held.num_frames - num_given
    how = {"clips": num, "frames": num_frames, "given frames": num_given, "seed": SEED, **held.extract.protocol}
    distances = frame_distance(made, target), frame_distance(known, target)
    scores = [Comparison("frame distance", *distances, "lower", how)]
    if num_frames > 1:
        distances = motion_distance(made, target), motion_distance(known, target)
        seen_as = {"red, green, blue": "grey frames " + ", ".join(f"t + {step}" for step in steps_of(num_frames))}
        scores.append(Comparison("motion distance", *distances, "lower", how | seen_as))
    return Evaluation(held.path, "generated", "real, trained on", tuple(scores))


EVALUATIONS: Mapping[str, Callable[[HeldOut], Evaluation]] = {
    "pairs": pairs,
    "enlarged": enlarging,
    "unpaired": unpaired,
    "clips": clips,
}


@torch.inference_mode()
def translated(G: Translator, a: Tensor, device: torch.device) -> np.ndarray:
    """What G makes of images in [-1, 1], uint8, on CUDA too in whole float32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return to_uint8(refuse_nan(G(a.to(device)), "the network"))
