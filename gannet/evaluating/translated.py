"""What translates, enlarges or makes clips, measured on what its run holds out, beside what it has to beat."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gannet.config import Recipe
from gannet.data.dataset import Dataset
from gannet.data.pool import Progress
from gannet.display import counted
from gannet.errors import UserError
from gannet.evaluating.measures import versions
from gannet.evaluating.reals import refuse_nan, spread
from gannet.evaluating.report import Page, Picture, in_figures, told
from gannet.evaluation.estimate import Estimate, bootstrapped
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import Space, frechet_of
from gannet.evaluation.pairs import MEASURES, Better
from gannet.evaluation.protocol import Protocol, Score
from gannet.evaluation.video import Clips, frame_distance, motion_distance, steps_of
from gannet.games.pix2pix import enlarged, reduced
from gannet.generation.load import Side, load, load_translator
from gannet.images import grid, to_float, to_uint8
from gannet.networks import TRANSLATORS
from gannet.networks.translator import Translator
from gannet.sessions import same_data
from gannet.tables import Section
from gannet.training.ranks import ALONE

BATCH = 32  # images at once
PICTURE = "images.png"
SHOWN = 12  # items in it
ACROSS = 2  # of them beside each other
SEED = 0

Batches = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""What a network makes, what it has to beat, and the targets, some at a time, each uint8 `[N, C, R, R]`."""


@dataclass(frozen=True)
class Comparison(Score):
    """One number, and the same of a baseline with its own interval."""

    baseline: float
    baseline_low: float
    baseline_high: float

    @classmethod
    def of(cls, metric: str, made: Estimate, other: Estimate, better: Better, protocol: Protocol) -> "Comparison":
        """Of what was made, and of the other."""
        return cls(metric, made.value, made.low, made.high, better, protocol, other.value, other.low, other.high)

    @property
    def other(self) -> Estimate:
        """The baseline's."""
        return Estimate(self.baseline, self.baseline_low, self.baseline_high)


@dataclass(frozen=True)
class Evaluation(Page):
    """What was measured of a run, on what and beside what."""

    run: Path
    measured: str
    baseline: str
    scores: tuple[Comparison, ...]
    shown: Picture | None = None
    """Some of it, to be looked at."""
    weights: str = ""
    """The SHA-256 of the weights of G."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "weights": self.weights,
            "measured": self.measured,
            "baseline": self.baseline,
            "scores": [score.to_dict() for score in self.scores],
        }

    def sections(self) -> Iterator[Section]:
        header = ("metric", self.measured, "95% interval", self.baseline, "95% interval", "better")
        rows = tuple(
            (score.metric, *in_figures(score), *in_figures(score.other), score.better) for score in self.scores
        )
        few = "Distances grow as fewer images are measured: compare those of equal numbers alone."
        yield Section(f"{self.run} on what it holds out", header, rows, (few,))
        yield Section("What was compared", lines=tuple(told(self.scores)))

    @property
    def picture(self) -> Picture | None:
        return self.shown


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
        """`num` images by `size`, with progress. Raises `UserError` where all of them had the same features."""
        for start in range(0, num, size):
            yield slice(start, start + size)
            self.progress(min(start + size, num), num)
        self.extract.refuse_constant()

    def protocol(self, counts: Protocol, how: Protocol) -> Protocol:
        """Of what a number was had: `counts` of items, the run's data, and `how` it was measured."""
        size = "x".join(2 * [str(self.dataset.held_out.shape[2])])
        data = {"size": size, "reals": "held out", "data": self.dataset.pixels[:16]}
        return {**counts, **data, **how, **versions()}


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
    where too little is held out, or less than `num`.
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
    if num is not None and num > fewest:
        of_a_side = " on one side" if dataset.other else ""
        raise UserError(f"{path} holds out {fewest:,} {recipe.data.items}{of_a_side}, and --num asks for {num:,}")
    kind = "enlarged" if recipe.data.kind == "images" else recipe.data.kind
    with counted("measuring") as progress:
        return EVALUATIONS[kind](HeldOut(path, dataset, num, recipe.data.num_frames, device, opened, progress))


