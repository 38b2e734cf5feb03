"""What a generator's config.json and the run around it say for the card: no paths, and no names of files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gannet.config import Recipe, changed, read_recipe, to_toml
from gannet.data import SOURCES
from gannet.evaluating.report import in_figures, told
from gannet.evaluation.deception import RATINGS, deception, read_choices
from gannet.evaluation.protocol import Score
from gannet.generation.load import BACK
from gannet.hub import is_address
from gannet.networks.folder import read_network
from gannet.sessions import holds_run
from gannet.training.best import FOLDER as BEST
from gannet.training.pictures import read_stats

REPORT = "report.json"


@dataclass(frozen=True)
class Measured:
    """Scores, and of which moment they are."""

    scores: tuple[Score, ...]
    when: str

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Metric, value, interval, which way is better, and when it was measured."""
        return [(score.metric, *in_figures(score), score.better, self.when) for score in self.scores]

    def protocols(self) -> list[str]:
        """How they were had, in words."""
        return list(told(self.scores)) if self.scores else []


@dataclass(frozen=True)
class About:
    """A generator that is to be published, and what its run knows; without a run only what its folder says."""

    config: Mapping[str, Any]
    num_parameters: int
    recipe: Recipe | None = None
    facts: Mapping[str, Any] | None = None
    measured: tuple[Measured, ...] = ()
    copying: str | None = None
    """What gannet evaluate found on whether it copies."""
    judged: Mapping[str, Any] | None = None
    """How often people took its pictures for real."""

    @property
    def is_private(self) -> bool:
        return self.recipe is not None and self.recipe.data.private

    @property
    def source(self) -> str:
        """The name of the data where everybody can have it; else nothing, since it is a path."""
        source = self.recipe.data.source if self.recipe else ""
        return source if source in SOURCES.rows or is_address(source) else ""

    def toml(self) -> str:
        """All settings, without paths."""
        if self.recipe is None:
            return ""
        data = changed(self.recipe, "data", source=self.source, other="", group_by="", cache="")
        return to_toml(changed(data, "train", extractor=Path(self.recipe.train.extractor).name))


def about(source: Path) -> About:
    """What there is to say of the generator in a folder or a file. Raises `UserError` where it cannot be read."""
    config, weights = read_network(source)
    found = About(config, sum(value.numel() for value in weights.values()))
    places = [source.parent, source.parent.parent] if source.is_dir() and source.name in ("generator", BACK) else []
    is_best = source.parent.name == BEST
    home = next((place for place in places[: 1 + is_best] if holds_run(place)), None)
    if home is None:
        return found
    recipe, facts = read_recipe(home / "recipe.toml")
    measured, copying = [of_training(home, config.get("kimg", 0.0))], None
    if said := newest_report(home, config["sha256"]):
        measured.insert(0, Measured(scores_of(said["scores"]), "by gannet evaluate"))
        copying = sentence_of(said.get("copying"))
    found = replace(found, recipe=recipe, facts=facts, copying=copying, judged=judged(home, config.get("kimg", 0.0)))
    return replace(found, measured=tuple(each for each in measured if each.scores))


def of_training(run: Path, kimg: float) -> Measured:
    """Of each metric that was measured while the run trained, the last value up to the weights that are published."""
    lines = {}
    for line in read_stats(run / "stats.jsonl"):
        if line["type"] == "metric" and line.get("kimg", 0.0) <= kimg:
            lines[line.get("metric")] = line
    newest = max((line.get("kimg", 0.0) for line in lines.values()), default=0.0)
    return Measured(scores_of(lines.values()), f"while training, at {newest:g} kimg")


def judged(run: Path, kimg: float) -> dict[str, Any] | None:
    """What raters in the studio chose between images of these weights and real ones; None where nobody did."""
    try:
        choices = read_choices(run / RATINGS)
    except OSError:
        return None
    return deception(own) if (own := [line for line in choices if math.isclose(line["kimg"], kimg)]) else None


def scores_of(lines: Any) -> tuple[Score, ...]:
    """Those lines that hold a finite number and its protocol."""
    names = Score.__dataclass_fields__
    found = []
    for line in lines:
        if isinstance(line, dict) and all(line.get(name) is not None for name in names):
            found.append(Score(**{name: line[name] for name in names}))
    return tuple(found)


def newest_report(run: Path, weights: str) -> dict[str, Any] | None:
    """What the newest report of gannet evaluate in the run's folder says that is of the weights with this SHA-256."""
    for path in sorted(run.rglob(REPORT), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and isinstance(found.get("scores"), list) and found.get("weights") == weights:
            return found
    return None


def sentence_of(copying: Any) -> str | None:
    """The verdict of the report in words."""
    if not isinstance(copying, dict) or not isinstance(copying.get("sentence"), str):
        return None
    return " ".join(filter(None, (copying["sentence"], copying.get("repetition"))))
