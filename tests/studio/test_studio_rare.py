"""Rare lines of a long file are all found, as it grows."""

import json
from pathlib import Path
from typing import Any

import pytest
from studios import stats, written

from gannet.studio import rare
from gannet.studio.rare import Rare


def texts(found: dict[int, bytes]) -> list[Any]:
    return [json.loads(text) for text in found.values()]


@pytest.mark.parametrize("chunk", [400, 1000, 2**20])
def test_rare_lines_are_found_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(rare, "CHUNK", chunk)
    file, lines = tmp_path / "stats.jsonl", stats(200)
    lines[0]["loss D"] = lines[71]["loss G"] = None
    lines[120]["sample mean"] = lines[199]["sample mean"] = 0.5
    lines[150] = {"type": "metric", "kimg": 1, "metric": "KID", "sample mean": None}
    half = written(lines)[: len(written(lines[:130])) + 20]
    file.write_text(half)
    reader = Rare(file)
    assert texts(reader.lines()) == [lines[i] for i in (0, 71, 120)]
    file.write_text(written(lines))
    found = reader.lines()
    assert texts(found) == [lines[i] for i in (0, 71, 120, 150, 199)]
    assert all(file.read_bytes()[place:].startswith(text + b"\n") for place, text in found.items())
    assert list(Rare(file, most=2).lines()) == list(found)[-2:]
    file.write_text("\n")
    assert reader.lines() == {}


def test_a_file_that_was_cut_back_and_grew_again_is_read_anew(tmp_path: Path) -> None:
    file, lines = tmp_path / "stats.jsonl", stats(50)
    file.write_text(written([*lines[:20], {**lines[20], "loss D": None}]))
    reader = Rare(file)
    assert len(reader.lines()) == 1
    file.write_text(written(lines))
    assert reader.lines() == {}
