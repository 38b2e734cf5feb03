"""The best weights of a run so far, by what was measured of them: the folder `best/`.

It holds the checkpoint and the networks of that moment, and the line of stats.jsonl that they got. No run
goes on from it: `gannet sample RUN/best` samples from it.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gannet.files import whole_folder, write_text, write_with
from gannet.hub import NETWORK
from gannet.noted import NOTED

FOLDER = "best"
LINE = "metric.json"


def best_of(run: Path) -> dict[str, Any]:
    """The line of stats.jsonl that the weights in `best/` got; empty where there are none, or it cannot be read."""
    try:
        line = json.loads((run / FOLDER / LINE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return line if isinstance(line, dict) else {}


def is_better(line: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a measured value is better than the known one, or has none of its kind to be compared with.

    Numbers of another metric or protocol are not compared, and one that is not finite (None) is no better.
    """
    value, before = line["value"], known.get("value")
    if value is None or before is None or kind_of(line) != kind_of(known):
        return value is not None
    return value < before if line["better"] == "lower" else value > before


def kind_of(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What has to be the same in two lines for their values to be compared."""
    protocol = {name: value for name, value in line.get("protocol", {}).items() if name not in NOTED}
    return line.get("metric"), line.get("better"), protocol


def keep_best(run: Path, line: Mapping[str, Any], checkpoint: Path, folders: Iterable[str]) -> None:
    """Copies the newest checkpoint and networks of the run to `best/`, in the place of those before.

    A kill at any moment leaves the old ones or the new ones whole.
    """
    files = {checkpoint: checkpoint.name} | {
        run / folder / name: f"{folder}/{name}" for folder in folders for name in NETWORK
    }
    with whole_folder(run / FOLDER) as new:
        for file, name in files.items():
            with file.open("rb") as source:
                write_with(new / name, lambda target: shutil.copyfileobj(source, target))
        write_text(new / LINE, json.dumps(line, indent=2) + "\n")
