"""Images made of noise, or those of a folder, against real ones: one pass over each, and every number from that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gannet.data.dataset import Dataset
from gannet.data.sources import shown
from gannet.errors import UserError
from gannet.evaluating.beyond import check_use, copies, use
from gannet.evaluating.judge import ENOUGH, SEED, Judge, of_generator, too_few
from gannet.evaluating.measures import (
    DEFAULT,
    METRICS,
    Against,
    Both,
    are_of_paths,
    known,
    names_of,
    of_path_length,
    title,
    versions,
)
from gannet.evaluating.reals import NOTHING, Images, Seen
from gannet.evaluating.report import Classes, Report
from gannet.evaluating.sides import Reals, Sides, progress_of
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import frechet
from gannet.evaluation.kid import kid
from gannet.evaluation.per_class import by_class, diversity, mean_distance
from gannet.generation.load import Generator
from gannet.training.ranks import ALONE, Ranks

FEWEST, MOST = 2048, 10_000  # generated images, where nobody says how many
SAME = 0.01  # of the diversity of the reals: below it generated images are one and the same
OF_A_RUN: tuple[Reals, Reals] = "trained on", "held out"

Made = Generator | None
"""What made the images, where they were not found in a folder."""


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
        check_path([known(name) for name in asked.metrics], sides)
        return of_paths(sides, num, asked, ranks)
    chosen, notes = fitting(names_of(asked.metrics or default(extract), extract), num, num_real, asked.force)
    if asked.num and num_real < num and isinstance(sides.fake, Generator):
        notes.append(f"{num:,} generated images stand against {num_real:,} real ones: there are no more of these.")
    if isinstance(sides.fake, Dataset) and sides.fake.pixels == sides.real.pixels:
        notes.insert(0, "Warning: both sides are the very same images, so that the numbers say nothing of a generator.")
    check_path(chosen, sides)
    check_enough(chosen, sides, num_real, num)
    if asked.useful:
        check_use(sides)
    judge = judge_of(sides, extract, num, chosen, asked, ranks)
    G = judge.asked(sides.fake) if isinstance(sides.fake, Generator) else None
    images = judge.images(G) if G else sides.images(num)
    with progress_of("measuring the generated images", ranks) as progress:
        fake = judge.see(images, progress)
    of_a_run = seen_of_run(sides, judge, ranks)
    report = Report(sides.what, sides.against, notes=tuple(notes))
    if not ranks.first:
        return report
    report = replace(report, scores=tuple(judge.scores(fake, G)), notes=(*report.notes, *alike(judge.real, fake)))
    report = with_classes(report, sides, judge, fake, G)
    report = with_copying(report, sides, judge, fake, of_a_run, images, G)
    return with_use(report, sides, judge, images, G) if asked.useful else report


def alike(real: Seen, fake: Seen) -> list[str]:
    """What to say where all generated images are as good as one."""
    if diversity(fake.features) >= SAME * diversity(real.features):
        return []
    return [
        f"All {fake.num:,} generated images look alike: what made them has collapsed to one image. The intervals say "
        "how other real images would move the numbers, and nothing of other samples."
    ]


def with_copying(
    report: Report, sides: Sides, judge: Judge, fake: Seen, of_a_run: tuple[Seen, Seen] | None, images: Images, G: Made
) -> Report:
    """The report with the test for copying, or with why there is none."""
    if not of_a_run:
        return replace(report, copying_not_tested=why_untested(sides))
    found, picture = copies(sides, fake, *of_a_run, images)
    files = () if sides.private else tuple(shown(sides.real.names[pair.training]) for pair in found.pairs)
    counts = {"trained on": found.num_trained_on, "looked at": found.num_train, "held out": found.num_held_out}
    how = judge.protocol(fake.num, G, counts, {})
    return replace(report, copying=found, copying_protocol=how, pairs=picture, files=files)


def why_untested(sides: Sides) -> str:
    """Why nobody can say whether the samples are copies."""
    told = "Not tested: that takes images that a run has held out while it was trained, "
    if sides.reals == "given":
        is_folder = not isinstance(sides.fake, Generator)
        return told + ("and a folder has none." if is_folder else "so name the run alone, without DATA.")
    num = len(sides.real.held_out)
    more = "a larger --data.held-out" if num else "--data.held-out 0.1"
    return told + f"and this one holds out {num or 'none'}: train with {more}."


def with_use(report: Report, sides: Sides, judge: Judge, images: Images, G: Made) -> Report:
    """The report with what the samples are worth to a classifier."""
    found = use(sides, images, judge.num, judge.extract.device)
    counts = {"trained on": found.num_real, "held out": found.num_held_out, "labels": labels_of(sides.real)}
    how = judge.protocol_of_images(judge.num, G, counts)
    return replace(report, usefulness=found, usefulness_protocol={**how, **found.protocol, **versions()})


def labels_of(real: Dataset) -> str:
    """What tells the labels of the real images from others, beside their pixels."""
    return real.fingerprint[:16]


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
    with progress_of("measuring the real images", ranks) as progress:
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

    def seen(which: Reals) -> Seen:
        with progress_of(f"measuring the images {which}", ranks) as progress:
            return judge.real if which == sides.reals else judge.look_at(which, progress)

    train, held_out = map(seen, OF_A_RUN)
    return train, held_out


def with_classes(report: Report, sides: Sides, judge: Judge, fake: Seen, G: Made) -> Report:
    """The report with the distance in each class, and the mean of these among the scores, where there are classes."""
    classes = of_classes(sides, judge, fake)
    if not classes:
        return report
    mean, how = mean_distance(classes.found), {"classes": len(classes.found), "labels": labels_of(sides.real)}
    score = judge.score(f"{classes.metric}, mean of the classes", mean, "lower", fake, G, how)
    classes = replace(classes, protocol=score.protocol)
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
