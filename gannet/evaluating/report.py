"""What was found, for a terminal, for a file, and for JSON."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from gannet.evaluation.copying import Copying
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.per_class import OfClass
from gannet.evaluation.protocol import Protocol, Score
from gannet.evaluation.usefulness import Usefulness
from gannet.files import write_text, write_with
from gannet.images import png
from gannet.tables import Section, Sections

PAIRS = "pairs.png"


@dataclass(frozen=True)
class Picture:
    """A picture of a report: its file, and what stands under it."""

    file: str
    caption: str
    image: Image


class Page(Sections):
    """A report in sections, with a picture perhaps."""

    most_rows = 10

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, ready for JSON."""

    @property
    @abstractmethod
    def picture(self) -> Picture | None:
        """What is to be looked at, if anything."""

    def parts(self) -> Iterator[str]:
        yield from super().parts()
        if self.picture:
            yield f"![{self.picture.caption}]({self.picture.file})"

    def write(self, out: Path) -> list[Path]:
        """Writes report.json, the picture where there is one, and, last, report.md; the paths."""
        files = [out / "report.json", *([out / self.picture.file] if self.picture else []), out / "report.md"]
        write_text(files[0], json.dumps(self.to_dict(), indent=2) + "\n")
        if self.picture:
            data = png(self.picture.image)
            write_with(files[1], lambda file: file.write(data))
        write_text(files[-1], str(self))
        return files


@dataclass(frozen=True)
class Classes:
    """The distance within each class, by a metric of that title."""

    metric: str
    names: tuple[str, ...]
    found: tuple[OfClass, ...]
    protocol: Protocol = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        classes = [{"name": self.names[one.label], **asdict(one)} for one in self.found]
        return {"metric": self.metric, "classes": classes, "protocol": dict(self.protocol)}


@dataclass(frozen=True)
class Report(Page):
    """What was measured, against what, and what came of it."""

    what: str
    against: str
    """Empty where no real image counts."""
    scores: tuple[Score, ...] = ()
    """Of several ranks the first alone has some."""
    notes: tuple[str, ...] = ()
    classes: Classes | None = None
    copying: Copying | None = None
    copying_protocol: Protocol = field(default_factory=dict)
    copying_not_tested: str = ""
    """Why it was not, where it was not."""
    usefulness: Usefulness | None = None
    usefulness_protocol: Protocol = field(default_factory=dict)
    pairs: Image | None = None
    """Samples, each beside the training image that is nearest to it."""
    files: tuple[str, ...] = ()
    """Names of these training images; none of a private run."""
    weights: str = ""
    """The SHA-256 of the generator's weights; empty of a folder."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "weights": self.weights,
            "against": self.against,
            "scores": [score.to_dict() for score in self.scores],
            "notes": list(self.notes),
            "classes": self.classes and self.classes.to_dict(),
            "copying": self.copying
            and {
                **self.copying.to_dict(),
                "training_files": list(self.files),
                "protocol": dict(self.copying_protocol),
            },
            "copying_not_tested": self.copying_not_tested or None,
            "usefulness": self.usefulness and {**self.usefulness.to_dict(), "protocol": dict(self.usefulness_protocol)},
        }

    def sections(self) -> Iterator[Section]:
        rows = [(score.metric, *in_figures(score), score.better) for score in self.scores]
        header = ("metric", "value", "95% interval", "better")
        title = f"{self.what} against {self.against}" if self.against else self.what
        yield Section(title, header, tuple(rows), self.notes)
        yield Section("What was compared", lines=tuple(told(self.scores)))
        if self.classes:
            yield by_class(self.classes)
        if self.copying:
            yield copies(self.copying, self.files, self.beside_scores(self.copying_protocol))
        elif self.copying_not_tested:
            yield Section("Does it copy?", lines=(self.copying_not_tested,))
        if self.usefulness:
            yield use(self.usefulness, self.beside_scores(self.usefulness_protocol))

    def beside_scores(self, protocol: Protocol) -> str:
        """What a protocol says that is not said of all scores, in words."""
        shared = common(self.scores)
        return in_words({name: value for name, value in protocol.items() if shared.get(name) != value})

    @property
    def picture(self) -> Picture | None:
        caption = "Samples, left, each beside the training image that is nearest to it"
        return Picture(PAIRS, caption, self.pairs) if self.pairs else None


def in_figures(value: Score | Estimate) -> tuple[str, str]:
    """A value and its interval."""
    return f"{value.value:.4g}", f"{value.low:.4g} to {value.high:.4g}"


def told(scores: Sequence[Score]) -> Iterator[str]:
    """What all protocols have in common, and then what each metric adds."""
    shared = common(scores)
    yield in_words(shared)
    added: dict[str, list[str]] = {}
    for score in scores:
        if own := in_words({name: value for name, value in score.protocol.items() if name not in shared}):
            added.setdefault(own, []).append(score.metric)
    yield from (f"{', '.join(metrics)}: {own}" for own, metrics in added.items())


def in_words(protocol: Protocol) -> str:
    return "; ".join(f"{name} {value}" for name, value in protocol.items())


def common(scores: Sequence[Score]) -> Protocol:
    """What stands in all protocols alike."""
    first, *others = (score.protocol for score in scores)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def copies(found: Copying, files: Sequence[str], how: str) -> Section:
    """Whether it copies, and the nearest pairs; `files` are the names of their training images, if they are told."""
    header = ("sample", "training image", "distance", "of that to the next image", "held-out images as near")
    names = files or [str(pair.training) for pair in found.pairs]
    rows = tuple(
        (str(pair.sample), name, f"{pair.distance:.4g}", f"{pair.nearness:.3f}", f"{pair.held_out:.1%}")
        for pair, name in zip(found.pairs, names, strict=True)
    )
    return Section("Does it copy?", header, rows, (found.sentence, found.repetition, how))


def use(found: Usefulness, how: str) -> Section:
    """What the samples are worth to a classifier."""
    header = ("a classifier trained on", "accuracy", "95% interval", "balanced accuracy", "95% interval")
    sets = {
        f"{found.num_real:,} real images": found.real,
        f"{found.num_generated:,} generated images": found.generated,
        "both": found.both,
        "both less real": found.gain,
    }
    rows = tuple((name, *in_figures(each.accuracy), *in_figures(each.balanced)) for name, each in sets.items())
    return Section("Is it of use?", header, rows, (found.sentence, how))


def by_class(classes: Classes) -> Section:
    """Each class by itself."""
    header = ("class", "real", "generated", classes.metric, "95% interval", "variety of real", "of generated")
    rows = tuple(
        (
            classes.names[one.label],
            f"{one.num_real:,}",
            f"{one.num_fake:,}",
            *in_figures(one.distance),
            f"{one.diversity_real:.4g}",
            f"{one.diversity_fake:.4g}",
        )
        for one in classes.found
    )
    missing = sorted(set(range(len(classes.names))) - {one.label for one in classes.found})
    lines = ("Variety: how far two images of a class are from each other in the extractor's space.",)
    if missing:
        lines += (f"Too few images to measure: {', '.join(classes.names[label] for label in missing)}.",)
    return Section("Class by class", header, rows, lines)
