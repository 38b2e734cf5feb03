"""Long statistics as few points: every peak is kept, whatever is cut, torn or written anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studios import stats, written

from gannet.studio import thinning
from gannet.studio.thinning import MOST_NAMES, Blocks, Tail, of_lines, sampled, summed, thinned

NAN = float("nan")


def test_stretches_have_the_min_max_and_mean_of_their_lines() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, NAN, 4.0])
    found = thinned(np.arange(1.0, 7.0), {"loss": summed(values[:, None])}, 3)
    low, high, mean = found.series["loss"]
    assert found.kimg.tolist() == [1, 3, 5]
    assert (low.tolist(), high.tolist(), mean.tolist()) == ([1, 2, 4], [3, 5, 4], [2, 3.5, 4])


def test_a_stretch_without_a_value_is_null() -> None:
    lines = [{"type": "stats", "kimg": 1.0, "loss": None}, {"type": "stats", "kimg": 2.0, "loss": 0.5}]
    found = of_lines(lines, ["loss"], 10).to_dict()
    assert found["series"]["loss"] == {"min": [None, 0.5], "max": [None, 0.5], "mean": [None, 0.5]}


@pytest.mark.parametrize("sizes", [(1000,), (1,) * 100, (7, 300, 1, 2, 90)])
def test_blocks_keep_what_all_lines_hold_in_bounded_memory(sizes: tuple[int, ...]) -> None:
    values = np.random.Generator(np.random.Philox(3)).standard_normal(sum(sizes))
    blocks, first = Blocks(most=16), 0
    for size in sizes:
        own = slice(first, first + size)
        place = np.arange(first, first + size)
        blocks.add(place + 1.0, place, {"loss": values[own]})
        first += size
    rows, starts = blocks.values["loss"][: blocks.num], blocks.start[: blocks.num]
    assert 8 <= blocks.num <= 16 and blocks.lines >= len(values) / 16
    parts = np.split(values, starts[1:])
    assert rows[:, 0].tolist() == [part.min() for part in parts]
    assert rows[:, 1].tolist() == [part.max() for part in parts]
    np.testing.assert_allclose(rows[:, 2], [part.sum() for part in parts])
    assert rows[:, 3].tolist() == [len(part) for part in parts]
    assert blocks.at[: blocks.num].tolist() == (starts + 1.0).tolist()


def tail_of(path: Path, lines: list[dict[str, Any]], most: int = 4096) -> Tail:
    path.write_text(written(lines), "utf-8")
    tail = Tail(path, most)
    tail.open()
    return tail


def test_one_peak_among_many_lines_is_seen_and_zooming_shows_its_line(tmp_path: Path) -> None:
    lines = stats(3000, loss_D=lambda i: 99.0 if i == 1234 else 1.0)
    tail = tail_of(tmp_path / "stats.jsonl", lines, most=64)
    whole = tail.curves(["loss D"], points=20)
    assert whole.exact and len(whole.kimg) == 20 and whole.series["loss D"][1].max() == 99
    near = tail.curves(["loss D"], 123.0, 124.0, points=100)
    assert near.kimg.tolist() == [line["kimg"] for line in lines if 123 <= line["kimg"] <= 124]
    assert near.kimg[near.series["loss D"][1].argmax()] == 123.5


def test_a_half_written_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    tail = tail_of(path, stats(3))
    text = json.dumps(stats(4)[3])
    with path.open("a") as file:
        file.write(text[:30])
        file.flush()
        assert tail.advance() == [] and tail.last["kimg"] == 0.3
        file.write(text[30:] + "\n")
        file.flush()
        assert [line["kimg"] for line in tail.advance()] == [0.4]


def test_what_is_no_line_of_a_run_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    junk = '{"type": "stats", "kimg": "x"}\nnull\n[1]\n\xff\n{"kimg": 1}\n{"type": "stats", "kimg": NaN}\n'
    path.write_text(junk + written(stats(2)), "latin-1")
    tail = Tail(path)
    tail.open()
    assert tail.curves(["loss D"]).kimg.tolist() == [0.1, 0.2]


def test_a_file_that_resume_has_cut_back_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    tail = tail_of(path, stats(50))
    era = tail.era
    path.write_text(written(stats(60, loss_D=lambda i: 7.0)), "utf-8")  # longer than before, and another
    tail.advance()
    assert tail.era > era
    found = tail.curves(["loss D"])
    assert len(found.kimg) == 60 and set(found.series["loss D"][0].tolist()) == {7.0}


def test_where_kimg_goes_back_what_it_passes_is_forgotten(tmp_path: Path) -> None:
    again = [{**line, "loss D": 5.0} for line in stats(40)[20:]]
    tail = tail_of(tmp_path / "stats.jsonl", [*stats(30), *again])
    found = tail.curves(["loss D"])
    assert found.kimg.tolist() == [round((i + 1) / 10, 6) for i in range(40)]
    assert found.series["loss D"][0][19:22].tolist() == [1.01, 5, 5]


def test_a_removed_file_is_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    tail = tail_of(path, stats(5))
    path.unlink()
    assert tail.advance() == [] and tail.names == [] and tail.end == 0


def test_of_lines_without_end_that_are_no_statistics_the_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinning, "MOST_OTHERS", 3)
    events = [{"type": "event", "kimg": float(i), "event": "change"} for i in range(10)]
    tail = tail_of(tmp_path / "stats.jsonl", [*events, *stats(5)])
    assert [line for _, line in tail.others] == events[-3:]


def test_a_long_file_opens_roughly_and_then_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "STEP", 4000)
    monkeypatch.setattr(thinning, "ROUGH_LINES", 100)
    lines = stats(2000, loss_D=lambda i: 99.0 if i == 1501 else 1.0)
    metric = {"type": "metric", "kimg": 100.0, "metric": "KID", "value": 0.1, "better": "lower"}
    tail = tail_of(tmp_path / "stats.jsonl", [*lines[:1000], metric, *lines[1000:]])
    rough = tail.curves(["loss D"])
    assert not rough.exact and 90 <= len(rough.kimg) < 300 and (np.diff(rough.kimg) > 0).all()
    assert rough.kimg[-1] > 195 and [line for _, line in tail.others] == [metric]
    told = []
    while not tail.exact:
        told += tail.advance()
    exact = tail.curves(["loss D"], points=5000)
    assert told == [] and exact.exact and len(exact.kimg) == 2000
    assert exact.series["loss D"][1].max() == 99 and tail.last == lines[-1]
    assert [line for _, line in tail.others] == [metric]


def test_lines_are_sampled_whole_and_evenly(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_text(written(stats(5000)), "utf-8")
    found = [json.loads(text)["iteration"] for _, text in sorted(sampled(path, 100).items())]
    assert 95 <= len(found) <= 100 and found[0] == 1 and max(np.diff(found)) < 60
    path.write_text(written(stats(20)), "utf-8")
    data = path.read_bytes()
    assert all(data[place:].startswith(text + b"\n") for place, text in sampled(path, 100).items())
    assert len(sampled(path, 100)) == 20


def test_names_without_end_take_no_memory_without_end(tmp_path: Path) -> None:
    lines = [{"type": "stats", "kimg": i, **{f"{i} {k}": 1.0 for k in range(100)}} for i in range(50)]
    (tmp_path / "stats.jsonl").write_text(written(lines))
    tail = Tail(tmp_path / "stats.jsonl")
    tail.open()
    assert len(tail.names) == len(tail.blocks.values) == MOST_NAMES and tail.last["kimg"] == 49
