"""Run folders made by hand, and trainings whose metrics are made up."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from runs import OPTIONS, Stop

from gannet import sessions
from gannet.cli import main
from gannet.config import overridden, to_toml
from gannet.recipes import recipe
from gannet.training import measure
from gannet.training import run as training_run
from gannet.training.build import completed
from gannet.training.ranks import Ranks
from gannet.training.run import Run, Snapshot

PROTOCOL = {"extractor": "pixels", "seed": 0, "gannet": "0.1.0"}


def metric_line(value: float | None, better: str = "lower", **protocol: str | int) -> dict[str, Any]:
    interval = {"low": value, "high": value}
    return {"metric": "KID", "value": value, **interval, "better": better, "protocol": {**PROTOCOL, **protocol}}


@pytest.fixture
def by_hand(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run of 4 kimg that took 10 seconds each, its losses, and its metric where `kid` has it by kimg."""

    def make(
        name: str,
        seed: int = 0,
        kid: Mapping[float, float | None] | None = None,
        settings: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        **metric: Any,
    ) -> Path:
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        named = {"seed": seed, "train.length": "4 kimg", "data.source": "../../images", **(settings or {})}
        told = {"data_fingerprint": "0123456789", "channels": 3, **(facts or {})}
        (path / "recipe.toml").write_text(to_toml(completed(overridden(recipe("dcgan-shapes"), named)), told), "utf-8")
        lines: list[dict[str, Any]] = []
        for i in range(1, 9):
            kimg = i / 2
            lines.append({"type": "stats", "kimg": kimg, "seconds": 10 * kimg, "loss D": 1.0 + seed, "D(x)": 0.5})
            if kid and kimg in kid:
                lines.append({"type": "metric", "kimg": kimg, **metric_line(kid[kimg], **metric)})
        (path / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return path

    return make


class Judge:
    """Hands back what a function makes of the run and the kimg, when it is time to measure."""

    def __init__(self, value: Callable[[Path, float], float], run: Run):
        self.value, self.path = value, run.path

    def on_stats(self, line: Mapping[str, Any]) -> None: ...

    def on_tick(self, snapshot: Snapshot) -> Sequence[Mapping[str, Any]]:
        kimg = snapshot.cur_nimg / 1000
        return [{"type": "metric", **metric_line(self.value(self.path, kimg))}] if snapshot.evaluate else []

    def close(self) -> None: ...


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path, float], float]], None]:
    """Runs are measured by a function of their folder and kimg; the machine is not, and no curves are drawn."""
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    monkeypatch.setattr(training_run, "save_curves", lambda lines, target: None)

    def by(value: Callable[[Path, float], float]) -> None:
        monkeypatch.setattr(sessions, "measuring", lambda recipe, engine, allow_code: partial(Judge, value))

    return by


@pytest.fixture
def sweep_by(
    pictures: Callable[..., Path], judged: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Callable[[Path, float], float]], Callable[..., int]]:
    """What runs a sweep on a few pictures, measured by a function of the run's folder and kimg; its exit status."""

    def by(value: Callable[[Path, float], float]) -> Callable[..., int]:
        monkeypatch.chdir(tmp_path)
        judged(value)
        data = str(pictures())
        return lambda *more, out="swept": main(["sweep", data, *OPTIONS, "--out", out, *more])

    return by


@pytest.fixture
def stopped_in() -> Callable[..., Any]:
    """Stops the session of this number (from 1) after so many iterations, as Ctrl-C does."""

    @contextmanager
    def stopped(number: int, after: int) -> Iterator[None]:
        sessions_left = [number]

        @contextmanager
        def signals(ranks: Ranks) -> Iterator[Stop]:
            sessions_left[0] -= 1
            yield Stop(after if sessions_left[0] == 0 else 10**9)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions, "stop_signals", signals)
            yield

    return stopped
