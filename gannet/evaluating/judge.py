"""Who measures generators and folders against the same real images: one look at each, and every score from that."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gannet.data.dataset import Dataset
from gannet.data.pool import Progress
from gannet.errors import UserError
from gannet.evaluating.measures import DEFAULT, METRICS, Against, Both, made_by, names_of, title, versions
from gannet.evaluating.reals import MOST_REALS, Images, Seen, look, look_once, refuse_nan
from gannet.evaluating.sides import Reals
from gannet.evaluation import extractors
from gannet.evaluation.estimate import Estimate, places
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.pairs import Better
from gannet.evaluation.protocol import Protocol, Score
from gannet.generation.load import Generator
from gannet.training.ranks import ALONE, Ranks

ENOUGH = 2048  # images on either side, below which a Frechet distance says little
SEED = 0


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
        facts = {"data": self.dataset.pixels, "part": part, "shape": list(images.shape[1:])}
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
        protocol = self.protocol(fake.num, G, {"reals": self.reals, "real images": self.real.num}, more)
        return Score(metric, estimate.value, estimate.low, estimate.high, better, protocol)

    def protocol(self, num: int, G: Generator | None, reals: Protocol, more: Protocol) -> Protocol:
        """Of `num` images by the extractor: which `reals` count, how the images were made, and what else counts."""
        return {**self.extract.protocol, **self.protocol_of_images(num, G, reals), **more, **versions()}

    def protocol_of_images(self, num: int, G: Generator | None, reals: Protocol) -> Protocol:
        """What does not depend on who looks at the images."""
        size, data = f"{self.side}x{self.side}", self.dataset.pixels[:16]
        made = made_by(G, num, self.seed, self.truncation) if G else {"generated images": num}
        return {"size": size, "data": data, **reals, **made}


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
