"""`gannet compare`: the numbers by hand, the pictures, the report, and what it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import untrained

from gannet.cli import main
from gannet.errors import UserError
from gannet.experiments.compare import compare
from gannet.experiments.pictures import NUM_IMAGES, binned, means, row_of
from gannet.experiments.records import grouped, read_run
from gannet.generation.load import load
from gannet.sessions import alone_in

Make = Callable[..., Path]
SPECTRAL = {"D.norm": "spectral"}


@pytest.fixture
def two_groups(by_hand: Make, tmp_path: Path) -> list[Path]:
    """Batch norm gets to 2, 4 and 3 at its best; spectral norm to 1, 1 and 1, and is better sooner."""
    for seed, best in enumerate((2.0, 4.0, 3.0)):
        by_hand(f"batch/seed{seed}", seed, {1.0: 9.0, 2.0: best, 4.0: best + 1})
        by_hand(f"spectral/seed{seed}", seed, {1.0: 3.0, 2.0: 2.0 + seed, 4.0: 1.0}, SPECTRAL)
    return [tmp_path / "runs" / "batch", tmp_path / "runs" / "spectral"]


def test_final_and_best_over_seeds(two_groups: list[Path], tmp_path: Path) -> None:
    found = compare(*two_groups, out=tmp_path / "out")
    batch, spectral = found.rows
    assert (batch.group, spectral.group) == ("D.norm batch", "D.norm spectral")
    assert batch.best and spectral.best
    assert (batch.best.values, batch.best.mean, batch.best.std) == ((2.0, 4.0, 3.0), 3.0, 1.0)
    assert (batch.final.values, batch.best_kimg) == ((3.0, 5.0, 4.0), [2.0, 2.0, 2.0])
    assert spectral.best.values == (1.0, 1.0, 1.0) and spectral.best_kimg == [4.0, 4.0, 4.0]


def test_time_to_the_worst_of_the_best_means(two_groups: list[Path], tmp_path: Path) -> None:
    """The mean of batch norm is 3 at best, after 2 kimg; that of spectral norm is 3 after 1 kimg. A kimg takes 10 s."""
    batch, spectral = compare(*two_groups, out=tmp_path / "out").rows
    assert batch.to_quality.quality == spectral.to_quality.quality == 3.0
    assert (batch.to_quality.kimg, batch.to_quality.seconds) == (2.0, 20.0)
    assert (spectral.to_quality.kimg, spectral.to_quality.seconds) == (1.0, 10.0)
    assert batch.to_quality.kimg_of_runs == {0: 2.0, 1: None, 2: 2.0}
    assert batch.to_quality.seconds_of_runs == {0: 20.0, 1: None, 2: 20.0}


def test_a_quality_that_one_group_never_reaches(two_groups: list[Path], tmp_path: Path) -> None:
    found = compare(*two_groups, out=tmp_path / "out", quality=1.0)
    assert [row.to_quality.kimg for row in found.rows] == [None, 4.0]
    assert "| D.norm batch | never | never | 0 of 3 |" in str(found)


def test_the_paired_test_is_over_seeds_and_says_what_it_cannot(two_groups: list[Path], tmp_path: Path) -> None:
    found = compare(*two_groups, out=tmp_path / "out")
    best, final = found.tests
    assert (best.of, best.groups) == ("best", ("D.norm batch", "D.norm spectral"))
    assert best.paired.difference.values == (1.0, 3.0, 2.0)
    assert (best.paired.p, best.paired.smallest_p) == (0.25, 0.25)
    assert best.paired.difference.low == pytest.approx(2 - 4.302652729749464 / 3**0.5)
    assert final.paired.difference.values == (2.0, 4.0, 3.0)
    assert "With 3 common seeds the exact test cannot go under p = 0.25; six can reach 0.05." in str(found)


def test_higher_is_better_where_the_metric_says_so(by_hand: Make, tmp_path: Path) -> None:
    runs = [by_hand("a", 0, {1.0: 0.2, 2.0: 0.6, 4.0: 0.4}, better="higher")]
    runs += [by_hand("b", 0, {1.0: 0.5, 2.0: 0.5, 4.0: 0.9}, SPECTRAL, better="higher")]
    a, b = compare(*runs, out=tmp_path / "out").rows
    assert a.best and b.best and (a.best.mean, b.best.mean) == (0.6, 0.9)
    assert (a.to_quality.quality, a.to_quality.kimg, b.to_quality.kimg) == (0.6, 2.0, 4.0)


def test_who_looks_more_often_is_no_better_for_it(by_hand: Make, tmp_path: Path) -> None:
    """Of two runs, one was measured at four moments, and is at its best where the other was not measured."""
    runs = [by_hand("a", 0, {1.0: 5.0, 2.0: 4.0, 3.0: 1.0, 4.0: 6.0}), by_hand("b", 0, {2.0: 3.0, 4.0: 2.0}, SPECTRAL)]
    found = compare(*runs, out=tmp_path / "out")
    a, b = found.rows
    assert a.best and b.best and (a.best.values, b.best.values) == ((4.0,), (2.0,))
    assert (a.best_kimg, a.to_quality.quality) == ([2.0], 4.0)
    assert "The best KID is that of the 2 moments at which all runs were measured; some run has 4." in found.notes


def test_without_a_common_moment_there_is_no_best(by_hand: Make, tmp_path: Path) -> None:
    runs = [by_hand("a", 0, {1.0: 5.0, 3.0: 4.0}), by_hand("b", 1, {2.0: 3.0, 4.0: 2.0})]
    runs += [by_hand("c", 0, {2.0: 3.0, 4.0: 2.0}, SPECTRAL)]
    found = compare(*runs, out=tmp_path / "out")
    a, c = found.rows
    assert a.best is None and c.best is None and a.final.values == (4.0, 2.0)
    assert a.to_quality.kimg is None and [test.of for test in found.tests] == ["final"]
    assert any(note.startswith("KID was never measured at the same moment in all runs") for note in found.notes)
    assert any(note.startswith("KID of D.norm batch has no mean over seeds") for note in found.notes)
    assert "kimg to a mean of" not in str(found) and found.pictures[0].exists()
    assert compare(*runs, out=tmp_path / "out", quality=2.0).rows[1].to_quality.kimg == 4.0


def test_unlike_protocols_are_refused(by_hand: Make, tmp_path: Path) -> None:
    runs = [by_hand("a", 0, {4.0: 1.0}), by_hand("b", 0, {4.0: 1.0}, SPECTRAL, extractor="inception")]
    with pytest.raises(
        UserError, match=r"KID cannot be compared: of .*runs/a .* has extractor pixels, of .*runs/b inception"
    ):
        compare(*runs, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_metrics_curves_and_grids_are_there_and_how_to_get_one(by_hand: Make, tmp_path: Path) -> None:
    runs = [untrained(by_hand("a"), "dcgan"), untrained(by_hand("b", settings=SPECTRAL), "dcgan")]
    found = compare(*runs, out=tmp_path / "out")
    assert not found.rows and not found.tests
    assert any("--train.evaluate-every" in note and "gannet evaluate" in note for note in found.notes)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("curves.png", "grids.png", "report.json", "report.md")
    }
    assert (tmp_path / "out" / "report.md").read_text("utf-8") == str(found)


def test_a_metric_that_some_lack_is_left_out_and_said(by_hand: Make, tmp_path: Path) -> None:
    found = compare(by_hand("a", 0, {4.0: 1.0}), by_hand("b", settings=SPECTRAL), out=tmp_path / "out")
    assert not found.rows
    assert any(note.startswith("KID is left out: ") and "runs/b has none" in note for note in found.notes)


def test_a_run_without_a_generator_has_curves_all_the_same(by_hand: Make, tmp_path: Path) -> None:
    found = compare(by_hand("a"), out=tmp_path / "out")
    assert any(note.startswith("no images of a: ") for note in found.notes)
    assert found.pictures == (tmp_path / "out" / "curves.png",) and found.pictures[0].exists()
    assert not (tmp_path / "out" / "grids.png").exists() and "grids.png" not in str(found)


def test_a_row_of_the_grids_is_what_the_seed_gives(by_hand: Make) -> None:
    G = load(untrained(by_hand("a"), "dcgan"))
    assert np.array_equal(row_of(G), G.to_uint8(G.sample(NUM_IMAGES, seed=0)))


def test_a_picture_has_a_band_and_a_line_for_each_group(two_groups: list[Path], tmp_path: Path) -> None:
    compare(*two_groups, out=tmp_path / "out")
    with Image.open(tmp_path / "out" / "curves.png") as picture:
        colours = set(map(tuple, np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).tolist()))
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # the first two of matplotlib


def test_statistics_are_means_over_stretches(by_hand: Make) -> None:
    assert means(np.array([(0.5, 1.0), (1.0, 3.0), (3.5, 7.0)]), 4.0, 2).tolist() == [2.0, 7.0]
    (group,) = grouped([read_run(by_hand("a", 0)), read_run(by_hand("b", 1))])
    kimg, values = binned(group, "loss D")
    assert len(kimg) == 8 or np.all(np.diff(kimg) > 0)
    assert np.all(values == np.array([[1.0], [2.0]]))
    assert binned(group, "loss Q")[0].size == 0


def test_the_command_prints_and_takes_json(
    two_groups: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *map(str, two_groups)]) == 0
    said = capsys.readouterr().out
    assert "| " not in said and re.search(r"D\.norm +batch +spectral", said) and "compare/curves.png" in said
    assert "| D.norm | batch | spectral |" in Path("compare/report.md").read_text("utf-8")
    assert main(["compare", *map(str, two_groups), "--json", "--out", "other"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [group["seeds"] for group in told["groups"]] == [[0, 1, 2], [0, 1, 2]]
    assert told["metrics"][0]["best"]["mean"] == 3.0 and told["tests"][0]["paired"]["p"] == 0.25


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "name the runs"),
        (["no/run"], "there is no run at no/run"),
        (["runs/a", "--quality", "3"], "--quality is a value of one metric, and the runs have no metric"),
    ],
)
def test_errors_are_one_line(
    argv: list[str],
    says: str,
    by_hand: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    by_hand("a")
    assert main(["compare", *argv]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_without_a_folder_each_comparison_has_its_own(
    by_hand: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = by_hand("a"), by_hand("b", settings=SPECTRAL)
    for runs, folder in (((a,), "compare"), ((b,), "compare-2"), ((a, b), "compare-3"), ((b,), "compare-2")):
        assert main(["compare", *map(str, runs)]) == 0
        assert f"Pictures: {folder}/curves.png" in capsys.readouterr().out
    assert main(["compare", str(b), "--if-exists", "replace"]) == 0
    assert "Pictures: compare/curves.png" in capsys.readouterr().out
    assert main(["compare", str(a), "--out", "compare-2"]) == 2
    assert "compare-2 holds a comparison of other runs" in capsys.readouterr().err


def test_a_table_has_no_columns_of_dashes(two_groups: list[Path], tmp_path: Path) -> None:
    several = str(compare(*two_groups, out=tmp_path / "out"))
    assert "| group | which seeds | kimg | training of a run | runs |" in several
    assert "| group | final, mean | sd | 95% interval | best, mean | sd | 95% interval | best at kimg |" in several
    one = str(compare(*(group / "seed0" for group in two_groups), out=tmp_path / "one"))
    assert "| group | final | best | best at kimg |" in one and "| D.norm batch | 3 | 2 | 2 |" in one
    assert "| paired over seeds | at | which seeds | mean | p, sign flips |" in one and "| - |" not in one


def test_a_run_that_is_named_twice_counts_once(by_hand: Make, tmp_path: Path) -> None:
    a, _ = by_hand("a", 0, {4.0: 1.0}), by_hand("b", 1, {4.0: 2.0})
    (tmp_path / "link").symlink_to(a)
    found = compare(a, tmp_path / "runs", tmp_path / "link", out=tmp_path / "out")
    assert found.groups[0].seeds == [0, 1]
    assert f"Named more than once, and counted once: {a.as_posix()}." in found.notes


def test_runs_that_have_not_come_to_their_end_are_marked(by_hand: Make, tmp_path: Path) -> None:
    """Runs have 4 kimg of statistics."""
    by_hand("stopped", 0, settings={"train.length": "6 kimg"})
    running = by_hand("running", 0, settings={"train.length": "8 kimg"})
    longer, ended = by_hand("longer", 1), by_hand("ended", 2, settings={"train.length": "8 kimg"})
    killed = by_hand("killed", 3)
    (killed / ".lock").touch()
    again = by_hand("ended and made longer", 0, settings={"train.length": "9 kimg"})
    for run, event in (
        (again, {"event": "autopilot", "change": "stop"}),
        (again, {"event": "extended", "settings": {"train": {"length": "10 kimg"}}}),
        (longer, {"event": "extended", "settings": {"train": {"length": "5 kimg"}}}),
        (ended, {"event": "autopilot", "change": "stop"}),
    ):
        with (run / "stats.jsonl").open("a") as file:
            file.write(json.dumps({"type": "event", "kimg": 4.0, **event}) + "\n")
    with alone_in(running):
        found = compare(tmp_path / "runs", out=tmp_path / "out")
    states = {record.path.name: record.state for group in found.groups for record in group.records}
    assert states == {"stopped": "stopped", "running": "running", "longer": "stopped", "ended": "finished"} | {
        "killed": "finished",
        "ended and made longer": "stopped",
    }
    said = str(found)
    assert "| 4 of 8, still running, 4 |" in said and "| 4 of 6, stopped |" in said
    assert next(note for note in found.notes if note.startswith("Not at its end")).count("runs/") == 4
    assert sorted(state for group in found.to_dict()["groups"] for state in group["states"]) == sorted(states.values())


def test_another_comparison_in_the_folder_is_refused(by_hand: Make, tmp_path: Path) -> None:
    a, b = untrained(by_hand("a"), "dcgan"), by_hand("b", settings=SPECTRAL)
    out = tmp_path / "out"
    first = compare(a, out=out)
    assert (out / "grids.png").exists() and str(compare(a, out=out)) == str(first)
    with pytest.raises(UserError, match=r"holds a comparison of other runs, such as .*/a: .* --if-exists replace"):
        compare(b, out=out)
    assert (out / "report.md").read_text("utf-8") == str(first)
    compare(b, out=out, if_exists="replace")
    assert not (out / "grids.png").exists()  # of a, and b has no images
    (out / "report.json").write_text("{}")
    with pytest.raises(UserError, match="holds another report"):
        compare(b, out=out)
