"""Reads logs: Gannet's own runs, and other people's CSV, JSON lines and TensorBoard event files.

A log of a million lines is read in a second: of many lines of JSON evenly chosen ones are parsed, and all that
hold a metric or something that is not finite.
"""

import contextlib
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gannet.diagnosis import columns
from gannet.diagnosis.series import SHORT, Log, Series
from gannet.diagnosis.tables import ABSENT, Columns, cell, in_utf8, of_csv
from gannet.errors import UserError, one_line

MANY = 40_000  # lines of JSON: more are thinned out
RECALL = "recall"  # the one metric of which more is better that a detector reads
RARE = (b"fid", b"kid", b"NaN", b"Infinity")  # what a line that is left out must not hold
LOOKED = "sample mean"  # what a run's line of a look at its samples has, and no other
RETURN = "autopilot"  # the event of a run that has gone back to an earlier moment, and maybe changed a setting
CHANGE = f'"event": "{RETURN}"'.encode()
COUNTERS = ("kimg", "iteration", "seconds", "evaluation seconds", "skipped")  # what a run's lines count
EXTENDED = b'"event": "extended"'  # of a run that `gannet resume` has made longer or shorter
RARE_IN_RUNS = (b'"metric"', b"null", f'"{LOOKED}"'.encode(), CHANGE, EXTENDED)
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of a line that a crash has left, or that no run of ours has written."""
EVENTS = "tfevents"


def open_log(path: Path) -> Log:
    """The log of a run folder, or in a file. Raises `UserError` where there is none, or nothing known in it."""
    if path.is_dir():
        if (path / "stats.jsonl").is_file():
            return of_run(path)
        if found := sorted(path.glob(f"*{EVENTS}*")):
            return of_events(found, path)
        raise UserError(f"{path} is no run and has no TensorBoard events: name a run folder or a log file")
    if not path.is_file():
        raise UserError(f"there is no run or log at {path}")
    if EVENTS in path.name:
        return of_events([path], path)
    if path.name == "stats.jsonl":
        return of_run(path.parent)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    data = in_utf8(data, path)
    if not data.strip():
        raise UserError(f"{path} is empty")
    begins = data.lstrip()[:1]
    if begins == b"[" or (begins == b"{" and is_one_value(data.strip())):
        return to_log(of_whole_json(data, path), path)
    return to_log(of_json(data) if begins == b"{" else of_csv(data, path), path)


def of_run(run: Path, lines: bytes | None = None) -> Log:
    """A run's own statistics by their own names, its settings, and how long it is to be; `lines` are some of them."""
    data = (run / "stats.jsonl").read_bytes() if lines is None else lines
    found = of_json(data, RARE_IN_RUNS)
    if "kimg" not in found:
        raise UserError(f"{run / 'stats.jsonl'} has no statistics yet: let the run go on")
    settings = settings_of(run / "recipe.toml") | changed_settings(data)
    return replace(checked(in_kimg(found, settings, kimg_of(settings)), run), weights=weights_of(run))


def weights_of(run: Path) -> dict[str, float]:
    """Where weights of a run are kept, each with its kimg: the best, and its checkpoints."""
    found = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found["best"] = float(json.loads((run / "best" / "metric.json").read_text("utf-8"))["kimg"])
    for file in sorted((run / "checkpoints").glob("kimg*.pt")):
        with contextlib.suppress(ValueError):
            found[f"checkpoints/{file.name}"] = float(file.stem.removeprefix("kimg"))
    return found


def log_of(lines: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], kimg: float) -> Log:
    """The log of a run of so many kimg, from lines of its stats.jsonl in the order of their times."""
    found = of_lines(enumerate(lines))
    return in_kimg(found, settings, kimg) if "kimg" in found else Log({}, "kimg", kimg, settings)


def in_kimg(found: Columns, settings: Mapping[str, Any], kimg: float) -> Log:
    named = {name: column for name, column in found.items() if name not in COUNTERS}
    named |= {known: named.pop(name) for name in list(named) if (known := columns.meaning(name)) in columns.METRICS}
    return Log(by_time(found["kimg"], named), "kimg", kimg, settings)


def settings_of(path: Path) -> dict[str, Any]:
    """A recipe's settings by their dotted names; none where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return dict(flat(tomllib.loads(path.read_text("utf-8"))))
    return {}


def changed_settings(data: bytes) -> dict[str, Any]:
    """The settings that autopilot or a new end have changed meanwhile, by the events among a run's lines."""
    found: dict[str, Any] = {}
    for place in sorted(place for event in (CHANGE, EXTENDED) for place in places_of(event, data)):
        start, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
        with contextlib.suppress(*UNREADABLE):
            found |= dict(flat(json.loads(data[start : end if end >= 0 else len(data)])["settings"]))
    return found


