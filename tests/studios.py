"""Lines of made-up runs, and what the studio answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

Runs = Callable[..., Path]
Ask = Callable[..., TestClient]
PORT = 8765
ORIGIN = {"origin": f"http://127.0.0.1:{PORT}"}


def stats(num: int, **values: Callable[[int], float | None]) -> list[dict[str, Any]]:
    """Lines of a run, a tenth of a kimg each."""
    made = {"loss_D": lambda i: 1.0 + 0.01 * (i % 3), "loss_G": lambda i: 2.0 + 0.01 * (i % 5), **values}
    return [
        {"type": "stats", "kimg": (i + 1) / 10, "iteration": i + 1, "seconds": i + 1.0}
        | {name.replace("_", " "): value(i) for name, value in made.items()}
        for i in range(num)
    ]


def written(lines: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def error(answer: Any, code: int) -> str:
    """The one line of an answer that says no."""
    assert answer.status_code == code, answer.text
    line = answer.json()["error"]
    assert line and "\n" not in line
    return line
