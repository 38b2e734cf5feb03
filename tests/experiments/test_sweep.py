"""`gannet sweep`: real tiny runs in a grid, stopped, gone on with, diverging; the tables."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.collections import LineCollection

from gannet import plan, sessions
from gannet.config import read_recipe
from gannet.errors import DivergedError, UserError
from gannet.evaluation.protocol import Score
from gannet.experiments import results
from gannet.experiments import seeds as seeds_module
from gannet.experiments import sweep as sweep_module
from gannet.experiments.records import Group, read_run
from gannet.experiments.results import Result, Swept, about_winner, result_of
from gannet.experiments.seeds import Series
from gannet.experiments.statistics import Summary
from gannet.experiments.sweep import Sweep, Trial, images_of, refuse_other
from gannet.recipes import recipe
from gannet.sessions import train_plan
from gannet.training.pictures import read_stats

Capture = pytest.CaptureFixture[str]
VARIED = ["--vary", "optim.D.lr=1e-4,4e-4", "--vary", "D.norm=batch,spectral"]


def value(run: Path, kimg: float) -> float:
    """Spectral norm is better, the higher rate a little; and all get better for a while."""
    recipe, _ = read_recipe(run / "recipe.toml")
    found = {"batch": 2.0, "spectral": 1.0}[recipe.D.settings["norm"]] + 1e-4 / recipe.optim["D"].lr
    return found + abs(kimg - 0.012) + recipe.seed


@pytest.fixture
def asked(sweep_by: Callable[..., Any]) -> Callable[..., int]:
    return sweep_by(value)


def test_a_grid_that_was_stopped_ends_as_one_that_was_not(
    asked: Callable[..., int], stopped_in: Any, capsys: Capture
) -> None:
    with stopped_in(2, after=3):
        assert asked(*VARIED) == 4
    said = capsys.readouterr().out
    assert "Interrupted, all saved: the same command goes on." in said
    assert {path.name for path in Path("swept").glob("trial*")} == {"trial000", "trial001"}
    assert asked(*VARIED) == 0
    assert "goes on at 0.0 of 0.024 kimg" in capsys.readouterr().out
    assert asked(*VARIED, out="whole") == 0
    for number in range(4):
        files = [Path(out) / f"trial{number:03}/seed0/generator/model.safetensors" for out in ("swept", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
    found = [json.loads((Path(out) / "results.json").read_text("utf-8")) for out in ("swept", "whole")]
    for each in found:
        assert each["finished"] and each["trials"] == 4
        settings = [result["settings"] for result in each["results"]]
        assert settings == [
            {"optim.D.lr": "4e-4", "D.norm": "spectral"},
            {"optim.D.lr": "1e-4", "D.norm": "spectral"},
            {"optim.D.lr": "4e-4", "D.norm": "batch"},
            {"optim.D.lr": "1e-4", "D.norm": "batch"},
        ]
        assert [result["best"]["mean"] for result in each["results"]] == pytest.approx([1.25, 2.0, 2.25, 3.0])
        assert [result["best_kimg"] for result in each["results"]] == [[0.012]] * 4
    assert {"sweep.json", "results.md", "results.png"} < {path.name for path in Path("swept").iterdir()}


def test_all_runs_are_measured_ten_times_where_it_was_not_said(asked: Callable[..., int]) -> None:
    assert asked("--vary", "D.norm=spectral", "--kimg", "0.08") == 0
    lines = read_stats(Path("swept/trial000/seed0/stats.jsonl"))
    measured = [line["kimg"] for line in lines if line["type"] == "metric"]
    assert measured == pytest.approx([0.008 * i for i in range(1, 11)])


def test_a_trial_is_as_good_as_the_mean_of_its_seeds(asked: Callable[..., int], capsys: Capture) -> None:
    assert asked("--vary", "D.norm=spectral", "--seeds", "0,4", "--train.evaluate-every", "0.012") == 0
    (found,) = json.loads(Path("swept/results.json").read_text("utf-8"))["results"]
    assert found["best"]["values"] == pytest.approx([1.5, 5.5]) and found["best"]["mean"] == pytest.approx(3.5)
    assert [Path(run).name for run in found["runs"]] == ["seed0", "seed4"]
    assert "gannet train --recipe swept/trial000/seed0 --seeds 5,6,7" in capsys.readouterr().out


def test_another_sweep_in_the_same_folder_is_refused(asked: Callable[..., int], capsys: Capture) -> None:
    assert asked("--vary", "D.norm=spectral") == 0
    capsys.readouterr()
    for more, says in (
        (["--vary", "D.norm=batch"], "vary D.norm=spectral and not D.norm=batch"),
        (["--vary", "D.norm=spectral", "--G.width", "8"], "G.width 4 and not 8"),
        (["--vary", "D.norm=spectral", "--seeds", "2"], "seeds 0 and not 0 1"),
    ):
        assert asked(*more) == 2
        assert f"swept holds another sweep, with {says}" in capsys.readouterr().err


def test_what_diverges_or_cannot_be_is_noted_and_the_rest_goes_on(
    asked: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(plan: Any, path: Path, *more: Any) -> Any:
        if plan.recipe.optim["D"].lr == 1e-3:
            raise DivergedError("training diverged")
        return train_plan(plan, path, *more)

    monkeypatch.setattr(seeds_module, "train_plan", played)
    assert asked("--vary", "optim.D.lr=1e-4,1e-3", "--vary", "D.width=4,8,0") == 0
    found = json.loads(Path("swept/results.json").read_text("utf-8"))["results"]
    states = {each["number"]: each["state"] for each in found}
    assert states == {0: "done", 1: "done", 2: "refused", 3: "diverged", 4: "diverged", 5: "refused"}
    said = Path("swept/results.md").read_text("utf-8")
    assert "trial003 diverged: seed 0: training diverged" in said and "trial002 refused: " in said


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--vary says what a sweep is to vary"),
        (["--vary", "D.norm=batch,spectral", "--trials", "3"], "these lists make 2 trials: leave --trials out"),
        (["--vary", "D.norm=batch", "--seeds", "none"], "--seeds is 'none'"),
        (["--vary", "D.norm=batch", "--train.bacth", "3"], "did you mean '--train.batch'?"),
    ],
)
def test_errors_are_one_line(argv: list[str], says: str, asked: Callable[..., int], capsys: Capture) -> None:
    assert asked(*argv) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_ranks_are_refused(asked: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, text)
    assert asked(*VARIED) == 2
    assert "leave torchrun out" in capsys.readouterr().err


def result(number: int, best: float, state: str = "done", **protocol: str | int) -> Result:
    score = Score("precision", best, best, best, "higher", protocol)
    runs = [f"swept/trial{number:03}/seed0"]
    summary = Summary.of([best])
    return Result(number, {"optim.D.lr": "1e-4"}, state, "", runs, 4.0, 40.0, summary, [2.0], summary, score)


def test_higher_is_better_where_the_metric_says_so() -> None:
    assert (result(0, 0.25).objective, result(1, 0.5, "pruned").objective) == (-0.25, -0.5)
    assert result(2, 0.75, "diverged").objective is None


def test_the_table_by_hand(tmp_path: Path) -> None:
    found = Swept(tmp_path, ["optim.D.lr"], [result(1, 0.5), result(0, 0.25, "pruned")], 2, True)
    header, rows = found.table()
    assert header[:4] == ["trial", "optim.D.lr", "best precision (higher is better)", "95% interval"]
    assert header[4:] == ["at kimg", "final", "95% interval", "kimg", "training", "state"]
    assert rows == [
        ["trial001", "1e-4", "0.5", "-", "2", "0.5", "-", "4", "40 s", "done"],
        ["trial000", "1e-4", "0.25", "-", "2", "0.25", "-", "4", "40 s", "pruned"],
    ]
    how = "gannet train --recipe swept/trial001/seed0 --seeds 1,2,3"
    assert found.notes()[-1].endswith(how) and "| trial001 | 1e-4 | 0.5 |" in str(found)


def between(number: int, best: float, low: float | None, high: float | None) -> Result:
    interval = None if low is None or high is None else (low, high)
    return replace(result(number, best), settings={"optim.D.lr": str(number)}, best_interval=interval)


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([between(1, 0.4, 0.3, 0.5)], "trial000 cannot be told apart from trial001: their intervals meet."),
        ([between(1, 0.4, 0.3, 0.5), between(2, 0.1, 0.0, 0.2)], "from trial001: their intervals meet."),
        ([between(1, 0.5, None, None)], "trial000 cannot be told apart from trial001: their values are equal."),
        ([between(1, 0.4, 0.3, 0.44)], None),
        ([between(1, 0.4, None, None)], None),
        ([], None),
    ],
)
def test_a_tie_has_no_winner(others: list[Result], says: str | None, tmp_path: Path) -> None:
    found = Swept(tmp_path, ["optim.D.lr"], [between(0, 0.5, 0.45, 0.55), *others], 1 + len(others), True)
    said = " ".join(found.notes())
    if says is None:
        assert "told apart" not in said and "trial000 with other seeds: gannet train" in said
        return
    assert says in said and says in str(found) and "The best of many" not in said
    for number in (0, 1):
        assert f"trial00{number}: gannet train --recipe swept/trial00{number}/seed0 --seeds 1,2,3" in said


def test_the_picture_of_a_sweep_shows_the_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(results, "save", lambda figure, target: figures.append(figure))
    trials = [between(0, 0.5, 0.45, 0.55), between(1, 0.4, 0.3, 0.5), between(2, 0.1, None, None)]
    Swept(tmp_path, ["optim.D.lr"], trials, 3, True).draw()
    drawn = [each for each in figures[0].axes[0].collections if isinstance(each, LineCollection)]
    ends = [line.get_segments()[0].tolist() for line in drawn]
    assert ends == [[[0.0, 0.45], [0.0, 0.55]], [[1.0, 0.3], [1.0, 0.5]]]


def test_what_speaks_against_the_best_one_is_said(by_hand: Callable[..., Path]) -> None:
    """Two seeds are best at first, and one of these ends clearly worse; each number is known to 0.5."""
    note = {"number": 3, "settings": {"optim.D.lr": "1e-4"}, "state": "done", "reason": ""}
    values = ({1.0: 1.0, 2.0: 2.0, 4.0: 4.0}, {1.0: 1.0, 4.0: 1.8}, {1.0: 3.0, 2.0: 2.0})
    records = []
    for seed, kid in enumerate(values):
        record = read_run(by_hand(f"trial003/seed{seed}", seed, kid))
        measured = record.metrics["KID"]
        scores = tuple(replace(each, low=each.value - 0.5, high=each.value + 0.5) for each in measured.scores)
        records.append(replace(record, metrics={"KID": replace(measured, scores=scores)}))
    found = result_of(note, Group("it", tuple(records)))
    assert (found.at_first, found.fallen, found.best_kimg) == (2, 1, [1.0, 1.0, 2.0])
    assert found.final and found.final.values == (4.0, 1.8, 2.0)
    assert found.final_interval == (found.final.low, found.final.high)
    first, second, last = about_winner(found)
    assert first.startswith("trial003 was at its best when it was first measured in 2 of 3 runs, which is luck")
    assert second == "trial003 ended worse than its best, by more than the intervals in 1 of 3 runs."
    assert last.endswith("--seeds 3,4,5")
    alone = result_of(note, Group("it", tuple(records[:1])))
    assert (alone.best_interval, alone.final_interval) == ((0.5, 1.5), (3.5, 4.5))
    sound = about_winner(result_of(note, Group("it", tuple(records[2:]))))
    assert [line for line in sound if "trial003" in line] == sound[-1:]


def test_unlike_protocols_make_no_table(tmp_path: Path) -> None:
    found = Swept(tmp_path, ["optim.D.lr"], [result(0, 0.5, images=100), result(1, 0.5, images=200)], 2, True)
    with pytest.raises(UserError, match=r"precision cannot be compared: .*images 100.* 200"):
        found.write()
    assert len(json.loads((tmp_path / "results.json").read_text("utf-8"))["results"]) == 2
    assert not (tmp_path / "results.md").exists()


def test_other_images_are_another_sweep() -> None:
    def begin(names: list[str], width: tuple[int, int, int] = (16, 16, 20), other: Any = None) -> Any:
        scan = SimpleNamespace(num=len(names), width=width, height=(16, 16, 16))
        return SimpleNamespace(scan=scan, source=SimpleNamespace(names=names, other=other))

    first, again = images_of(begin(["a.png", "b.png"])), images_of(begin(["a.png", "b.png"]))
    assert first == again and (first["images"], first["image sizes"]) == (2, ["16x16", "16x16", "20x16"])
    others = [
        images_of(begin(["a.png", "c.png"])),
        images_of(begin(["a.png", "b.png"], (16, 16, 32))),
        images_of(begin(["a.png", "b.png"], other=SimpleNamespace(names=["c.png"]))),
    ]
    for other in others:
        with pytest.raises(UserError, match="holds another sweep, with image"):
            refuse_other(first, other, Path("swept"))


def test_the_schedule_of_what_is_varied_is_each_trials_own(asked: Callable[..., int], capsys: Capture) -> None:
    ends = [
        "--schedules.optim.D.lr",
        "linear to 0.00001 over 100%",
        "--schedules.optim.G.lr",
        "linear to 0.00001 over 100%",
    ]
    assert asked("--vary", "optim.D.lr=1e-4,4e-4", *ends) == 0
    said = capsys.readouterr().out
    assert "optim.G.lr: linear to" in said and "optim.D.lr: linear to" not in said


def test_a_sweep_says_its_plan_once(asked: Callable[..., int], capsys: Capture) -> None:
    assert asked("--vary", "D.norm=spectral,batch") == 0
    said = capsys.readouterr().out
    plan, first, second, table = re.split(r"^(?=trial00.*D\.norm \w+: |Sweep)", said, maxsplit=3, flags=re.MULTILINE)
    assert plan.count("\nbudget  ") == 1 and table.startswith("Sweep: 2 of 2 trials\n")
    for number, norm, line in ((0, "spectral", first), (1, "batch", second)):
        begin = rf"trial00{number} \({number + 1} of 2\): D\.norm {norm}: 0\.024 kimg in \d+ s(, measured in \d+ s)?"
        assert re.match(rf"{begin}, KID \S+, best \S+ at 0\.012 kimg; swept/trial00{number}/seed0\n", line)
        assert "kimg 0.0" not in line and "try next" not in line


def test_ctrl_c_before_the_first_step_of_a_trial_keeps_what_is_finished(
    asked: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(plan: Any, path: Path, *more: Any) -> Any:
        if plan.recipe.D.settings["norm"] == "batch":
            raise KeyboardInterrupt
        return train_plan(plan, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(seeds_module, "train_plan", played)
        assert asked("--vary", "D.norm=spectral,batch") == 4
    assert "Interrupted, all saved: the same command goes on." in capsys.readouterr().out
    assert [each["number"] for each in json.loads(Path("swept/results.json").read_text("utf-8"))["results"]] == [0]
    assert asked("--vary", "D.norm=spectral,batch") == 0


@pytest.mark.parametrize(
    ("finished", "stopped", "state"),
    [
        ((False,), True, "pruned"),
        ((False,), False, "interrupted"),
        ((True, False), True, "interrupted"),  # the first was behind at its very end, and Ctrl-C stopped the second
        ((True,), True, "interrupted"),  # the same, before the second had begun
        ((True, True), True, "done"),
    ],
)
def test_a_trial_is_pruned_where_its_first_run_was_stopped(
    finished: tuple[bool, ...], stopped: bool, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [sessions.Trained(tmp_path / f"seed{seed}", each) for seed, each in enumerate(finished)]
    monkeypatch.setattr(Series, "play", lambda series: runs)
    begin: Any = None
    sweep = Sweep(begin, lambda settings: recipe("dcgan-shapes"), (), tmp_path, seeds=(0, 1))
    watcher: Any = SimpleNamespace(stop=stopped)
    assert sweep.one(Trial(0, {}), {}, watcher, "trial000") == state


def test_ctrl_c_before_the_first_run_has_a_folder_writes_results_too(
    asked: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(series: Series) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Series, "play", interrupted)
    assert asked("--vary", "D.norm=spectral,batch") == 4
    assert json.loads(Path("swept/results.json").read_text("utf-8"))["results"] == []


def test_ctrl_c_while_a_sweep_is_planned_says_how_to_go_on(
    asked: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*asked: Any) -> None:
        raise KeyboardInterrupt

    for module, name in ((plan, "start"), (sweep_module, "make_plan")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            assert asked("--vary", "D.norm=spectral") == 4
        assert "what was trained before is kept: the same command goes on." in capsys.readouterr().out
        assert not Path("swept").exists()
    assert asked("--vary", "D.norm=spectral") == 0


def test_a_sweep_that_cannot_be_measured_leaves_nothing(
    asked: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*asked: Any) -> None:
        raise UserError("the extractor cannot be had")

    monkeypatch.setattr(sessions, "measuring", refused)
    assert asked("--vary", "D.norm=spectral", out="sweeps/one") == 2
    assert "the extractor cannot be had" in capsys.readouterr().err and not Path("sweeps").exists()


def test_a_sweep_whose_first_trial_cannot_be_leaves_nothing(asked: Callable[..., int], capsys: Capture) -> None:
    Path("sweeps").mkdir()
    (Path("sweeps") / "mine.txt").touch()
    assert asked("--vary", "optim.D.lr=-1", out="sweeps/deep/one") == 2
    assert "optim.D.lr" in capsys.readouterr().err
    assert [path.name for path in Path("sweeps").iterdir()] == ["mine.txt"]
