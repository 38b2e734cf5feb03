"""Images made of noise, or those of a folder, against real ones: one pass over each, and every number from that."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gannet import __version__
from gannet.data.dataset import Dataset
from gannet.data.pool import Progress
from gannet.data.sources import shown
from gannet.errors import UserError
from gannet.evaluating.beyond import check_use, copies, use
from gannet.evaluating.measures import DEFAULT, METRICS, Both, names_of, title
from gannet.evaluating.reals import MOST_REALS, Images, Seen, look, look_once, places, refuse_nan
from gannet.evaluating.report import Classes, Report
from gannet.evaluating.sides import Reals, Sides, progress_of
from gannet.evaluation import extractors
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import frechet
from gannet.evaluation.kid import kid
from gannet.evaluation.pairs import Better
from gannet.evaluation.per_class import by_class, mean_distance
from gannet.evaluation.protocol import Protocol, Score
from gannet.generation.load import Generator
from gannet.training.ranks import ALONE, Ranks

FEWEST, MOST = 2048, 10_000  # generated images, where nobody says how many
ENOUGH = 2048  # images on either side, below which a Frechet distance says little
SEED = 0
OF_A_RUN: tuple[Reals, Reals] = "trained on", "held out"


class Judge:
    """Measures generators against the same real images, whose features are had once.

    `metrics` are names of `METRICS`. Image i of a generator has z number i of `seed`, and labels come by their share.
    Of more than 50,000 real images as many are taken, spread evenly. What is seen of the reals is kept beside the
    decoded images, unless these are in memory only or the run is `private`. Of several ranks each makes its share,
    and the first alone gets scores. Raises `UserError` for metrics that cannot be had, among them, without `force`,
    a Frechet distance of fewer than 2,048 images.
    """

    def __init__(
        self,
        dataset: Dataset,
        extract: Extractor,
        num: int,
        metrics: Sequence[str] = DEFAULT,
        *,
        reals: Reals = "trained on",
        seed: int = SEED,
        truncation: float | None = None,
        force: bool = False,
        keep: bool = False,
        private: bool = False,
        ranks: Ranks = ALONE,
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.extract, self.num, self.metrics = dataset, extract, num, names_of(metrics, extract)
        self.reals: Reals = reals
        self.seed, self.truncation, self.ranks = seed, truncation, ranks
        self.cache = None if private else dataset.cache
        self.side = dataset.images.shape[2]
        if not force:
            refuse_few(self.metrics, num, len(self.images_of(reals)))
        needs = {METRICS[name].needs for name in self.metrics}
        self.keep, self.keep_logits = keep or "features" in needs, "logits" in needs
        self.real = self.look_at(reals, progress)

    def __call__(self, generator: Generator, progress: Progress | None = None) -> list[Score]:
        """The scores of a generator, in the order of `metrics`."""
        G = self.asked(generator)
        return self.scores(self.see(self.images(G), progress), G)

    def images_of(self, reals: Reals) -> np.ndarray:
        """uint8 `[N, C, R, R]`."""
        return self.dataset.held_out if reals == "held out" else self.dataset.images

    def look_at(self, reals: Reals, progress: Progress | None = None) -> Seen:
        """What is seen of the real images of that name."""
        images = self.images_of(reals)
        if len(images) < 2:
            raise UserError(f"of the images {reals} there are {len(images)}, and two are needed to compare with")
        part = "held out" if reals == "held out" else "images"
        facts = {"data": self.dataset.fingerprint, "part": part, "shape": list(images.shape[1:])}
        return look_once(
            images,
            places(len(images), MOST_REALS),
            self.extract,
            facts=facts,
            cache=self.cache,
            keep=self.keep,
            ranks=self.ranks,
            progress=progress,
        )

    def asked(self, generator: Generator) -> Generator:
        """The generator, truncated where that is asked for."""
        return generator if self.truncation is None else generator.truncated(self.truncation)

    def images(self, G: Generator) -> Images:
        """What it makes, by number, at the size of the reals; `UserError` where that is NaN."""

        def made(start: int, stop: int) -> np.ndarray:
            x = refuse_nan(G.sample(stop - start, self.seed, start=start), "the generator")
            return resized(G.to_uint8(x), self.side)

        return made

    def see(self, images: Images, progress: Progress | None = None) -> Seen:
        """One pass over the generated images."""
        return look(
            images,
            self.num,
            self.extract,
            keep=self.keep,
            keep_logits=self.keep_logits,
            ranks=self.ranks,
            progress=progress,
        )

    def scores(self, fake: Seen, G: Generator | None = None) -> list[Score]:
        """All metrics of what was seen, made by `G` where it was not found in a folder."""
        if not self.ranks.first:
            return []
        found: dict[str, Any] = {}
        both = Both(self.real, fake, G, self.seed)
        for family in dict.fromkeys(METRICS[name].family for name in self.metrics):
            found |= family(both)
        return [
            self.score(
                title(name, self.extract), estimate, METRICS[name].better, fake, G, more, METRICS[name].needs != "w"
            )
            for name in self.metrics
            for estimate, more in [found[name]]
        ]

    def score(
        self,
        metric: str,
        estimate: Estimate,
        better: Better,
        fake: Seen,
        G: Generator | None,
        more: Protocol,
        of_features: bool = True,
    ) -> Score:
        """A number with all that it depends on: the extractor and the real images where it is `of_features`."""
        protocol: dict[str, str | int] = {}
        if of_features:
            protocol |= {
                **self.extract.protocol,
                "size": f"{self.side}x{self.side}",
                "reals": self.reals,
                "data": self.dataset.fingerprint[:16],
                "real images": self.real.num,
            }
        protocol["generated images"] = fake.num
        if G:
            truncation = "none" if self.truncation is None else f"{self.truncation:g}"
            protocol |= {"made at": f"{G.resolution}x{G.resolution}", "seed": self.seed, "truncation": truncation}
        protocol |= {**more, "gannet": __version__, "torch": torch.__version__}
        return Score(metric, estimate.value, estimate.low, estimate.high, better, protocol)


def too_few(num: int, num_real: int) -> str:
    """Why a Frechet distance of so many images would say little; nothing where they suffice."""
    if min(num, num_real) >= ENOUGH:
        return ""
    return (
        f"a Frechet distance (FID) of {num:,} generated and {num_real:,} real images comes out far too large, and "
        f"takes {ENOUGH:,} of each"
    )


def refuse_few(metrics: Sequence[str], num: int, num_real: int) -> None:
    """Raises `UserError` for a Frechet distance of too few images."""
    if "frechet" in metrics and (few := too_few(num, num_real)):
        raise UserError(f"{few}: take the metric kid")


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 images `[N, C, H, W]` at `[N, C, side, side]`, bicubic, antialiased; four channels stay premultiplied."""
    if images.shape[2:] == (side, side):
        return images
    x = extractors.resized(torch.from_numpy(images), (side, side)).mul_(255).round_()
    if x.shape[1] == 4:
        x[:, :3] = x[:, :3].minimum(x[:, 3:])
    return x.byte().numpy()


