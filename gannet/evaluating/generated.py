"""Images made of noise, or those of a folder, against real ones: one pass over each, and every number from that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from gannet.data.dataset import Dataset
from gannet.data.pool import Progress
from gannet.data.sources import shown
from gannet.errors import UserError
from gannet.evaluating.beyond import check_use, copies, use
from gannet.evaluating.measures import (
    DEFAULT,
    METRICS,
    Against,
    Both,
    are_of_paths,
    made_by,
    names_of,
    of_path_length,
    title,
    versions,
)
from gannet.evaluating.reals import MOST_REALS, NOTHING, Images, Seen, look, look_once, refuse_nan
from gannet.evaluating.report import Classes, Report
from gannet.evaluating.sides import Reals, Sides, progress_of
from gannet.evaluation import extractors
from gannet.evaluation.estimate import Estimate, places
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
        self.compared = Against(self.real, num)

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
        both = Both(self.compared, fake, G, self.seed)
        for family in dict.fromkeys(METRICS[name].family for name in self.metrics):
            found |= family(both)
        scores = []
        for name in self.metrics:
            (estimate, more), metric = found[name], METRICS[name]
            if metric.needs == "w" and G:
                scores.append(of_generator(metric.title, estimate, metric.better, G, both, self.truncation, more))
            else:
                scores.append(self.score(title(name, self.extract), estimate, metric.better, fake, G, more))
        return scores

    def score(
        self, metric: str, estimate: Estimate, better: Better, fake: Seen, G: Generator | None, more: Protocol
    ) -> Score:
        """A number with all that it depends on: the extractor, the real images, and how the others were made."""
        made = made_by(G, fake.num, self.seed, self.truncation) if G else {"generated images": fake.num}
        protocol = {
            **self.extract.protocol,
            "size": f"{self.side}x{self.side}",
            "reals": self.reals,
            "data": self.dataset.fingerprint[:16],
            "real images": self.real.num,
            **made,
            **more,
            **versions(),
        }
        return Score(metric, estimate.value, estimate.low, estimate.high, better, protocol)


def of_generator(
    metric: str, found: Estimate, better: Better, G: Generator, both: Both, truncation: float | None, more: Protocol
) -> Score:
    """A number that has to do with a generator alone, and not with real images."""
    protocol = {**made_by(G, both.fake.num, both.seed, truncation), **more, **versions()}
    return Score(metric, found.value, found.low, found.high, better, protocol)


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


@dataclass(frozen=True)
class Asked:
    """What is to be said of a generator's images, or of a folder's."""

    num: int | None = None
    metrics: Sequence[str] = ()
    force: bool = False
    seed: int = SEED
    truncation: float | None = None
    useful: bool = False

    @property
    def needs_extractor(self) -> bool:
        """Whether anything looks at features: where nothing does, only the metrics are had."""
        return self.useful or not are_of_paths(self.metrics)


def evaluate_generated(sides: Sides, extract: Extractor | None, asked: Asked, ranks: Ranks = ALONE) -> Report:
    """All that `gannet evaluate` says of a generator's images, or of a folder's; without an extractor the path length.

    Raises `UserError` as `Judge` does.
    """
    num_real = len(sides.real.held_out if sides.reals == "held out" else sides.real.images)
    num = number(sides, asked.num, num_real)
    if extract is None:
        check_path(asked.metrics, sides)
        return of_paths(sides, num, asked, ranks)
    chosen, notes = fitting(names_of(asked.metrics or default(extract), extract), num, num_real, asked.force)
    if asked.num and num_real < num and isinstance(sides.fake, Generator):
        notes.append(f"{num:,} generated images stand against {num_real:,} real ones: there are no more of these.")
    check_path(chosen, sides)
    check_enough(chosen, sides, num_real, num)
    if asked.useful:
        check_use(sides)
    judge = judge_of(sides, extract, num, chosen, asked, ranks)
    G = judge.asked(sides.fake) if isinstance(sides.fake, Generator) else None
    images = judge.images(G) if G else sides.images(num)
    with progress_of("generated images", ranks) as progress:
        fake = judge.see(images, progress)
    of_a_run = seen_of_run(sides, judge, ranks)
    report = Report(sides.what, sides.against, notes=tuple(notes))
    if not ranks.first:
        return report
    report = with_classes(replace(report, scores=tuple(judge.scores(fake, G))), sides, judge, fake, G)
    if of_a_run:
        found, picture = copies(sides, fake, *of_a_run, images)
        files = () if sides.private else tuple(shown(sides.real.names[pair.training]) for pair in found.pairs)
        report = replace(report, copying=found, pairs=picture, files=files)
    if asked.useful:
        report = replace(report, usefulness=use(sides, images, num, extract.device))
    return report


def of_paths(sides: Sides, num: int, asked: Asked, ranks: Ranks) -> Report:
    """The path length alone, which takes no look at real images; the first rank has it."""
    report = Report(sides.what, "")
    if not ranks.first:
        return report
    assert isinstance(sides.fake, Generator)
    G = sides.fake if asked.truncation is None else sides.fake.truncated(asked.truncation)
    both = Both(Against(NOTHING, num), replace(NOTHING, num=num), G, asked.seed)
    ((name, (found, more)),) = of_path_length(both).items()
    metric = METRICS[name]
    score = of_generator(metric.title, found, metric.better, G, both, asked.truncation, more)
    return replace(report, scores=(score,))


def judge_of(sides: Sides, extract: Extractor, num: int, metrics: Sequence[str], asked: Asked, ranks: Ranks) -> Judge:
    """Who measures both sides, once the real images have been looked at."""
    with progress_of("real images", ranks) as progress:
        return Judge(
            sides.real,
            extract,
            num,
            metrics,
            reals=sides.reals,
            seed=asked.seed,
            truncation=asked.truncation,
            force=True,
            keep=tests_copying(sides) or bool(sides.classes),
            private=sides.private,
            ranks=ranks,
            progress=progress,
        )


def tests_copying(sides: Sides) -> bool:
    """Whether the run has held images out, which nobody can have copied."""
    return sides.reals != "given" and len(sides.real.held_out) > 1


def seen_of_run(sides: Sides, judge: Judge, ranks: Ranks) -> tuple[Seen, Seen] | None:
    """What is seen of the images that a run was trained on and of those held out, where G is tested for copying."""
    if not tests_copying(sides):
        return None
    with progress_of("the images trained on and held out", ranks) as progress:
        train, held_out = (judge.real if which == sides.reals else judge.look_at(which, progress) for which in OF_A_RUN)
    return train, held_out


def with_classes(report: Report, sides: Sides, judge: Judge, fake: Seen, G: Generator | None) -> Report:
    """The report with the distance in each class, and the mean of these among the scores, where there are classes."""
    classes = of_classes(sides, judge, fake)
    if not classes:
        return report
    mean, how = mean_distance(classes.found), {"classes": len(classes.found)}
    score = judge.score(f"{classes.metric}, mean of the classes", mean, "lower", fake, G, how)
    return replace(report, classes=classes, scores=(*report.scores, score))


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


def check_enough(metrics: Sequence[str], sides: Sides, num_real: int, num: int) -> None:
    """Raises `UserError` where either side has fewer images than a metric takes, and names it."""
    for name in metrics:
        both = zip((sides.against, sides.what), (num_real, num), METRICS[name].fewest, strict=True)
        for side, there, fewest in both:
            if there < fewest:
                raise UserError(
                    f"{side}: {there:,} image{'s' if there > 1 else ''}, and the metric {name} takes {fewest} or more: "
                    "add some, or name other metrics with --metrics"
                )


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
