"""The metrics by the names that --metrics takes: what each is called, needs and is computed by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch
from torch import Tensor

from gannet import __version__
from gannet.errors import UserError
from gannet.evaluating.reals import Seen
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import frechet, frechet_between
from gannet.evaluation.inception_score import SPLITS, inception_score
from gannet.evaluation.kid import SUBSETS, Kid
from gannet.evaluation.pairs import Better
from gannet.evaluation.path_length import EPSILON, path_length
from gannet.evaluation.perceptual import WEIGHTS, Lpips
from gannet.evaluation.prdc import DENSITY_K, PRECISION_K, density_coverage, precision_recall
from gannet.evaluation.protocol import Protocol
from gannet.generation.load import Generator

DEFAULT = ("frechet", "kid", "precision", "recall", "density", "coverage")
FRECHET = {"inception": "FID", "dinov2": "FD-DINOv2"}
PATHS = 16  # walked along at once

Found = Mapping[str, tuple[Estimate, Protocol]]
"""Numbers by the names of their metrics, with what each adds to the protocol."""


@dataclass(frozen=True)
class Against:
    """What was seen of real images, and what every set of `num` generated ones is compared with alike."""

    seen: Seen
    num: int

    @cached_property
    def kid(self) -> Kid:
        """The kernel of the reals among themselves."""
        return Kid(self.seen.features, self.num)


@dataclass(frozen=True)
class Both:
    """What was seen of real and of generated images, and the G that made these, where one did, of z of `seed`."""

    reals: Against
    fake: Seen
    G: Generator | None
    seed: int

    @property
    def real(self) -> Seen:
        return self.reals.seen


@dataclass(frozen=True)
class Metric:
    """How it is had: metrics of one `family` come from one computation, of `fewest` real and generated images."""

    title: str
    family: Callable[[Both], Found]
    better: Better
    needs: Literal["gaussians", "features", "logits", "w"] = "features"
    fewest: tuple[int, int] = (2, 2)


def of_frechet(both: Both) -> Found:
    real, fake = both.real, both.fake
    if real.is_whole and fake.is_whole and real.num + fake.num < real.features.shape[1]:
        return {"frechet": (frechet(real.features, fake.features), {})}
    return {"frechet": (frechet_between(real.gaussian, fake.gaussian, real.features, fake.features), {})}


def of_kid(both: Both) -> Found:
    kid = both.reals.kid
    return {"kid": (kid(both.fake.features), {"subsets": f"{SUBSETS} of {kid.size}"})}


def of_precision_recall(both: Both) -> Found:
    precision, recall = precision_recall(both.real.features, both.fake.features)
    return {"precision": (precision, {"neighbours": PRECISION_K}), "recall": (recall, {"neighbours": PRECISION_K})}


def of_density_coverage(both: Both) -> Found:
    density, coverage = density_coverage(both.real.features, both.fake.features)
    return {"density": (density, {"neighbours": DENSITY_K}), "coverage": (coverage, {"neighbours": DENSITY_K})}


def of_inception_score(both: Both) -> Found:
    assert both.fake.logits is not None
    return {"is": (inception_score(both.fake.logits), {"splits": SPLITS})}


def of_path_length(both: Both) -> Found:
    """In w, of as many paths as images; a path has one class."""
    G = both.G
    if G is None or not G.has_w:
        raise UserError("the metric ppl is the path length in w, which this generator has not: leave it out")

    def w_of(zc: Tensor) -> Tensor:
        return G.w(zc[:, : G.z_dim], zc[:, G.z_dim :])

    def ends() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, both.fake.num, PATHS):
            num = min(PATHS, both.fake.num - start)
            c = G.one_hot(G.label_numbers(num, None, start))
            one, other = G.z(both.seed, 2 * start, 2 * num).chunk(2)
            yield torch.cat([one, c], 1), torch.cat([other, c], 1)

    how = {"perceptual distance": perceptual_distance(), "space": "w, full", "step": f"{EPSILON:g}"}
    return {"ppl": (path_length(ends(), w_of, G.images_of, Lpips(G.device), seed=both.seed), how)}


def perceptual_distance() -> str:
    """That of the path length, as a protocol says it: its package's version, and the hash in its weights' name."""
    try:
        known = version("lpips")
    except PackageNotFoundError:
        known = "not known"
    return f"LPIPS {known}, VGG-16 {WEIGHTS.removesuffix('.pth').partition('-')[2]}"


METRICS: Mapping[str, Metric] = {
    "frechet": Metric("Frechet distance", of_frechet, "lower", "gaussians"),
    "kid": Metric("KID", of_kid, "lower"),
    "precision": Metric("precision", of_precision_recall, "higher", fewest=2 * (PRECISION_K + 1,)),
    "recall": Metric("recall", of_precision_recall, "higher", fewest=2 * (PRECISION_K + 1,)),
    "density": Metric("density", of_density_coverage, "higher", fewest=(DENSITY_K + 1, 1)),
    "coverage": Metric("coverage", of_density_coverage, "higher", fewest=(DENSITY_K + 1, 1)),
    "is": Metric("Inception Score", of_inception_score, "higher", "logits"),
    "ppl": Metric("PPL", of_path_length, "lower", "w"),
}


ALSO = {"fid": ("frechet", "inception"), "fd-dinov2": ("frechet", "dinov2")}
"""Names of the field, each for a metric with one extractor alone."""


def known(name: str) -> str:
    """The name of a metric in the table, of any of its names. Raises `UserError` where there is none."""
    name = name.lower()
    found = ALSO[name][0] if name in ALSO else name
    if found not in METRICS:
        raise UserError(f"there is no metric '{name}': choose from {', '.join([*METRICS, *ALSO])}")
    return found


def are_of_paths(metrics: Sequence[str]) -> bool:
    """Whether the metrics, of which there are some, look at no feature, and so need no extractor."""
    return bool(metrics) and all(METRICS[known(name)].needs == "w" for name in metrics)


def made_by(G: Generator, num: int, seed: int, truncation: float | None) -> Protocol:
    """What a number of `num` images of a generator depends on, by name."""
    how = "none" if truncation is None else f"{truncation:g}"
    return {"generated images": num, "made at": f"{G.resolution}x{G.resolution}", "seed": seed, "truncation": how}


def versions() -> Protocol:
    """What a protocol notes besides."""
    return {"gannet": __version__, "torch": torch.__version__}


def names_of(metrics: Sequence[str], extract: Extractor) -> tuple[str, ...]:
    """The metrics, each once. Raises `UserError` for one that there is not, or not with this extractor."""
    found = [(known(name), name.lower()) for name in metrics]
    for name, asked in found:
        if asked in ALSO and ALSO[asked][1] != extract.name:
            raise UserError(
                f"{FRECHET[ALSO[asked][1]]} is the Frechet distance with --extractor {ALSO[asked][1]} alone: with "
                f"{extract.name} ask for frechet"
            )
        if METRICS[name].needs == "logits" and extract.name != "inception":
            raise UserError(
                f"the metric {name} is the {METRICS[name].title}, made of Inception's classes: take --extractor "
                "inception, or leave it out"
            )
    return tuple(dict.fromkeys(name for name, _ in found))


def title(name: str, extract: Extractor) -> str:
    """What a metric is called: FID, and KID without another word, are Inception's alone."""
    if name == "frechet" and extract.name in FRECHET:
        return FRECHET[extract.name]
    known = METRICS[name].title
    return f"{known} ({extract.name})" if name in ("frechet", "kid") and extract.name != "inception" else known