def evaluate_generated(
    sides: Sides,
    extract: Extractor,
    *,
    num: int | None = None,
    metrics: Sequence[str] = (),
    force: bool = False,
    seed: int = SEED,
    truncation: float | None = None,
    useful: bool = False,
    ranks: Ranks = ALONE,
) -> Report:
    """All that `gannet evaluate` says of a generator's images, or of a folder's. Raises `UserError` as `Judge` does."""
    num_real = len(sides.real.held_out if sides.reals == "held out" else sides.real.images)
    num = number(sides, num, num_real)
    chosen, notes = fitting(names_of(metrics or default(extract), extract), num, num_real, force)
    check_path(chosen, sides)
    if useful:
        check_use(sides)
    tests_copying = sides.reals != "given" and len(sides.real.held_out) > 1
    with progress_of("real images", ranks) as progress:
        judge = Judge(
            sides.real,
            extract,
            num,
            chosen,
            reals=sides.reals,
            seed=seed,
            truncation=truncation,
            force=True,
            keep=tests_copying or bool(sides.classes),
            private=sides.private,
            ranks=ranks,
            progress=progress,
        )
    G = judge.asked(sides.fake) if isinstance(sides.fake, Generator) else None
    images = judge.images(G) if G else sides.images(num)
    with progress_of("generated images", ranks) as progress:
        fake = judge.see(images, progress)
    train = held_out = judge.real
    if tests_copying:
        with progress_of("the images trained on and held out", ranks) as progress:
            train, held_out = (
                judge.real if reals == sides.reals else judge.look_at(reals, progress) for reals in OF_A_RUN
            )
    report = Report(sides.what, sides.against, notes=tuple(notes))
    if not ranks.first:
        return report
    scores = judge.scores(fake, G)
    if classes := of_classes(sides, judge, fake):
        mean = mean_distance(classes.found)
        how = {"classes": len(classes.found)}
        scores.append(judge.score(f"{classes.metric}, mean of the classes", mean, "lower", fake, G, how))
        report = replace(report, classes=classes)
    if tests_copying:
        found, picture = copies(sides, fake, train, held_out, images)
        files = () if sides.private else tuple(shown(sides.real.names[pair.training]) for pair in found.pairs)
        report = replace(report, copying=found, pairs=picture, files=files)
    if useful:
        report = replace(report, usefulness=use(sides, images, num, extract.device))
    return replace(report, scores=tuple(scores))


