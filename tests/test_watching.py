"""A run that is diagnosed while it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runs import TINY, train

import gannet
from gannet.training.pictures import save_curves
from gannet.watching import MOST, Watch

Pictures = Callable[..., Path]
KEYS = ["type", "kimg", "status", "finding", "since", "confidence", "evidence", "change", "why", "source"]


def lines_of_a_run(num: int = 40, well_from: int = 99) -> list[dict[str, Any]]:
    """Ten lines of losses and a look for each kimg; samples stay far until `well_from`, and D rates them as reals."""
    lines: list[dict[str, Any]] = []
    for kimg in range(1, num + 1):
        stats = {"type": "stats", "loss D": 1.3, "loss G": 0.8}
        lines += [{**stats, "kimg": kimg - 1 + i / 10} for i in range(10)]
        distance = 150.0 if kimg < well_from else 2.0
        look = {"diversity": 0.5, "duplicates": 0.0, "sample distance": distance, "real above sample": 0.5}
        lines.append({"type": "stats", "kimg": float(kimg), "sample mean": 0.0, **look})
    return lines


def watching(folder: Path, lines: list[dict[str, Any]], name: str = "") -> Watch:
    """A watch of a run of 40 kimg that holds these lines."""
    folder.mkdir()
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    watch = Watch(name)
    run: Any = SimpleNamespace(path=folder, total_nimg=40_000)
    watch.begin(run)
    return watch


def played(watch: Watch, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the run writes: the lines, and the findings behind the looks at which they arise or clear."""
    written: list[dict[str, Any]] = []
    for line in lines:
        written.append(line)
        written += [{"type": "finding", "kimg": line["kimg"], **more} for more in watch.on_stats(line)]
    return written


def findings(lines: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    return [(line["finding"], line["status"], line["kimg"]) for line in lines if line["type"] == "finding"]


def test_a_finding_is_told_when_it_arises_and_when_it_clears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = played(watching(tmp_path / "run", []), lines_of_a_run(well_from=30))
    (arises, clears) = [line for line in written if line["type"] == "finding"]
    assert (arises["finding"], arises["status"], arises["since"]) == ("d-asleep", "arises", 10)
    assert 12 <= arises["kimg"] <= 16 and (clears["status"], clears["kimg"]) == ("clears", 31)
    assert set(arises) == set(KEYS) == set(clears)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and said[0].startswith("D is asleep, since 10 kimg: ") and arises["change"] in said[1]
    assert said[2] == "No longer, at 31 kimg: D is asleep."


def test_a_finding_of_one_of_many_runs_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    played(watching(tmp_path / "run", [], "seed 1 (2 of 3)"), lines_of_a_run(well_from=30))
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 1 (2 of 3)  D is asleep, since ")
    assert last == "seed 1 (2 of 3)  No longer, at 31 kimg: D is asleep."


@pytest.mark.parametrize("stopped_at", [55, 160, 200, 350])
def test_a_resumed_watch_says_what_it_would_have_said(tmp_path: Path, stopped_at: int) -> None:
    lines = lines_of_a_run(well_from=30)
    whole = played(watching(tmp_path / "whole", []), lines)
    before = played(watching(tmp_path / "before", []), lines[:stopped_at])
    after = played(watching(tmp_path / "after", before), lines[stopped_at:])
    assert before + after == whole


def test_what_a_run_has_taken_back_is_forgotten(tmp_path: Path) -> None:
    watch, lines = watching(tmp_path / "run", []), lines_of_a_run(20)
    played(watch, [*lines, *lines[-30:]])
    once = watching(tmp_path / "once", [])
    played(once, lines)
    assert watch.log.end == once.log.end
    for name, series in once.log.series.items():
        assert np.array_equal(watch.log.series[name].at, series.at), name


def test_the_memory_is_bounded_and_spans_the_whole_run(tmp_path: Path) -> None:
    watch = watching(tmp_path / "run", [])
    for i in range(20 * MOST):
        watch.remember({"type": "stats", "kimg": i / 100, "loss D": 1.0, "loss G": 1.0})
    assert MOST / 2 <= len(watch.lines) <= MOST
    at = watch.log.series["loss D"].at
    assert at[0] == 0 and at[-1] > 0.98 * 20 * MOST / 100 and np.ptp(np.diff(at)) < 1e-9


def test_a_run_on_few_images_says_so_while_it_trains(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = train(pictures(), tmp_path / "run", {**TINY, "train.length": "40 iterations"})
    said = capsys.readouterr().out
    assert said.count("Something is wrong with the data, since 0 kimg") == 1
    (line,) = [line for line in made.stats if line["type"] == "finding"]
    assert list(line) == KEYS and (line["kimg"], line["evidence"][0]["value"]) == (0, 16)
    diagnosis = gannet.diagnose(made)
    assert diagnosis.verdict == "failing" and [f.finding for f in diagnosis.findings] == ["data"]


def test_findings_stand_on_the_curves(tmp_path: Path) -> None:
    lines = [line for line in lines_of_a_run(10) if "loss D" in line]
    finding = {"type": "finding", "finding": "d-wins", "since": 2.0}
    marked = [*lines, {**finding, "status": "arises", "kimg": 4.0}, {**finding, "status": "clears", "kimg": 6.0}]
    save_curves(lines, tmp_path / "plain.png")
    save_curves(marked, tmp_path / "marked.png")
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "marked.png").read_bytes()


def test_a_fault_of_the_diagnosis_does_not_end_the_run(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(log: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("gannet.watching.diagnose", broken)
    assert train(pictures(40), tmp_path / "run", TINY).finished
    told = capsys.readouterr().err
    assert told.count("Traceback") == 1 and told.count("the run goes on without it") == 1
