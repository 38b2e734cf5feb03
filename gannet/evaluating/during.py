"""Measuring a run while it goes on: a listener that hands back metrics of its samples."""

import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from gannet.config import Recipe
from gannet.data.cache import cache_folder
from gannet.display import counted
from gannet.errors import UserError, one_line
from gannet.evaluating.judge import Judge, refuse_few
from gannet.evaluating.measures import METRICS, known, names_of
from gannet.evaluation.extractors import Extractor, open_extractor
from gannet.evaluation.protocol import Score
from gannet.generation.load import Generator, generator_of
from gannet.networks import TRANSLATORS
from gannet.training.engine import out_of_memory
from gannet.training.run import Run, Snapshot


class Evaluating:
    """Has the generator of a run judged when it is time to; the training is not touched, nor its random numbers.

    Where that fails the run goes on, and an event in stats.jsonl says why.
    """

    def __init__(self, run: Run, judge: Callable[[Generator], Sequence[Score]]) -> None:
        self.run, self.judge = run, judge

    def on_stats(self, line: Mapping[str, Any]) -> None:
        """What others show."""

    def on_tick(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """A line of each score, where it is time to measure."""
        if not snapshot.evaluate:
            return []
        try:
            scores = self.judge(self.generator(snapshot))
        except Exception as error:
            if not isinstance(error, UserError | OSError) and not out_of_memory(error):
                raise
            reason = "out of memory" if out_of_memory(error) else one_line(error)
            print(f"not measured at {snapshot.cur_nimg / 1000:g} kimg, and training goes on: {reason}")
            return [{"type": "event", "event": "not measured", "reason": reason}]
        return [{"type": "metric", **score.to_dict()} for score in scores]

    def generator(self, snapshot: Snapshot) -> Generator:
        """What samples at this moment: a copy, since the one that learns must stay in the mode that it is in."""
        device = self.run.training.engine.device
        network = copy.deepcopy(snapshot.samplers["G"]).eval().requires_grad_(False)
        return generator_of(network, self.run.describe("G"), device, self.run.path / "generator")

    def close(self) -> None:
        """Nothing is held open."""


def extractor_for(recipe: Recipe, device: torch.device, allow_code: bool = False) -> Extractor:
    """What samples are measured with while `recipe` trains, ready before it starts.

    Raises `UserError` where the extractor cannot be had or does not give the metric, and where the run makes no
    single images from noise.
    """
    if recipe.G.name in TRANSLATORS.rows or recipe.data.kind != "images":
        makes = "clips" if recipe.data.kind == "clips" else "images of images"
        raise UserError(
            f"--train.evaluate-every measures images made from noise, and '{recipe.name}' makes {makes}: leave it out,"
            " and use gannet evaluate on the run"
        )
    with counted("loading the extractor") as progress:
        asked = (recipe.train.extractor, device, cache_folder(), allow_code, progress)
        extract = open_extractor(*asked, option="--train.extractor")
    (metric,) = names_of([recipe.train.metric], extract)
    if METRICS[metric].needs == "w":
        raise UserError(
            f"--train.metric {recipe.train.metric} is best where G has collapsed, and no measure for the best weights:"
            f" choose another, and ask for it with gannet evaluate --metrics {recipe.train.metric}"
        )
    return extract


def check_enough(recipe: Recipe, num_real: int) -> None:
    """Raises `UserError` where so many real images are too few for the metric of `recipe`."""
    refuse_few([known(recipe.train.metric)], recipe.train.evaluate_num, num_real)


def evaluating(extract: Extractor, run: Run) -> Evaluating:
    """The listener that measures a run against the images that it is trained on. Raises `UserError` as `Judge` does."""
    recipe, began = run.training.recipe, time.monotonic()
    with counted("measuring the real images") as progress:
        judge = Judge(
            run.training.loader.dataset,
            extract,
            recipe.train.evaluate_num,
            [recipe.train.metric],
            private=recipe.data.private,
            progress=progress,
        )
    run.evaluation_seconds += time.monotonic() - began

    def judged(G: Generator) -> list[Score]:
        # In a terminal the display of the run says so, and leaves no room for a bar.
        with nullcontext() if sys.stdout.isatty() else counted("measuring the samples") as progress:
            return judge(G, progress)

    return Evaluating(run, judged)