def kimg_of(settings: Mapping[str, Any]) -> float:
    """How long a run is to be; 0 where its settings do not say it in kimg."""
    number, unit = str(settings.get("train.length", "")).partition(" ")[::2]
    with contextlib.suppress(ValueError):
        return float(number) if unit == "kimg" and math.isfinite(float(number)) else 0.0
    return 0.0


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"optim": {"G": {"lr": 1}}}` as `("optim.G.lr", 1)`."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def of_json(data: bytes, rare: tuple[bytes, ...] = RARE) -> Columns:
    """The numbers of JSON lines by their names, as `of_lines` has them."""
    return of_lines(parsed(chosen_lines(data, rare)))


def is_one_value(data: bytes) -> bool:
    """Whether JSON is no lines of it: there is one alone, or the first is not whole, and not cut off by a crash."""
    first, _, others = data.partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return bool(others) and not others.lstrip().startswith(b"{")
    return not others and b"[" in first


def of_whole_json(data: bytes, path: Path) -> Columns:
    """A file that is one JSON value: a list of lines, or a list of numbers by each name. Raises `UserError`."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not whole as JSON: {one_line(error)}") from error
    if isinstance(found, dict):
        lists = {name: values for name, values in found.items() if isinstance(values, list)}
        num = max((len(values) for values in lists.values()), default=0)
        found = [{name: values[i] for name, values in lists.items() if i < len(values)} for i in range(num)]
    return of_lines((i, line) for i, line in enumerate(found) if isinstance(line, dict))


def parsed(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, text in lines:
        with contextlib.suppress(ValueError, RecursionError):  # what a crash has left
            line = json.loads(text)
            if not isinstance(line, dict):
                continue
            if line.get("type", "stats") in ("stats", "metric") or line.get("event") == RETURN:
                yield number, line


def of_lines(lines: Iterable[tuple[int, Mapping[str, Any]]]) -> Columns:
    """The numbers of lines by their names; those of nested tables by `table/name`, or `table` for their mean.

    In the lines of a run, null is a value that was not finite; elsewhere it is none.
    """
    found: dict[str, tuple[list[int], list[float]]] = {}
    for number, line in lines:
        broken = float("nan") if line.get("type") == "stats" else None
        for name, value in measured(line).items():
            if isinstance(value, dict):
                inner = {"": value["mean"]} if "mean" in value else {f"/{key}": v for key, v in value.items()}
            else:
                inner = {"": value}
            for rest, one in inner.items():
                one = broken if one is None else number_in(one) if isinstance(one, str) else one
                if isinstance(one, (int, float)):
                    numbers, values = found.setdefault(name + rest, ([], []))
                    numbers.append(number)
                    values.append(one)
    return {name: (np.array(numbers), np.array(values, dtype=float)) for name, (numbers, values) in found.items()}


def number_in(text: str) -> float | None:
    """As some loggers write what is not finite, or all numbers."""
    value = cell(text)
    return None if value == ABSENT else value


def measured(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line as it is; of a run's metric its value by the name of its kind, where it is a distance or the recall.

    Of a return only when it was: a trifle after the moment itself, whose own line still counts.
    """
    if line.get("event") == RETURN and isinstance(line.get("kimg"), (int, float)):
        return {"kimg": math.nextafter(line["kimg"], math.inf)}
    if not isinstance(metric := line.get("metric"), str):
        return line
    known = columns.metric(metric) if line.get("better") == "lower" else RECALL * (columns.first_word(metric) == RECALL)
    return {"kimg": line.get("kimg"), known: line.get("value")} if known else {}


def chosen_lines(data: bytes, rare: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """All lines, or where they are many, some of everywhere and the rare ones, each with its place in the file."""
    places = [0]
    if data.count(b"\n") <= MANY:
        while (end := data.find(b"\n", places[-1])) >= 0:
            places.append(end + 1)
    else:
        evenly = range(0, len(data), len(data) // MANY)
        rarely = (place for needle in rare for place in places_of(needle, data))
        places = sorted({data.rfind(b"\n", 0, place) + 1 for place in chain(evenly, rarely)})
    for place in places:
        end = data.find(b"\n", place)
        yield place, data[place : end if end >= 0 else len(data)]


def places_of(needle: bytes, data: bytes) -> Iterator[int]:
    """Where these letters are, once a line, for some lines: what is everywhere is not rare."""
    place = data.find(needle)
    for _ in range(MANY):
        if place < 0:
            return
        yield place
        end = data.find(b"\n", place)
        place = data.find(needle, end) if end >= 0 else -1


def of_events(paths: list[Path], path: Path) -> Log:
    """The scalars of TensorBoard's event files."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise UserError("TensorBoard's files need its package: pip install 'gannet-gan[track]'") from error
    found: dict[str, tuple[list[float], list[float]]] = {}
    for each in paths:
        for event in EventFileLoader(str(each)).Load():
            for value in event.summary.value:
                numbers = tensor_util.make_ndarray(value.tensor) if value.HasField("tensor") else np.zeros(0)
                if numbers.size == 1 and numbers.dtype.kind in "fiu":
                    steps, values = found.setdefault(value.tag, ([], []))
                    steps.append(float(event.step))
                    values.append(float(numbers.reshape(())))
    series = {}
    for name, known in named({name: (np.array(s), np.array(v)) for name, (s, v) in found.items()}).items():
        kept = last_of_each(known[0])
        series[name] = Series.of(known[0][kept], known[1][kept])
    return checked(Log(series, "step"), path)


def to_log(found: Columns, path: Path) -> Log:
    """The known ones of the columns, over the best of those that say when."""
    known = named(found)
    for name in columns.times(found):
        rows, when = found[name]
        if np.isfinite(when).all() and len(np.unique(when[last_of_each(when)])) > 0.5 * len(when):
            return checked(Log(by_time((rows, when), known), columns.unit_of(name)), path)
    last = max((int(rows[-1]) for rows, _ in known.values() if len(rows)), default=0)
    every = np.arange(last + 1)
    return checked(Log(by_time((every, every + 1.0), known), "line"), path)


def named(found: Columns) -> Columns:
    """The columns by Gannet's names. What D says of reals and fakes is told by its values: probability or logit."""
    known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, column in found.items():
        if (meaning := columns.meaning(name)) is not None and len(column[0]):
            known.setdefault(meaning, column)
    if are_terms(known):
        known = {name: column for name, column in known.items() if name not in columns.RATINGS}
    likely = all(v.min() >= 0 and v.max() <= 1 for v in finite(known, columns.RATINGS))
    for old, new in zip(columns.RATINGS, columns.PROBABILITIES if likely else columns.LOGITS, strict=True):
        if old in known:
            known[new] = known.pop(old)
    for name in columns.ACCURACIES:
        if any(v.max() > 1.5 for v in finite(known, (name,))):
            known[name] = (known[name][0], known[name][1] / 100)
    return known


def finite(known: Columns, names: tuple[str, ...]) -> list[np.ndarray]:
    """The finite values of those of the columns that have any."""
    values = [known[name][1][np.isfinite(known[name][1])] for name in names if name in known]
    return [v for v in values if len(v)]


def are_terms(known: Columns) -> bool:
    """Whether `d_real` and `d_fake` are D's losses on reals and on fakes: their sum or mean is D's loss."""
    values = finite(known, (*columns.RATINGS, "loss D"))
    if len(values) != 3 or len({len(v) for v in values}) != 1:
        return False
    total, loss = values[0] + values[1], values[2]
    return any(np.allclose(total * share, loss, rtol=1e-3, atol=1e-4) for share in (1.0, 0.5))


def by_time(clock: tuple[np.ndarray, np.ndarray], found: Columns) -> dict[str, Series]:
    """Each column over the times of its lines; lines that a resumed run has written anew count once."""
    kept = last_of_each(clock[1])
    lines, times = clock[0][kept], clock[1][kept]
    series = {}
    for name, (rows, values) in found.items():
        place = np.minimum(np.searchsorted(lines, rows), max(len(lines) - 1, 0))
        there = lines[place] == rows if len(lines) else np.zeros(len(rows), bool)
        series[name] = Series.of(times[place[there]], values[there])
    return series


def last_of_each(times: np.ndarray) -> np.ndarray:
    """The numbers of the lines that no resumed run has written anew: a step back in time takes back what it passes."""
    if not len(times):
        return np.zeros(0, int)
    back = np.append(np.where(np.diff(times) < 0, times[1:], np.inf), np.inf)
    return np.flatnonzero(times < np.minimum.accumulate(back[::-1])[::-1])


def checked(log: Log, path: Path) -> Log:
    """Raises `UserError` where a log says nothing that a detector knows, or too little."""
    losses = [name for name in ("loss D", "loss G", *columns.METRICS) if name in log.series]
    if not losses:
        raise UserError(f"{path} has no losses that are known: name the columns step, d_loss and g_loss")
    longest = max(len(series) + len(series.broken) for series in log.series.values())
    measured = any(len(log.series.get(name, ())) >= 3 for name in columns.METRICS)
    broken = any(name.startswith("loss") and len(s.broken) and not len(s) for name, s in log.series.items())
    if longest < SHORT and not measured and not broken:
        raise UserError(f"{path} has {longest} lines, and a diagnosis needs {SHORT}: it needs a longer run")
    return log
