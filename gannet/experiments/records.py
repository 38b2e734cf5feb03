"""Runs as they lie on the disk: their settings, their curves, and which of them differ in the seed alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.config import CONVERTER, Recipe, amount, read_recipe
from gannet.errors import UserError
from gannet.evaluation.protocol import Score
from gannet.sessions import holds_run, is_locked
from gannet.training.pictures import read_stats, standing

FREE = (
    *("name", "source", "about", "seed", "data.source", "data.other", "data.cache", "train.device", "train.metric"),
    *("train.extractor", "train.evaluate_every", "train.evaluate_num", "checkpoints.", "samples.", "stats."),
)
"""Settings that do not change what is trained, and beginnings of their names."""
MOST_IN_LABEL = 2
ROUNDING = 1e-6  # kimg
State = Literal["finished", "running", "stopped"]
SAME = 0.25  # of the way from one evaluation to the next


@dataclass(frozen=True)
class Measured:
    """One metric while a run went on: after how many kimg, and what it was."""

    kimg: np.ndarray
    scores: tuple[Score, ...]

    @cached_property
    def values(self) -> np.ndarray:
        return np.array([score.value for score in self.scores])

    @property
    def sign(self) -> int:
        """1 where lower is better, else -1."""
        return 1 if self.scores[0].better == "lower" else -1

    @property
    def best(self) -> int:
        """The number of the best value."""
        return int(np.argmin(self.sign * self.values))

    def reached(self, quality: float) -> float | None:
        """The kimg at which it was first as good; None where it never was."""
        good = np.flatnonzero(self.sign * self.values <= self.sign * quality)
        return float(self.kimg[good[0]]) if len(good) else None


def at_the_same_moments(found: Sequence[Measured]) -> list[Measured]:
    """Of each run, what was measured at moments at which all of them were; nothing where there is no such moment.

    Batches of another size come to the same moment a little earlier or later: it is the same within a quarter of
    the way from one evaluation to the next.
    """
    apart = min(float(np.median(np.diff(each.kimg, prepend=0.0))) for each in found)
    fewest = min(found, key=lambda each: len(each.kimg))
    distance = [np.abs(each.kimg - fewest.kimg[:, None]) for each in found]  # [moments, its own]
    same = np.all([each.min(1) <= apart * SAME + 1e-9 for each in distance], axis=0)
    which = [each.argmin(1)[same] for each in distance]
    return [Measured(each.kimg[i], tuple(each.scores[k] for k in i)) for each, i in zip(found, which, strict=True)]


@dataclass(frozen=True)
class Record:
    """What a run folder says of itself."""

    path: Path
    seed: int
    settings: Mapping[str, Any]
    """By dotted name, those that change what is trained."""
    stats: list[dict[str, Any]]
    metrics: Mapping[str, Measured]

    @property
    def kimg(self) -> float:
        """How far it came: a run may end when it is measured, between two lines of statistics."""
        ends = [each.kimg[-1] for each in self.metrics.values()]
        return float(max([line["kimg"] for line in self.stats[-1:]] + ends, default=0.0))

    evaluation_seconds: float = 0.0
    """Seconds that went into measuring samples."""
    total_kimg: float = 0.0
    """Its end."""
    is_running: bool = False
    """Whether a session is in its folder."""

    @property
    def state(self) -> State:
        """Whether it has come to its end."""
        if self.kimg >= self.total_kimg - ROUNDING:
            return "finished"
        return "running" if self.is_running else "stopped"

    @property
    def seconds(self) -> float:
        """Those of the training alone."""
        return trained(self.stats[-1]) if self.stats else 0.0

    def seconds_at(self, kimg: float) -> float:
        """Seconds of training alone until so many kimg were trained."""
        if not self.stats:
            return 0.0
        at, seconds = np.array([(line["kimg"], trained(line)) for line in self.stats]).T
        return float(np.interp(kimg, at, seconds))


def trained(line: Mapping[str, Any]) -> float:
    """The seconds of a line of stats.jsonl, without those that went into measuring samples."""
    return line.get("seconds", 0.0) - line.get("evaluation seconds", 0.0)


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone, by seed."""

    label: str
    records: tuple[Record, ...]

    @property
    def seeds(self) -> list[int]:
        return [record.seed for record in self.records]

    def measured(self, metric: str) -> list[Measured]:
        """The metric of each run. Raises `KeyError` where one lacks it."""
        return [record.metrics[metric] for record in self.records]

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """kimg `[M]` at which all runs were measured, and values `[runs, M]`; M may be 0."""
        found = at_the_same_moments(self.measured(metric))
        return found[0].kimg, np.array([each.values for each in found])