def pairs(held: HeldOut) -> Evaluation:
    """What G makes of the one image of each pair, beside that image, both against the other one."""
    G, images = held.translator(), held.images(held.dataset)

    def batches(images: np.ndarray, parts: Iterator[slice]) -> Batches:
        for part in parts:
            given, target = np.split(np.array(images[part]), 2, axis=1)
            yield translated(G, to_float(torch.from_numpy(given)), held.device), given, target

    some = spread(images, SHOWN)
    picture = of_triples(*next(batches(some, iter([slice(None)]))), "input", "target")
    scores = paired(held, len(images), batches(images, held.parts(len(images))))
    return Evaluation(held.path, "output", "input as it is", scores, picture)


def enlarging(held: HeldOut) -> Evaluation:
    """What G makes of reduced images, beside bicubic, both against the images that they were."""
    G, images = held.translator(), held.images(held.dataset)

    def batches(images: np.ndarray, parts: Iterator[slice]) -> Batches:
        for part in parts:
            target = np.array(images[part])
            small = reduced(to_float(torch.from_numpy(target)), G.scale)
            yield translated(G, small, held.device), to_uint8(enlarged(small, G.scale)), target

    some = spread(images, SHOWN)
    picture = of_triples(*next(batches(some, iter([slice(None)]))), "bicubic", "the image that it was")
    scores = paired(held, len(images), batches(images, held.parts(len(images))))
    return Evaluation(held.path, f"output, x{G.scale}", f"bicubic, x{G.scale}", scores, picture)


def of_triples(made: np.ndarray, other: np.ndarray, target: np.ndarray, before: str, after: str) -> Picture:
    """What was made, between what it has to beat and its target."""
    return in_rows([other, made, target], f"{before}, output, {after}")


def in_rows(kinds: Sequence[np.ndarray], what: str) -> Picture:
    """The first images of each kind beside each other, then the second ones, two such items in a row."""
    items = np.stack(kinds, axis=1).reshape(-1, *kinds[0].shape[1:])
    return Picture(PICTURE, f"{what.capitalize()}, and the same of the next", grid(items, ACROSS * len(kinds)))


def paired(held: HeldOut, num: int, batches: Batches) -> tuple[Comparison, ...]:
    """The measures of `num` pairs, and the distance of features, of outputs and of what they have to beat."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in MEASURES}
    spaces = made, other, target = [Space(num) for _ in range(3)]
    for batch in batches:
        for name, measure in MEASURES.items():
            found[name].append((measure.of(batch[0], batch[2]), measure.of(batch[1], batch[2])))
        for space, images in zip(spaces, batch, strict=True):
            space.add(held.extract(images))
    scores, counts = [], {"images": num}
    for name, measure in MEASURES.items():
        ours, others = (torch.cat(each) for each in zip(*found[name], strict=True))
        how = held.protocol(counts, measure.protocol)
        scores.append(Comparison.of(name, mean_of(ours), mean_of(others), measure.better, how))
    distances = frechet_of(made, target, are_pairs=True), frechet_of(other, target, are_pairs=True)
    how = held.protocol(counts, held.extract.protocol)
    return *scores, Comparison.of("feature distance", *distances, "lower", how)


def mean_of(values: Tensor) -> Estimate:
    """The mean of the images' values `[N]`."""
    return bootstrapped(values.mean().item(), values)