def of_classes(sides: Sides, judge: Judge, fake: Seen) -> Classes | None:
    """The distance in each class: Frechet's where all have enough images, else KID; None where no class has any."""
    if not sides.classes:
        return None
    labels = [sides.real_labels, sides.fake_labels(fake.num)]
    counts = [np.bincount(some[some >= 0], minlength=len(sides.classes)) for some in labels]
    fewest = np.minimum(*counts)
    if fewest.max() < 2:
        return None
    name, distance = ("frechet", frechet) if fewest.min() >= ENOUGH else ("kid", kid)
    found = by_class(judge.real.features, labels[0], fake.features, labels[1], distance)
    return Classes(title(name, judge.extract), sides.classes, found)


def check_path(metrics: Sequence[str], sides: Sides) -> None:
    """Raises `UserError` where the path length is asked for of what has no w."""
    has_w = isinstance(sides.fake, Generator) and sides.fake.has_w
    if not has_w and any(METRICS[name].needs == "w" for name in metrics):
        raise UserError(f"the metric ppl is the path length in w, which {sides.what} has not: leave it out")


def number(sides: Sides, num: int | None, num_real: int) -> int:
    """How many generated images. Raises `UserError` where a folder has fewer than are asked for."""
    if isinstance(sides.fake, Generator):
        return num or min(max(num_real, FEWEST), MOST)
    there = len(sides.fake.images)
    if num and num > there:
        raise UserError(f"{sides.what} has {there:,} images, and --num asks for {num:,}")
    return num or there


def default(extract: Extractor) -> tuple[str, ...]:
    """The metrics where none are named."""
    return (*DEFAULT, "is") if extract.name == "inception" else DEFAULT


def fitting(metrics: Sequence[str], num: int, num_real: int, force: bool) -> tuple[tuple[str, ...], list[str]]:
    """The metrics, KID in the place of a Frechet distance of too few images, and what to say of it."""
    few = too_few(num, num_real)
    if "frechet" not in metrics or not few:
        return tuple(metrics), []
    if force:
        return tuple(metrics), [f"Printed since --force asks for it: {few}."]
    others = (name for name in metrics if name != "frechet")
    return tuple(dict.fromkeys(("kid", *others))), [f"No FID: {few}. KID stands in its place; --force prints both."]