def read_run(path: Path) -> Record:
    """What stands in the folder; of a run that went back to a checkpoint not what that took back.

    Raises `UserError` where it holds no run that can be read.
    """
    if not holds_run(path):
        raise UserError(f"there is no run at {path}: gannet train makes one")
    try:
        recipe, facts = read_recipe(path / "recipe.toml")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    settings = {name: value for name, value in flat(CONVERTER.unstructure(recipe)) if not name.startswith(FREE)}
    settings |= {"images": facts.get("data_fingerprint", "")[:8], "init": facts.get("init", "none")}
    lines = read_stats(path / "stats.jsonl")
    kept = standing(lines)
    stats = [line for line in kept if line["type"] == "stats"]
    spent = max((line.get("evaluation seconds", 0.0) for line in lines), default=0.0)
    facts_of_end = {"total_kimg": end_of(recipe, lines), "is_running": is_locked(path)}
    return Record(path, recipe.seed, settings, stats, metrics_of(kept), spent, **facts_of_end)


def end_of(recipe: Recipe, lines: Sequence[Mapping[str, Any]]) -> float:
    """The kimg at which a run ends, also one made longer since, or ended early by the autopilot: what came last counts.

    0 if it is not known.
    """
    end = kimg_in(recipe.train.length)
    for line in lines:
        if line["type"] == "event" and line["event"] == "extended":
            end = kimg_in(line["settings"]["train"]["length"])
        elif line["type"] == "event" and line.get("change") == "stop":
            end = float(line["kimg"])
    return end


def kimg_in(length: str) -> float:
    """0 where the length is not said in kimg."""
    value, unit = amount(length)
    return value if unit == "kimg" else 0.0


def metrics_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    """The metrics in the lines of a stats.jsonl, by name; values that are not finite are left out."""
    found: dict[str, list[tuple[float, Score]]] = {}
    for line in lines:
        if line["type"] == "metric" and line["value"] is not None and np.isfinite(line["value"]):
            score = Score(**{name: line[name] for name in ("metric", "value", "low", "high", "better", "protocol")})
            found.setdefault(score.metric, []).append((line["kimg"], score))
    return {
        name: Measured(np.array([kimg for kimg, _ in points]), tuple(score for _, score in points))
        for name, points in found.items()
    }


def flat(table: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """The values in a table of tables, by dotted name."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", list(value) if isinstance(value, tuple) else value


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The runs at the paths; a folder that holds none counts as the runs in it, or in its folders.

    Raises `UserError` where there is none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(child for child in path.glob("*") if child.is_dir())
        below = [child for folder in inside if not holds_run(folder) for child in sorted(folder.glob("*"))]
        runs = [path] if holds_run(path) else [each for each in [*inside, *below] if holds_run(each)]
        if not runs:
            raise UserError(f"there is no run at {path}, nor in it: gannet train makes one")
        found |= dict.fromkeys(runs)
    return list(found)


def grouped(records: Sequence[Record]) -> list[Group]:
    """The runs, those that differ in their seed alone together, groups in the order in which they first come.

    Raises `UserError` where two are the same run, seed included.
    """
    together: dict[str, dict[int, Record]] = {}
    for record in records:
        group = together.setdefault(json.dumps(record.settings, sort_keys=True), {})
        if other := group.get(record.seed):
            raise UserError(
                f"{other.path} and {record.path} have the same settings and the same seed, {record.seed}: leave one out"
            )
        group[record.seed] = record
    runs = [tuple(group[seed] for seed in sorted(group)) for group in together.values()]
    return [Group(label, own) for label, own in zip(labels(runs), runs, strict=True)]


def labels(runs: Sequence[Sequence[Record]]) -> list[str]:
    """A short name for each group: what it differs in from the others where that is little, else its folder."""
    names = differences([own[0].settings for own in runs])
    if len(runs) > 1 and len(names) <= MOST_IN_LABEL:
        return [", ".join(f"{name} {said(values[i])}" for name, values in names.items()) for i in range(len(runs))]
    folders = [folder_name(own) for own in runs]
    before = [folders[:i].count(name) for i, name in enumerate(folders)]
    return [f"{name} ({num + 1})" if num else name for name, num in zip(folders, before, strict=True)]


def folder_name(runs: Sequence[Record]) -> str:
    """The name of a series: NAME for NAME/seed0 and for NAME-seed0, else that of the first folder."""
    path = runs[0].path
    if path.name == f"seed{runs[0].seed}":
        return path.resolve().parent.name
    return path.name.removesuffix(f"-seed{runs[0].seed}")


def differences(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings whose values differ, by name, with the value that each has; None where one has no such setting.

    Of parts with other names only those settings are told that all of them have.
    """
    names = dict.fromkeys(name for each in settings for name in each)
    found = {name: [each.get(name) for each in settings] for name in names}
    found = {name: values for name, values in found.items() if any(value != values[0] for value in values)}
    parts = tuple(name.removesuffix("name") for name in found if name.endswith(".name"))
    found = {
        name: values
        for name, values in found.items()
        if name.endswith(".name") or not name.startswith(parts) or None not in values
    }
    if any(name.startswith("data.") for name in found):  # which make other images of the same files
        found.pop("images", None)
    return found


def said(value: Any) -> str:
    """A setting's value as a person writes it."""
    if isinstance(value, list):
        return " ".join(said(each) for each in value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