def unpaired(held: HeldOut) -> Evaluation:
    """G's images of a and F's of b, beside a and b as they are, against those of the other side."""
    sides = [held.images(side) for side in (held.dataset.other, held.dataset) if side]
    networks = [held.translator("b"), held.translator("a")]
    reals, fakes = [[Space(len(side)) for side in sides] for _ in range(2)]
    shown = []
    for side, network in zip(sides, networks, strict=True):
        some = np.array(spread(side, min(SHOWN, *map(len, sides))))
        shown += [some, translated(network, to_float(torch.from_numpy(some)), held.device)]
    for part in held.parts(max(len(side) for side in sides)):
        for side, network, real, fake in zip(sides, networks, reals, fakes, strict=True):
            images = np.array(side[part])
            if len(images):
                real.add(held.extract(images))
                fake.add(held.extract(translated(network, to_float(torch.from_numpy(images)), held.device)))
    scores = []
    for way, fake, before, after in (("a to b", fakes[0], *reals), ("b to a", fakes[1], *reals[::-1])):
        how = held.protocol({"images": before.num, "of the other side": after.num}, held.extract.protocol)
        distances = frechet_of(fake, after), frechet_of(before, after)
        scores.append(Comparison.of(f"feature distance, {way}", *distances, "lower", how))
    picture = in_rows(shown, "one of a, what is made of it, one of b, what is made of that")
    return Evaluation(held.path, "output", "input as it is", tuple(scores), picture)


def clips(held: HeldOut) -> Evaluation:
    """G's clips, beside clips that were trained on, against those held out.

    A G that goes on from first frames does so from those of the clips held out, and what it was given counts nowhere.
    """
    G, unseen = load(held.path, held.device), held.images(held.dataset)
    num = min(len(unseen), len(held.dataset.images))
    if held.num and num < held.num:
        raise UserError(f"{held.path} was trained on {num:,} clips, and --num asks for {held.num:,}")
    unseen, seen = spread(unseen, num), spread(held.dataset.images, num)
    num_given = 0
    if depth := getattr(G.network, "given_channels", 0):
        G, num_given = replace(G, given=to_float(torch.from_numpy(np.array(unseen[:, :depth])))), depth // G.channels
    num_frames, strips = held.num_frames - num_given, []
    spaces = made, known, target = [Clips(held.extract, num, num_frames) for _ in range(3)]
    for part in held.parts(num, max(1, BATCH // held.num_frames)):
        new = np.array(unseen[part])
        fake = G.to_uint8(refuse_nan(G.sample(len(new), SEED, start=part.start), "the generator"))
        each = [
            some.reshape(len(new), held.num_frames, -1, *new.shape[2:]) for some in (fake, np.array(seen[part]), new)
        ]
        for space, frames in zip(spaces, each, strict=True):
            space.add(frames[:, num_given:])
        if part.start < SHOWN:
            strips.append(np.stack([each[0], each[2]], axis=1).reshape(-1, *each[0].shape[2:]))
    counts = {"clips": num, "frames": num_frames, "given frames": num_given, "seed": SEED}
    going_on = num_given > 0  # then clip i made and clip i held out begin alike
    distances = frame_distance(made, target, going_on), frame_distance(known, target)
    scores = [Comparison.of("frame distance", *distances, "lower", held.protocol(counts, held.extract.protocol))]
    if num_frames > 1:
        distances = motion_distance(made, target, going_on), motion_distance(known, target)
        seen_as = {"red, green, blue": "grey frames " + ", ".join(f"t + {step}" for step in steps_of(num_frames))}
        how = held.protocol(counts, held.extract.protocol | seen_as)
        scores.append(Comparison.of("motion distance", *distances, "lower", how))
    picture = of_clips(np.concatenate(strips)[: 2 * SHOWN * held.num_frames], held.num_frames)
    return Evaluation(held.path, "generated", "real, trained on", tuple(scores), picture)


def of_clips(frames: np.ndarray, num_frames: int) -> Picture:
    """Clips, a row each: one that was made, and one that was held out, by turns."""
    return Picture(PICTURE, "A clip that was made, one that was held out, by turns", grid(frames, num_frames))


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
